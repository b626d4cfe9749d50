package poddriver

import (
	"maps"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// Labels that Tekton and Shipwright put on pods.
const (
	managedByLabel   = "app.kubernetes.io/managed-by"
	tektonManager    = "tekton-pipelines"
	buildRunLabel    = "buildrun.shipwright.io/name"
	buildLabel       = "build.shipwright.io/name"
	taskRunLabel     = "tekton.dev/taskRun"
	pipelineTask     = "tekton.dev/pipelineTask"
	pipelineRunLabel = "tekton.dev/pipelineRun"
)

// defaultKey is the key for pods that no other key names.
const defaultKey = "default"

// keyLabels are the labels whose values are keys of the ConfigMap, the most
// specific first.
var keyLabels = []string{
	buildRunLabel, buildLabel, taskRunLabel, pipelineTask, pipelineRunLabel, batchv1.JobNameLabel,
}

// plays says whether the pod is one the driver is for.
func plays(pod *corev1.Pod) bool { return ofTekton(pod) || pod.Labels[batchv1.JobNameLabel] != "" }

func ofTekton(pod *corev1.Pod) bool { return pod.Labels[managedByLabel] == tektonManager }

func ofShipwright(pod *corev1.Pod) bool { return pod.Labels[buildRunLabel] != "" }

// keyFor returns the key of data that names the pod: by the value of one of
// keyLabels, then of any other label in the order of their names, and then
// defaultKey. Other labels count because whoever creates a run often cannot
// know its name beforehand, but labels it.
func keyFor(pod *corev1.Pod, data map[string]string) string {
	others := slices.DeleteFunc(slices.Sorted(maps.Keys(pod.Labels)), func(label string) bool {
		return slices.Contains(keyLabels, label)
	})
	for _, label := range slices.Concat(keyLabels, others) {
		value := pod.Labels[label]
		if _, named := data[value]; named && value != "" && value != defaultKey {
			return value
		}
	}
	return defaultKey
}

// outcomeText returns the ConfigMap's text for the key.
func outcomeText(data map[string]string, key string) string {
	if text := strings.TrimSpace(data[key]); text != "" {
		return text
	}
	return "{}"
}
