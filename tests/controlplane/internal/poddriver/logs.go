package poddriver

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Logs serves container logs the way a kubelet does, which is where
// kube-apiserver fetches them. The text is the outcome's; a following reader
// gets what is added to it until the container has ended. Of the options it
// knows follow, tailLines and limitBytes, and ignores the others.
func (d *Driver) Logs() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request) {
		pod := types.NamespacedName{Namespace: r.PathValue("namespace"), Name: r.PathValue("pod")}
		d.serveLog(w, r, pod, r.PathValue("container"))
	})
	return mux
}

func (d *Driver) serveLog(w http.ResponseWriter, r *http.Request, pod types.NamespacedName, container string) {
	changed := d.changes.next()
	text, phase, err := d.logOf(pod, container)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	if phase == notStarted {
		http.Error(w, fmt.Sprintf("container %q in pod %q is waiting to start", container, pod.Name), http.StatusBadRequest)
		return
	}
	limit := number(r, "limitBytes", -1)
	write := func(part string) {
		if limit >= 0 {
			part = part[:min(limit, len(part))]
			limit -= len(part)
		}
		// A reader that has gone ends the request's context.
		_, _ = w.Write([]byte(part))
		_ = http.NewResponseController(w).Flush()
	}
	write(tail(text, number(r, "tailLines", -1)))
	if r.URL.Query().Get("follow") == "true" && phase == started {
		d.follow(r.Context(), pod, container, changed, len(text), write)
	}
}

// follow writes what is added to the log until the container has ended.
func (d *Driver) follow(ctx context.Context, pod types.NamespacedName, container string, changed <-chan struct{}, sent int, write func(string)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
		changed = d.changes.next()
		text, phase, err := d.logOf(pod, container)
		if err != nil {
			return
		}
		if len(text) > sent {
			write(text[sent:])
			sent = len(text)
		}
		if phase == over {
			return
		}
	}
}

// progress is how far a container is.
type progress int

const (
	notStarted progress = iota
	started
	over
)

// logOf returns the container's log and how far the container is.
func (d *Driver) logOf(key types.NamespacedName, container string) (string, progress, error) {
	pod, err := d.pods.Pods(key.Namespace).Get(key.Name)
	if err != nil {
		return "", notStarted, err
	}
	outcome, _, err := d.recall(pod)
	if err != nil {
		return "", notStarted, err
	}
	for _, status := range append(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses...) {
		if status.Name == container {
			return logText(outcome, container), progressOf(status.State), nil
		}
	}
	return "", notStarted, nil
}

func progressOf(state corev1.ContainerState) progress {
	switch {
	case state.Terminated != nil:
		return over
	case state.Running != nil:
		return started
	default:
		return notStarted
	}
}

// logText is the outcome's text for the container, or one line.
func logText(outcome Outcome, container string) string {
	for _, name := range []string{container, strings.TrimPrefix(container, "step-")} {
		if text, given := outcome.Logs[name]; given {
			return text
		}
	}
	return container + ": played by the pod driver\n"
}

// tail returns the last lines of the text, or all when lines is negative.
func tail(text string, lines int) string {
	all := strings.SplitAfter(text, "\n")
	if all[len(all)-1] == "" {
		all = all[:len(all)-1]
	}
	if lines < 0 || lines >= len(all) {
		return text
	}
	return strings.Join(all[len(all)-lines:], "")
}

// number returns a query parameter, or missing when it is no number.
func number(r *http.Request, name string, missing int) int {
	value, err := strconv.Atoi(r.URL.Query().Get(name))
	if err != nil {
		return missing
	}
	return value
}
