package poddriver

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var (
	start   = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	begun   = times{seen: start}
	running = times{seen: start, running: start}
	later   = start.Add(time.Hour)
)

// buildPod is a pod as Shipwright and Tekton make it.
func buildPod() *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "run-pod", UID: "u1",
			Annotations: map[string]string{readyAnnotation: "READY"},
			Labels: map[string]string{
				managedByLabel: tektonManager, buildRunLabel: "run", buildLabel: "app", taskRunLabel: "run-x",
			},
		},
		Spec: corev1.PodSpec{
			NodeName:       NodeName,
			Volumes:        []corev1.Volume{{Name: downwardVolume}},
			InitContainers: []corev1.Container{{Name: "prepare"}},
			Containers:     []corev1.Container{{Name: sourceStep}, {Name: buildStep}, {Name: imageStep}},
		},
	}
}

func mustParse(t *testing.T, text string) Outcome {
	t.Helper()
	outcome, err := parseOutcome(text)
	if err != nil {
		t.Fatal(err)
	}
	return outcome
}

// exits lists the exit codes of the containers in order, -1 for one that has
// not ended.
func exits(status *corev1.PodStatus) []int32 {
	var codes []int32
	for _, container := range status.ContainerStatuses {
		code := int32(-1)
		if container.State.Terminated != nil {
			code = container.State.Terminated.ExitCode
		}
		codes = append(codes, code)
	}
	return codes
}

func TestFinalStatuses(t *testing.T) {
	for text, want := range map[string]struct {
		phase corev1.PodPhase
		exits []int32
	}{
		`{}`:                              {corev1.PodSucceeded, []int32{0, 0, 0}},
		`{"outcome":"fail"}`:              {corev1.PodFailed, []int32{0, 1, 1}},
		`{"outcome":"fail","exitCode":5}`: {corev1.PodFailed, []int32{0, 5, 1}},
		`{"outcome":"fail","errorReason":"GitError"}`:                    {corev1.PodFailed, []int32{1, 1, 1}},
		`{"outcome":"fail","failStep":"image-processing","exitCode":22}`: {corev1.PodFailed, []int32{0, 0, 22}},
		`{"outcome":"fail","failStep":"step-image-processing"}`:          {corev1.PodFailed, []int32{0, 0, 1}},
		`{"outcome":"fail","failStep":"prepare"}`:                        {corev1.PodFailed, []int32{-1, -1, -1}},
		`{"outcome":"oom"}`:   {corev1.PodFailed, []int32{0, 137, 1}},
		`{"outcome":"evict"}`: {corev1.PodFailed, []int32{137, 137, 137}},
	} {
		decision := decide(buildPod(), mustParse(t, text), running, later)
		if decision.status == nil {
			t.Errorf("%s: nothing written", text)
			continue
		}
		if got := decision.status.Phase; got != want.phase {
			t.Errorf("%s: phase is %s, wanted %s", text, got, want.phase)
		}
		if got := exits(decision.status); !slices.Equal(got, want.exits) {
			t.Errorf("%s: exit codes are %v, wanted %v", text, got, want.exits)
		}
	}
}

func TestContainersKeepTheOrderOfTheSpec(t *testing.T) {
	for _, text := range []string{`{}`, `{"outcome":"fail"}`, `{"outcome":"waiting"}`, `{"outcome":"evict"}`} {
		for _, when := range []times{begun, running} {
			status := decide(buildPod(), mustParse(t, text), when, later).status
			if status == nil {
				continue
			}
			var names []string
			for _, container := range status.ContainerStatuses {
				names = append(names, container.Name)
			}
			if !slices.Equal(names, []string{sourceStep, buildStep, imageStep}) {
				t.Errorf("%s: containers are %v", text, names)
			}
		}
	}
}

func TestPodRunsAfterItsDelayAndEndsAfterItsTime(t *testing.T) {
	outcome := mustParse(t, `{"startDelayMs":100,"runMs":200}`)
	if got := decide(buildPod(), outcome, begun, start.Add(40*time.Millisecond)); got.after != 60*time.Millisecond || got.status != nil {
		t.Errorf("before the delay: %+v", got)
	}
	got := decide(buildPod(), outcome, begun, start.Add(100*time.Millisecond))
	if !got.runs || got.status.Phase != corev1.PodRunning || got.after != 200*time.Millisecond {
		t.Errorf("after the delay: %+v", got)
	}
	if got := decide(buildPod(), outcome, running, start.Add(150*time.Millisecond)); got.after != 50*time.Millisecond || got.status != nil {
		t.Errorf("while running: %+v", got)
	}
}

