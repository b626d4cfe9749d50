package state

import (
	"os"
	"os/exec"
	"testing"
)

func TestClaimIsExclusiveWhileItsProcessLives(t *testing.T) {
	dir := t.TempDir()
	if owner, err := Owner(dir); owner != nil || err != nil {
		t.Fatalf("an empty folder is owned by %v, %v", owner, err)
	}
	if err := Claim(dir); err != nil {
		t.Fatal(err)
	}
	if owner, err := Owner(dir); err != nil || owner == nil || owner.Pid != os.Getpid() {
		t.Errorf("owner is %v, %v", owner, err)
	}
	if err := Claim(dir); err == nil {
		t.Error("a second claim is accepted")
	}
}

func TestAnEndedProcessOwnsNothing(t *testing.T) {
	dir := t.TempDir()
	child := exec.Command("sleep", "60")
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	started, err := startTime(child.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	owner := Supervisor{child.Process.Pid, started}
	if err := writeJSON(SupervisorFile(dir), owner); err != nil {
		t.Fatal(err)
	}
	if found, err := Owner(dir); err != nil || found == nil {
		t.Errorf("living owner is %v, %v", found, err)
	}
	if err := writeJSON(SupervisorFile(dir), Supervisor{owner.Pid, "1"}); err != nil {
		t.Fatal(err)
	}
	if found, err := Owner(dir); err != nil || found != nil {
		t.Errorf("a later process of the same id passes for the owner: %v, %v", found, err)
	}
	_ = child.Process.Kill()
	_ = child.Wait()
	if err := writeJSON(SupervisorFile(dir), owner); err != nil {
		t.Fatal(err)
	}
	if found, err := Owner(dir); err != nil || found != nil {
		t.Errorf("an ended process is the owner: %v, %v", found, err)
	}
}
