package poddriver

import (
	"cmp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// killedExitCode is that of a container ended by SIGKILL.
const killedExitCode = 137

// The functions below return a whole status each. All containers are listed in
// the order of the spec, because Tekton sorts them so and takes a missing one
// for one without a state.

// runningStatus is that of a pod whose containers run. When the outcome makes
// an init container fail, that one runs and the others wait for it.
func runningStatus(pod *corev1.Pod, outcome Outcome, now time.Time) corev1.PodStatus {
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(now)}}
	if failing := culpritInit(pod, outcome); failing >= 0 {
		return stuckInInit(pod, outcome, corev1.PodPending, running, now)
	}
	status := baseStatus(pod, corev1.PodRunning, now)
	status.InitContainerStatuses = initialized(pod, outcome, now)
	for _, container := range pod.Spec.Containers {
		status.ContainerStatuses = append(status.ContainerStatuses, containerStatus(container, running))
	}
	return status
}

// initialized returns the statuses of init containers that have all completed.
func initialized(pod *corev1.Pod, outcome Outcome, now time.Time) []corev1.ContainerStatus {
	var statuses []corev1.ContainerStatus
	for _, container := range pod.Spec.InitContainers {
		state := ended(0, "Completed", message(pod, container.Name, outcome, completed, now), now)
		statuses = append(statuses, containerStatus(container, state))
	}
	return statuses
}

// stuckInInit is the status of a pod that does not get past the init container
// the outcome concerns, which is in the given state.
func stuckInInit(pod *corev1.Pod, outcome Outcome, phase corev1.PodPhase, state corev1.ContainerState, now time.Time) corev1.PodStatus {
	status := baseStatus(pod, phase, now)
	failing := culpritInit(pod, outcome)
	status.InitContainerStatuses = initialized(pod, outcome, now)
	for i, container := range pod.Spec.InitContainers {
		if i == failing {
			status.InitContainerStatuses[i] = containerStatus(container, state)
		} else if i > failing {
			status.InitContainerStatuses[i] = containerStatus(container, waitingFor("PodInitializing"))
		}
	}
	for _, container := range pod.Spec.Containers {
		status.ContainerStatuses = append(status.ContainerStatuses, containerStatus(container, waitingFor("PodInitializing")))
	}
	return status
}

// waitingStatus is that of a pod of which a container cannot start.
func waitingStatus(pod *corev1.Pod, outcome Outcome, now time.Time) corev1.PodStatus {
	status := baseStatus(pod, corev1.PodPending, now)
	status.InitContainerStatuses = initialized(pod, outcome, now)
	stuck := culprit(pod, outcome)
	for i, container := range pod.Spec.Containers {
		state := waitingFor("ContainerCreating")
		if i == stuck {
			state = waitingFor(waitingReason(outcome))
			state.Waiting.Message = "played by the pod driver for image " + container.Image
		}
		status.ContainerStatuses = append(status.ContainerStatuses, containerStatus(container, state))
	}
	return status
}

func waitingReason(outcome Outcome) string { return cmp.Or(outcome.WaitingReason, "ImagePullBackOff") }

// finalStatus is that of a pod that has ended.
func finalStatus(pod *corev1.Pod, outcome Outcome, now time.Time) corev1.PodStatus {
	switch outcome.Outcome {
	case Evict:
		status := killedStatus(pod, outcome, now)
		status.Reason = "Evicted"
		status.Message = cmp.Or(outcome.ErrorMessage, "The node was low on resource: memory.")
		return status
	case Fail:
		return failedStatus(pod, outcome, cmp.Or(outcome.ExitCode, 1), "Error", now)
	case OOM:
		return failedStatus(pod, outcome, killedExitCode, "OOMKilled", now)
	default:
		status := baseStatus(pod, corev1.PodSucceeded, now)
		status.InitContainerStatuses = initialized(pod, outcome, now)
		for _, container := range pod.Spec.Containers {
			state := ended(0, "Completed", message(pod, container.Name, outcome, completed, now), now)
			status.ContainerStatuses = append(status.ContainerStatuses, containerStatus(container, state))
		}
		return status
	}
}

