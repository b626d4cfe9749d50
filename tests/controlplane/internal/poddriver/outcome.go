// Package poddriver plays the status of pods that no kubelet runs: those of
// Tekton (and so of Shipwright) and of Jobs. What becomes of a pod is read from
// a ConfigMap in its namespace; without one every pod succeeds. It runs no
// container and knows no exec, no probes and no restarts.
package poddriver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// ConfigMapName is the name of the ConfigMap that steers the driver.
const ConfigMapName = "pod-driver"

// The ways a pod can go.
const (
	Success = "success"
	Hang    = "hang"
	Fail    = "fail"
	Evict   = "evict"
	OOM     = "oom"
	Waiting = "waiting"
)

const (
	defaultStartDelay = 50 * time.Millisecond
	defaultRun        = 300 * time.Millisecond
)

// Outcome is one value of the ConfigMap.
type Outcome struct {
	// Outcome is one of the constants above; empty means Success.
	Outcome string `json:"outcome,omitempty"`

	// What a successful build reports. Digest and CommitSha are derived from
	// the pod's uid when empty.
	Digest          string      `json:"digest,omitempty"`
	Size            json.Number `json:"size,omitempty"`
	CommitSha       string      `json:"commitSha,omitempty"`
	CommitAuthor    string      `json:"commitAuthor,omitempty"`
	BranchName      string      `json:"branchName,omitempty"`
	Vulnerabilities string      `json:"vulnerabilities,omitempty"`

	// ErrorReason and ErrorMessage are what the failing step of a build
	// reports.
	ErrorReason  string `json:"errorReason,omitempty"`
	ErrorMessage string `json:"errorMessage,omitempty"`
	// FailStep is the step or container that Fail, OOM and Waiting concern.
	FailStep string `json:"failStep,omitempty"`
	// ExitCode is the failing container's; zero means 1.
	ExitCode int32 `json:"exitCode,omitempty"`
	// WaitingReason is why the container of a Waiting pod does not start;
	// empty means ImagePullBackOff.
	WaitingReason string `json:"waitingReason,omitempty"`

	// Messages are termination messages by step or container, as they are.
	Messages map[string]string `json:"messages,omitempty"`
	// Results are Tekton results, reported by the last step that succeeds.
	Results map[string]string `json:"results,omitempty"`

	// Logs are log texts by step or container.
	Logs map[string]string `json:"logs,omitempty"`

	// StartDelayMs is the time until the containers run (50 when absent),
	// RunMs the time until they end (300 when absent), in milliseconds.
	StartDelayMs *int64 `json:"startDelayMs,omitempty"`
	RunMs        *int64 `json:"runMs,omitempty"`

	// Times limits this outcome to the first pods of its key; Then, or Success,
	// is for those after them. Zero means all pods.
	Times int      `json:"times,omitempty"`
	Then  *Outcome `json:"then,omitempty"`
}

// parseOutcome reads one value of the ConfigMap. It refuses unknown fields, so
// that a misspelt one does not pass for its default.
func parseOutcome(text string) (Outcome, error) {
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.DisallowUnknownFields()
	var outcome Outcome
	if err := decoder.Decode(&outcome); err != nil {
		return Outcome{}, err
	}
	for link := &outcome; link != nil; link = link.Then {
		switch link.Outcome {
		case "":
			link.Outcome = Success
		case Success, Hang, Fail, Evict, OOM, Waiting:
		default:
			return Outcome{}, fmt.Errorf("unknown outcome %q", link.Outcome)
		}
	}
	return outcome, nil
}

// forPod returns the outcome of the pod that is the index-th of its key,
// counted from zero.
func (o Outcome) forPod(index int) Outcome {
	for o.Times > 0 && index >= o.Times {
		if o.Then == nil {
			return Outcome{Outcome: Success}
		}
		index -= o.Times
		o = *o.Then
	}
	return o
}

func (o Outcome) startDelay() time.Duration { return milliseconds(o.StartDelayMs, defaultStartDelay) }

func (o Outcome) run() time.Duration { return milliseconds(o.RunMs, defaultRun) }

func milliseconds(value *int64, missing time.Duration) time.Duration {
	if value == nil {
		return missing
	}
	return time.Duration(*value) * time.Millisecond
}
