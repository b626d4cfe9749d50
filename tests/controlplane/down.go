package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"syscall"
	"time"

	"brokkr.io/work/tests/controlplane/internal/state"
)

const (
	// stopTimeout is how long a supervisor may take to end before it is
	// killed. Its children die with it either way.
	stopTimeout = 10 * time.Second
	// stopInterval is how often it is looked after.
	stopInterval = 20 * time.Millisecond
)

// down stops the supervisor of a folder, if it lives, and removes the folder.
func down(ctx context.Context, arguments []string) error {
	flags := flag.NewFlagSet("down", flag.ContinueOnError)
	dir := flags.String("dir", "", "folder of the control plane (required)")
	if err := parse(flags, arguments); err != nil {
		return err
	}
	if *dir == "" {
		return errors.New("--dir is required")
	}
	if _, err := os.Stat(state.SupervisorFile(*dir)); err != nil {
		return fmt.Errorf("%s is not the folder of a control plane: %w", *dir, err)
	}
	owner, err := state.Owner(*dir)
	if err != nil {
		return err
	}
	if owner != nil {
		if err := end(ctx, *dir, owner.Pid); err != nil {
			return err
		}
	}
	return os.RemoveAll(*dir)
}

// end asks the supervisor to stop and kills it when it does not.
func end(ctx context.Context, dir string, pid int) error {
	signal := syscall.SIGTERM
	for deadline := time.Now().Add(stopTimeout); ; {
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stopping process %d: %w", pid, err)
		}
		for time.Now().Before(deadline) {
			owner, err := state.Owner(dir)
			if err != nil || owner == nil {
				return err
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(stopInterval):
			}
		}
		if signal == syscall.SIGKILL {
			return fmt.Errorf("process %d does not end", pid)
		}
		signal, deadline = syscall.SIGKILL, time.Now().Add(stopTimeout)
	}
}
