package poddriver

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestOutcomesTakeTurns(t *testing.T) {
	outcome := mustParse(t, `{"outcome":"fail","times":2,"then":{"outcome":"hang","times":1}}`)
	for index, want := range []string{Fail, Fail, Hang, Success, Success} {
		if got := outcome.forPod(index).Outcome; got != want {
			t.Errorf("pod %d: %s, wanted %s", index, got, want)
		}
	}
	outcome = mustParse(t, `{"outcome":"oom","times":1,"then":{}}`)
	if got := outcome.forPod(1).Outcome; got != Success {
		t.Errorf("an empty outcome is %q", got)
	}
}

func TestMistakesAreRefused(t *testing.T) {
	for _, text := range []string{`{"outcome":"explode"}`, `{"digset":"x"}`, `{"then":{"outcome":"no"}}`, `no JSON`} {
		if _, err := parseOutcome(text); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
}

func TestTheMostSpecificKeyCounts(t *testing.T) {
	pod := buildPod()
	pod.Labels["work.example.com/order"] = "order-1"
	data := map[string]string{"default": "{}"}
	for _, want := range []string{"default", "order-1", "run-x", "app", "run"} {
		data[want] = "{}"
		if got := keyFor(pod, data); got != want {
			t.Errorf("key is %q, wanted %q", got, want)
		}
	}
	if got := keyFor(pod, nil); got != defaultKey {
		t.Errorf("key without a ConfigMap is %q", got)
	}
}

func TestOnlyPodsOfTektonAndJobsArePlayed(t *testing.T) {
	for label, want := range map[string]bool{
		"app.kubernetes.io/managed-by": true, "batch.kubernetes.io/job-name": true, "app": false,
	} {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{label: tektonManager}}}
		if got := plays(pod); got != want {
			t.Errorf("label %s: %v", label, got)
		}
	}
}
