package poddriver

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Steps that Shipwright adds around those of the strategy, as container names.
const (
	sourceStep = "step-source-default"
	buildStep  = "step-build"
	imageStep  = "step-image-processing"
)

// Types of an entry of a Tekton termination message.
const (
	taskResult     = 1
	internalResult = 3
)

// entry is one element of a Tekton termination message.
type entry struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	Type  int    `json:"type"`
}

// ending is how one container ends.
type ending int

const (
	completed ending = iota
	failed
	// skipped means that an earlier step failed, so that the entrypoint ended
	// without running the step.
	skipped
)

// message returns the termination message of a container.
func message(pod *corev1.Pod, container string, outcome Outcome, how ending, now time.Time) string {
	for _, name := range []string{container, strings.TrimPrefix(container, "step-")} {
		if text, given := outcome.Messages[name]; given {
			return text
		}
	}
	if !ofTekton(pod) || !strings.HasPrefix(container, "step-") {
		return ""
	}
	entries := []entry{{"StartedAt", now.UTC().Format("2006-01-02T15:04:05.000Z07:00"), internalResult}}
	switch how {
	case completed:
		entries = append(entries, results(pod, container, outcome)...)
	case failed:
		entries = append(entries, errorResults(pod, outcome)...)
	case skipped:
		entries = append(entries, entry{"Reason", "Skipped", internalResult})
	}
	text, err := json.Marshal(entries)
	if err != nil {
		panic("entries of plain strings always encode: " + err.Error())
	}
	return string(text)
}

// results are what a successful step reports.
func results(pod *corev1.Pod, container string, outcome Outcome) []entry {
	values := map[string]string{}
	last := lastStep(pod)
	if container == last {
		maps.Copy(values, outcome.Results)
	}
	if ofShipwright(pod) && container == sourceStep {
		values["shp-source-default-commit-sha"] = cmp.Or(outcome.CommitSha, derive(pod, "commit")[:40])
		values["shp-source-default-commit-author"] = cmp.Or(outcome.CommitAuthor, "Pod Driver")
		values["shp-source-default-branch-name"] = cmp.Or(outcome.BranchName, "main")
	}
	if ofShipwright(pod) && container == imageReporter(pod, last) {
		values["shp-image-digest"] = cmp.Or(outcome.Digest, "sha256:"+derive(pod, "image"))
		values["shp-image-size"] = cmp.Or(outcome.Size.String(), "1048576")
		values["shp-image-vulnerabilities"] = outcome.Vulnerabilities
	}
	return taskResults(values)
}

// errorResults are what the failing step of a build reports.
func errorResults(pod *corev1.Pod, outcome Outcome) []entry {
	values := map[string]string{}
	if ofShipwright(pod) {
		values["shp-error-reason"] = outcome.ErrorReason
		values["shp-error-message"] = outcome.ErrorMessage
		values["shp-image-vulnerabilities"] = outcome.Vulnerabilities
	}
	return taskResults(values)
}

// taskResults orders the results and leaves out empty ones, as steps write
// none of those.
func taskResults(values map[string]string) []entry {
	var entries []entry
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if values[key] != "" {
			entries = append(entries, entry{key, values[key], taskResult})
		}
	}
	return entries
}

// imageReporter is the step that knows the image: the one that pushes it, or
// else the last, but never one that comes before there is an image.
func imageReporter(pod *corev1.Pod, last string) string {
	if hasContainer(pod, imageStep) {
		return imageStep
	}
	if last == sourceStep {
		return ""
	}
	return last
}

func lastStep(pod *corev1.Pod) string {
	last := ""
	for _, container := range pod.Spec.Containers {
		if strings.HasPrefix(container.Name, "step-") {
			last = container.Name
		}
	}
	return last
}

func hasContainer(pod *corev1.Pod, name string) bool {
	return slices.ContainsFunc(pod.Spec.Containers, func(c corev1.Container) bool { return c.Name == name })
}

// derive returns 64 hexadecimal digits that are the same for the same pod and
// purpose.
func derive(pod *corev1.Pod, purpose string) string {
	sum := sha256.Sum256([]byte(purpose + "/" + string(pod.UID)))
	return hex.EncodeToString(sum[:])
}
