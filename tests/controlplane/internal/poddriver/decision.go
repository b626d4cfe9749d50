package poddriver

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	// downwardVolume is how Tekton's first step learns that it may start: a
	// file that shows the annotation below.
	downwardVolume  = "tekton-internal-downward"
	readyAnnotation = "tekton.dev/ready"
)

// times are when the driver saw a pod first and when it let its containers
// run. Pod statuses carry whole seconds only, too coarse for the delays.
type times struct {
	seen    time.Time
	running time.Time
}

// decision is what to do with a pod now.
type decision struct {
	// status is written when not nil.
	status *corev1.PodStatus
	// bind assigns the pod to the node; the change brings it here again.
	bind bool
	// runs means that the written status lets the containers run.
	runs bool
	// remove deletes the pod at once.
	remove bool
	// after is when to look again; zero means at the next change.
	after time.Duration
}

// decide is the driver's whole logic: pod, outcome and times go in, and what
// to do comes out.
func decide(pod *corev1.Pod, outcome Outcome, times times, now time.Time) decision {
	over := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	switch {
	case pod.DeletionTimestamp != nil && !over:
		status := killedStatus(pod, outcome, now)
		return decision{status: &status, remove: true}
	case pod.DeletionTimestamp != nil:
		return decision{remove: true}
	case over:
		return decision{}
	case times.running.IsZero():
		return begin(pod, outcome, times, now)
	default:
		return finish(pod, outcome, times, now)
	}
}

// begin lets the containers run, or shows why they cannot.
func begin(pod *corev1.Pod, outcome Outcome, times times, now time.Time) decision {
	if wait := outcome.startDelay() - now.Sub(times.seen); wait > 0 {
		return decision{after: wait}
	}
	if pod.Spec.NodeName == "" {
		return decision{bind: true}
	}
	if outcome.Outcome != Waiting {
		status := runningStatus(pod, outcome, now)
		return decision{status: &status, runs: true, after: outcome.run()}
	}
	if shows(pod, outcome) {
		return decision{}
	}
	status := waitingStatus(pod, outcome, now)
	return decision{status: &status}
}

// shows says whether the pod already waits as the outcome wants it to.
func shows(pod *corev1.Pod, outcome Outcome) bool {
	stuck := culprit(pod, outcome)
	if stuck >= len(pod.Status.ContainerStatuses) {
		return false
	}
	waiting := pod.Status.ContainerStatuses[stuck].State.Waiting
	return waiting != nil && waiting.Reason == waitingReason(outcome)
}

// finish ends the containers when their time has come. What runs cannot wait
// to start any more, so that a change to Waiting is as Hang.
func finish(pod *corev1.Pod, outcome Outcome, times times, now time.Time) decision {
	if outcome.Outcome == Hang || outcome.Outcome == Waiting || awaitsTekton(pod) {
		return decision{}
	}
	if wait := outcome.run() - now.Sub(times.running); wait > 0 {
		return decision{after: wait}
	}
	status := finalStatus(pod, outcome, now)
	return decision{status: &status}
}

// awaitsTekton says whether the first step still waits for Tekton, which sets
// the annotation once all sidecars are ready.
func awaitsTekton(pod *corev1.Pod) bool {
	for _, volume := range pod.Spec.Volumes {
		if volume.Name == downwardVolume {
			return pod.Annotations[readyAnnotation] == ""
		}
	}
	return false
}
