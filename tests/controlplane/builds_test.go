package main

import (
	"context"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"brokkr.io/work/tests/controlplane/internal/manifests"
	"brokkr.io/work/tests/controlplane/internal/poddriver"
)

// space is a namespace of its own for one test.
type space struct {
	*testing.T
	name string
}

// newSpace creates a namespace with a Build named app, steered by the values
// of script, and lets the test run beside others.
func newSpace(t *testing.T, script map[string]string) space {
	t.Helper()
	t.Parallel()
	s := space{t, strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))}
	s.create(namespaces, "{apiVersion: v1, kind: Namespace, metadata: {name: "+s.name+"}}")
	eventually(t, "the default service account exists", func(ctx context.Context) bool {
		_, err := shared.client.Resource(accounts).Namespace(s.name).Get(ctx, "default", metav1.GetOptions{})
		return err == nil
	})
	s.steer(script)
	s.create(builds, `
apiVersion: shipwright.io/v1beta1
kind: Build
metadata: {name: app}
spec:
  source: {type: Git, git: {url: "https://git.example.com/app"}}
  strategy: {name: buildah, kind: ClusterBuildStrategy}
  paramValues: [{name: dockerfile, value: Dockerfile}]
  output: {image: registry.example.com/app}`)
	eventually(t, "the Build is registered", func(context.Context) bool {
		registered, _, _ := unstructured.NestedString(s.get(builds, "app").Object, "status", "registered")
		return registered == "True"
	})
	return s
}

// steer writes the pod driver's ConfigMap.
func (s space) steer(script map[string]string) {
	s.Helper()
	object := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap"}}
	object.SetName(poddriver.ConfigMapName)
	if err := unstructured.SetNestedStringMap(object.Object, script, "data"); err != nil {
		s.Fatal(err)
	}
	client := shared.client.Resource(configMaps).Namespace(s.name)
	_, err := client.Apply(s.Context(), poddriver.ConfigMapName, object, metav1.ApplyOptions{FieldManager: "test", Force: true})
	if err != nil {
		s.Fatal(err)
	}
}

func (s space) create(resource schema.GroupVersionResource, text string) {
	s.Helper()
	objects, err := manifests.Parse([]byte(text))
	if err != nil {
		s.Fatal(err)
	}
	for _, object := range objects {
		client := shared.client.Resource(resource)
		if resource == namespaces {
			_, err = client.Create(s.Context(), object, metav1.CreateOptions{})
		} else {
			_, err = client.Namespace(s.name).Create(s.Context(), object, metav1.CreateOptions{})
		}
		if err != nil {
			s.Fatal(err)
		}
	}
}

func (s space) get(resource schema.GroupVersionResource, name string) *unstructured.Unstructured {
	s.Helper()
	object, err := shared.client.Resource(resource).Namespace(s.name).Get(s.Context(), name, metav1.GetOptions{})
	if err != nil {
		s.Fatal(err)
	}
	return object
}

// run creates a BuildRun of the Build named app.
func (s space) run(name string) {
	s.Helper()
	s.create(buildRuns, "{apiVersion: shipwright.io/v1beta1, kind: BuildRun, metadata: {name: "+name+"}, spec: {build: {name: app}}}")
}

// condition returns status and reason of the condition, empty when absent.
func (s space) condition(resource schema.GroupVersionResource, name, kind string) (string, string) {
	s.Helper()
	conditions, _, _ := unstructured.NestedSlice(s.get(resource, name).Object, "status", "conditions")
	for _, entry := range conditions {
		if condition, _ := entry.(map[string]any); condition["type"] == kind {
			status, _ := condition["status"].(string)
			reason, _ := condition["reason"].(string)
			return status, reason
		}
	}
	return "", ""
}

// expect waits until the Succeeded condition has the status and reason.
func (s space) expect(resource schema.GroupVersionResource, name, status, reason string) {
	s.Helper()
	var seen string
	eventually(s.T, name+" becomes "+status+"/"+reason+", last seen "+seen, func(context.Context) bool {
		gotStatus, gotReason := s.condition(resource, name, "Succeeded")
		seen = gotStatus + "/" + gotReason
		if gotStatus != "" && gotStatus != "Unknown" && seen != status+"/"+reason {
			s.Fatalf("%s ended %s, wanted %s/%s", name, seen, status, reason)
		}
		return seen == status+"/"+reason
	})
}

func (s space) field(resource schema.GroupVersionResource, name string, path ...string) string {
	s.Helper()
	value, _, err := unstructured.NestedFieldNoCopy(s.get(resource, name).Object, path...)
	if err != nil {
		s.Fatal(err)
	}
	text, _ := value.(string)
	return text
}

func TestBuildSucceedsByDefault(t *testing.T) {
	s := newSpace(t, nil)
	s.run("run")
	s.expect(buildRuns, "run", "True", "Succeeded")
	if digest := s.field(buildRuns, "run", "status", "output", "digest"); !strings.HasPrefix(digest, "sha256:") {
		t.Errorf("digest is %q", digest)
	}
	if sha := s.field(buildRuns, "run", "status", "source", "git", "commitSha"); len(sha) != 40 {
		t.Errorf("commit is %q", sha)
	}
}

func TestBuildReportsWhatItIsTold(t *testing.T) {
	s := newSpace(t, map[string]string{
		"app": `{"digest":"sha256:abc","size":42,"commitSha":"c0ffee","commitAuthor":"A","branchName":"b","vulnerabilities":"CVE-1:H"}`,
	})
	s.run("run")
	s.expect(buildRuns, "run", "True", "Succeeded")
	for want, path := range map[string][]string{
		"sha256:abc": {"status", "output", "digest"},
		"c0ffee":     {"status", "source", "git", "commitSha"},
		"b":          {"status", "source", "git", "branchName"},
	} {
		if got := s.field(buildRuns, "run", path...); got != want {
			t.Errorf("%v is %q, wanted %q", path, got, want)
		}
	}
}