// failedStatus lets one container end with the exit code and reason. Tekton's
// later steps are then skipped; containers of other pods do not wait for one
// another and complete.
func failedStatus(pod *corev1.Pod, outcome Outcome, exitCode int32, reason string, now time.Time) corev1.PodStatus {
	if failing := culpritInit(pod, outcome); failing >= 0 {
		name := pod.Spec.InitContainers[failing].Name
		state := ended(exitCode, reason, message(pod, name, outcome, failed, now), now)
		return stuckInInit(pod, outcome, corev1.PodFailed, state, now)
	}
	status := baseStatus(pod, corev1.PodFailed, now)
	status.InitContainerStatuses = initialized(pod, outcome, now)
	failing := culprit(pod, outcome)
	for i, container := range pod.Spec.Containers {
		state := ended(0, "Completed", message(pod, container.Name, outcome, completed, now), now)
		if i == failing {
			state = ended(exitCode, reason, message(pod, container.Name, outcome, failed, now), now)
		} else if i > failing && ofTekton(pod) {
			state = ended(1, "Error", message(pod, container.Name, outcome, skipped, now), now)
		}
		status.ContainerStatuses = append(status.ContainerStatuses, containerStatus(container, state))
	}
	return status
}

// killedStatus is that of a pod whose containers were killed.
func killedStatus(pod *corev1.Pod, outcome Outcome, now time.Time) corev1.PodStatus {
	status := baseStatus(pod, corev1.PodFailed, now)
	status.InitContainerStatuses = initialized(pod, outcome, now)
	for _, container := range pod.Spec.Containers {
		state := ended(killedExitCode, "Error", "", now)
		status.ContainerStatuses = append(status.ContainerStatuses, containerStatus(container, state))
	}
	return status
}

// culprit returns the index of the container that the outcome concerns: the
// one it names, or where such an error happens in a build, or the last.
func culprit(pod *corev1.Pod, outcome Outcome) int {
	names := []string{outcome.FailStep, "step-" + outcome.FailStep}
	if outcome.FailStep == "" {
		names = []string{buildStep}
		if strings.HasPrefix(outcome.ErrorReason, "Git") || outcome.ErrorReason == "AuthUnexpectedHTTP" {
			names = []string{sourceStep}
		}
	}
	last := 0
	for i, container := range pod.Spec.Containers {
		if slices.Contains(names, container.Name) {
			return i
		}
		if !strings.HasPrefix(container.Name, "sidecar-") {
			last = i
		}
	}
	return last
}

// culpritInit returns the index of the init container that the outcome lets
// fail, or -1.
func culpritInit(pod *corev1.Pod, outcome Outcome) int {
	if outcome.Outcome != Fail && outcome.Outcome != OOM || outcome.FailStep == "" {
		return -1
	}
	return slices.IndexFunc(pod.Spec.InitContainers, func(c corev1.Container) bool { return c.Name == outcome.FailStep })
}

// baseStatus is what all statuses share.
func baseStatus(pod *corev1.Pod, phase corev1.PodPhase, now time.Time) corev1.PodStatus {
	started := pod.Status.StartTime
	if started == nil {
		started = &metav1.Time{Time: now}
	}
	ready := corev1.ConditionFalse
	if phase == corev1.PodRunning {
		ready = corev1.ConditionTrue
	}
	condition := func(kind corev1.PodConditionType, status corev1.ConditionStatus) corev1.PodCondition {
		return corev1.PodCondition{Type: kind, Status: status, LastTransitionTime: metav1.NewTime(now)}
	}
	return corev1.PodStatus{
		Phase:     phase,
		StartTime: started,
		Conditions: []corev1.PodCondition{
			condition(corev1.PodScheduled, corev1.ConditionTrue),
			condition(corev1.PodInitialized, corev1.ConditionTrue),
			condition(corev1.ContainersReady, ready),
			condition(corev1.PodReady, ready),
		},
	}
}

func containerStatus(container corev1.Container, state corev1.ContainerState) corev1.ContainerStatus {
	running := state.Running != nil
	return corev1.ContainerStatus{
		Name: container.Name, Image: container.Image, ImageID: container.Image,
		State: state, Ready: running, Started: &running,
	}
}

func waitingFor(reason string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}}
}

func ended(exitCode int32, reason, message string, now time.Time) corev1.ContainerState {
	at := metav1.NewTime(now)
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: exitCode, Reason: reason, Message: message, StartedAt: at, FinishedAt: at,
	}}
}
