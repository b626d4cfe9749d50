package main

import (
	"os/exec"
	"strings"
	"testing"
)

// kubectl runs the control plane's kubectl in the space.
func (s space) kubectl(arguments ...string) *exec.Cmd {
	return exec.CommandContext(s.Context(), shared.state.Kubectl,
		append([]string{"--kubeconfig", shared.state.Kubeconfig, "--namespace", s.name}, arguments...)...)
}

func TestLogsAreFollowedToTheEnd(t *testing.T) {
	s := newSpace(t, map[string]string{"app": `{"outcome":"hang","logs":{"build":"one\ntwo\n"}}`})
	s.run("run")
	s.started("run")
	pod := []string{"logs", "--selector", "buildrun.shipwright.io/name=run", "--container", "step-build"}
	output, err := s.kubectl(append(pod, "--tail", "1")...).CombinedOutput()
	if err != nil || string(output) != "two\n" {
		t.Errorf("the last line is %q, %v", output, err)
	}
	var followed strings.Builder
	command := s.kubectl(append(pod, "--tail", "-1", "--follow")...)
	command.Stdout, command.Stderr = &followed, &followed
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	s.steer(map[string]string{"app": `{"logs":{"build":"one\ntwo\nthree\n"}}`})
	if err := command.Wait(); err != nil || followed.String() != "one\ntwo\nthree\n" {
		t.Errorf("followed %q, %v", followed.String(), err)
	}
	s.expect(buildRuns, "run", "True", "Succeeded")
}