func TestBuildFailures(t *testing.T) {
	for name, row := range map[string]struct{ script, reason, detail, container string }{
		"git":    {`{"outcome":"fail","errorReason":"GitError","errorMessage":"no route"}`, "Failed", "GitError", "step-source-default"},
		"step":   {`{"outcome":"fail","exitCode":3}`, "Failed", "", "step-build"},
		"oom":    {`{"outcome":"oom"}`, "StepOutOfMemory", "", "step-build"},
		"evict":  {`{"outcome":"evict"}`, "PodEvicted", "", ""},
		"pull":   {`{"outcome":"waiting"}`, "TaskRunImagePullFailed", "", ""},
		"config": {`{"outcome":"waiting","waitingReason":"CreateContainerConfigError"}`, "CreateContainerConfigError", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSpace(t, map[string]string{"default": row.script})
			s.run("run")
			s.expect(buildRuns, "run", "False", row.reason)
			if got := s.field(buildRuns, "run", "status", "failureDetails", "reason"); got != row.detail {
				t.Errorf("reason in failureDetails is %q, wanted %q", got, row.detail)
			}
			if got := s.field(buildRuns, "run", "status", "failureDetails", "location", "container"); row.container != "" && got != row.container {
				t.Errorf("failing container is %q, wanted %q", got, row.container)
			}
		})
	}
}

// started waits until the pod of the BuildRun runs.
func (s space) started(buildRun string) {
	s.Helper()
	eventually(s.T, "the pod runs", func(ctx context.Context) bool {
		list, err := shared.client.Resource(pods).Namespace(s.name).List(ctx, metav1.ListOptions{
			LabelSelector: "buildrun.shipwright.io/name=" + buildRun,
		})
		if err != nil || len(list.Items) != 1 {
			return false
		}
		phase, _, _ := unstructured.NestedString(list.Items[0].Object, "status", "phase")
		return phase == "Running"
	})
}

func TestHangingBuildIsCancelled(t *testing.T) {
	s := newSpace(t, map[string]string{"run": `{"outcome":"hang"}`, "app": `{"outcome":"fail"}`})
	s.run("run")
	s.started("run")
	patch := []byte(`{"spec":{"state":"BuildRunCanceled"}}`)
	_, err := shared.client.Resource(buildRuns).Namespace(s.name).
		Patch(t.Context(), "run", types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.expect(buildRuns, "run", "False", "BuildRunCanceled")
}

func TestHangingBuildGoesOnWhenTold(t *testing.T) {
	s := newSpace(t, map[string]string{"app": `{"outcome":"hang"}`})
	s.run("run")
	s.started("run")
	s.steer(map[string]string{"app": `{"outcome":"success"}`})
	s.expect(buildRuns, "run", "True", "Succeeded")
}

func TestOutcomesTakeTurns(t *testing.T) {
	s := newSpace(t, map[string]string{"app": `{"outcome":"fail","errorReason":"GitError","times":1}`})
	s.run("first")
	s.expect(buildRuns, "first", "False", "Failed")
	s.run("second")
	s.expect(buildRuns, "second", "True", "Succeeded")
}

func TestTaskRunReportsResults(t *testing.T) {
	s := newSpace(t, map[string]string{"task": `{"results":{"replicas":"3"}}`})
	s.create(taskRuns, `
apiVersion: tekton.dev/v1
kind: TaskRun
metadata: {name: task}
spec:
  taskSpec:
    results: [{name: replicas}]
    steps: [{name: scale, image: localhost/scale, command: [scale]}]`)
	s.expect(taskRuns, "task", "True", "Succeeded")
	results, _, _ := unstructured.NestedSlice(s.get(taskRuns, "task").Object, "status", "results")
	if len(results) != 1 || results[0].(map[string]any)["value"] != "3" {
		t.Errorf("results are %v", results)
	}
}

func TestJobs(t *testing.T) {
	s := newSpace(t, map[string]string{
		"fails": `{"outcome":"fail","failStep":"clone","exitCode":7,"messages":{"clone":"no such branch"}}`,
	})
	for name, want := range map[string]string{"completes": "Complete", "fails": "Failed"} {
		s.create(jobs, `
apiVersion: batch/v1
kind: Job
metadata: {name: `+name+`}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      initContainers: [{name: clone, image: localhost/clone}]
      containers: [{name: publish, image: localhost/publish}]`)
		eventually(t, name+" is "+want, func(context.Context) bool {
			status, _ := s.condition(jobs, name, want)
			return status == "True"
		})
	}
}

func TestOwnedObjectsAreCollected(t *testing.T) {
	s := newSpace(t, nil)
	s.run("run")
	s.expect(buildRuns, "run", "True", "Succeeded")
	if err := shared.client.Resource(buildRuns).Namespace(s.name).Delete(t.Context(), "run", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "TaskRun and pod are gone", func(ctx context.Context) bool {
		runs, err := shared.client.Resource(taskRuns).Namespace(s.name).List(ctx, metav1.ListOptions{})
		if err != nil || len(runs.Items) > 0 {
			return false
		}
		list, err := shared.client.Resource(pods).Namespace(s.name).List(ctx, metav1.ListOptions{})
		return err == nil && len(list.Items) == 0
	})
}
