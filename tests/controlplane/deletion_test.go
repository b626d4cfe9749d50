package main

import (
	"context"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// hanging is a script under which all pods run until they are told to end.
var hanging = map[string]string{"default": `{"outcome":"hang"}`}

// runJob starts a Job and returns the name of its pod once that runs.
func (s space) runJob(name string) string {
	s.Helper()
	s.create(jobs, `
apiVersion: batch/v1
kind: Job
metadata: {name: `+name+`}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: 600
      containers: [{name: work, image: localhost/work}]`)
	var pod string
	eventually(s.T, "the pod of "+name+" runs", func(ctx context.Context) bool {
		list, err := shared.client.Resource(pods).Namespace(s.name).List(ctx, metav1.ListOptions{LabelSelector: "batch.kubernetes.io/job-name=" + name})
		if err != nil || len(list.Items) != 1 {
			return false
		}
		pod = list.Items[0].GetName()
		return phase(&list.Items[0]) == "Running"
	})
	return pod
}

func phase(pod *unstructured.Unstructured) string {
	text, _, _ := unstructured.NestedString(pod.Object, "status", "phase")
	return text
}

func (s space) deletePod(name string) {
	s.Helper()
	if err := shared.client.Resource(pods).Namespace(s.name).Delete(s.Context(), name, metav1.DeleteOptions{}); err != nil {
		s.Fatal(err)
	}
}

func (s space) expectNoPod(name string) {
	s.Helper()
	eventually(s.T, "pod "+name+" is gone", func(ctx context.Context) bool {
		_, err := shared.client.Resource(pods).Namespace(s.name).Get(ctx, name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
}

func (s space) patchFinalizers(pod, finalizers string) {
	s.Helper()
	patch := []byte(`{"metadata":{"finalizers":` + finalizers + `}}`)
	_, err := shared.client.Resource(pods).Namespace(s.name).Patch(s.Context(), pod, types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil {
		s.Fatal(err)
	}
}

func TestDeletedPodDoesNotUseUpItsGracePeriod(t *testing.T) {
	s := newSpace(t, hanging)
	pod := s.runJob("work")
	started := time.Now()
	s.deletePod(pod)
	s.expectNoPod(pod)
	if took := time.Since(started); took > time.Minute {
		t.Errorf("the pod with a grace period of 600 s went after %s", took)
	}
	eventually(t, "the Job counts a failed pod", func(context.Context) bool {
		status, _ := s.condition(jobs, "work", "Failed")
		return status == "True"
	})
}

func TestFinalizerHoldsAKilledPod(t *testing.T) {
	s := newSpace(t, hanging)
	pod := s.runJob("work")
	s.patchFinalizers(pod, `["example.com/held"]`)
	s.deletePod(pod)
	eventually(t, "the pod is killed", func(context.Context) bool {
		held := s.get(pods, pod)
		grace := held.GetDeletionGracePeriodSeconds()
		return phase(held) == "Failed" && grace != nil && *grace == 0
	})
	s.patchFinalizers(pod, `null`)
	s.expectNoPod(pod)
}

func TestPodWithABrokenScriptIsRemovedToo(t *testing.T) {
	s := newSpace(t, hanging)
	pod := s.runJob("work")
	s.steer(map[string]string{"default": `{"outcome":"no such thing"}`})
	s.deletePod(pod)
	s.expectNoPod(pod)
}

func TestNamespaceWithARunningBuildAndJobEnds(t *testing.T) {
	s := newSpace(t, hanging)
	s.runJob("work")
	s.run("run")
	s.started("run")
	if err := shared.client.Resource(namespaces).Delete(t.Context(), s.name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the namespace is gone", func(ctx context.Context) bool {
		_, err := shared.client.Resource(namespaces).Get(ctx, s.name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
}