func TestFirstStepWaitsForTekton(t *testing.T) {
	pod := buildPod()
	pod.Annotations = nil
	if got := decide(pod, mustParse(t, `{}`), running, later); got.status != nil || got.after != 0 {
		t.Errorf("without the annotation: %+v", got)
	}
	pod.Spec.Volumes = nil
	if got := decide(pod, mustParse(t, `{}`), running, later); got.status == nil {
		t.Error("a pod that needs no annotation waits for it")
	}
}

func TestNothingIsDoneTwice(t *testing.T) {
	pod := buildPod()
	waiting := mustParse(t, `{"outcome":"waiting"}`)
	pod.Status = *decide(pod, waiting, begun, later).status
	if got := decide(pod, waiting, begun, later); got.status != nil {
		t.Error("a waiting pod is written again")
	}
	if got := decide(pod, mustParse(t, `{"outcome":"waiting","waitingReason":"InvalidImageName"}`), begun, later); got.status == nil {
		t.Error("a changed reason is not written")
	}
	pod.Status = *decide(pod, mustParse(t, `{}`), running, later).status
	if got := decide(pod, mustParse(t, `{"outcome":"fail"}`), running, later); got.status != nil || got.remove {
		t.Errorf("an ended pod is touched: %+v", got)
	}
	if got := decide(buildPod(), mustParse(t, `{"outcome":"hang"}`), running, later); got.status != nil || got.after != 0 {
		t.Errorf("a hanging pod is touched: %+v", got)
	}
}

func TestDeletedPodIsKilledAndRemoved(t *testing.T) {
	pod := buildPod()
	pod.DeletionTimestamp = &metav1.Time{Time: start}
	got := decide(pod, mustParse(t, `{"outcome":"hang"}`), running, later)
	if !got.remove || got.status == nil || got.status.Phase != corev1.PodFailed {
		t.Errorf("running: %+v", got)
	}
	pod.Status.Phase = corev1.PodSucceeded
	if got := decide(pod, mustParse(t, `{}`), running, later); !got.remove || got.status != nil {
		t.Errorf("ended: %+v", got)
	}
}

// reported returns the Tekton results in the message of the container.
func reported(t *testing.T, status *corev1.PodStatus, container int) map[string]string {
	t.Helper()
	var entries []entry
	text := status.ContainerStatuses[container].State.Terminated.Message
	if err := json.Unmarshal([]byte(text), &entries); err != nil {
		t.Fatalf("message %q: %v", text, err)
	}
	values := map[string]string{}
	for _, entry := range entries {
		values[entry.Key] = entry.Value
	}
	return values
}

func TestMessages(t *testing.T) {
	status := decide(buildPod(), mustParse(t, `{"size":7,"branchName":"b"}`), running, later).status
	source, build, image := reported(t, status, 0), reported(t, status, 1), reported(t, status, 2)
	if source["shp-source-default-branch-name"] != "b" || len(source["shp-source-default-commit-sha"]) != 40 {
		t.Errorf("source step reports %v", source)
	}
	if len(build) != 1 || build["StartedAt"] == "" {
		t.Errorf("build step reports %v", build)
	}
	if image["shp-image-size"] != "7" || len(image["shp-image-digest"]) != len("sha256:")+64 {
		t.Errorf("image step reports %v", image)
	}
	status = decide(buildPod(), mustParse(t, `{"outcome":"fail","errorReason":"DockerfileNotFound"}`), running, later).status
	if got := reported(t, status, 1)["shp-error-reason"]; got != "DockerfileNotFound" {
		t.Errorf("failing step reports reason %q", got)
	}
	if got := reported(t, status, 2)["Reason"]; got != "Skipped" {
		t.Errorf("later step reports %q", got)
	}
	status = decide(buildPod(), mustParse(t, `{"messages":{"build":"plain"}}`), running, later).status
	if got := status.ContainerStatuses[1].State.Terminated.Message; got != "plain" {
		t.Errorf("given message became %q", got)
	}
}
