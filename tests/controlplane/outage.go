package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"brokkr.io/work/tests/controlplane/internal/buildcache"
	"brokkr.io/work/tests/controlplane/internal/components"
	"brokkr.io/work/tests/controlplane/internal/state"
)

// The signals by which stop and start reach the supervisor of a folder.
const (
	stopSignal  = syscall.SIGUSR1
	startSignal = syscall.SIGUSR2
)

// outageTimeout bounds how long stop and start wait for the supervisor.
const outageTimeout = time.Minute

// outageSignals takes the signals of stop and start from now on; unheard, they
// would end the process.
func outageSignals() <-chan os.Signal {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, stopSignal, startSignal)
	return signals
}

// serveOutages ends and restarts kube-apiserver as it is told, until ctx ends.
// state.json tells how far it is: the pid of kube-apiserver is there or not.
func serveOutages(ctx context.Context, dir string, cluster *components.Cluster, signals <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case wanted := <-signals:
			if wanted == stopSignal {
				cluster.EndAPIServer()
			} else if err := cluster.RestartAPIServer(ctx); err != nil {
				return err
			}
			if err := state.Write(dir, cluster.State()); err != nil {
				return err
			}
		}
	}
}

// stop ends kube-apiserver and returns when it is gone; everything else runs
// on, as in an outage.
func stop(ctx context.Context, arguments []string) error {
	return outage(ctx, "stop", arguments, stopSignal, false)
}

// start ends an outage and returns when kube-apiserver is ready.
func start(ctx context.Context, arguments []string) error {
	return outage(ctx, "start", arguments, startSignal, true)
}

// outage sends the supervisor of a folder a signal and waits until
// kube-apiserver runs or does not run.
func outage(ctx context.Context, name string, arguments []string, wanted syscall.Signal, running bool) error {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	dir := flags.String("dir", "", "folder of the control plane (required)")
	if err := parse(flags, arguments); err != nil {
		return err
	}
	if *dir == "" {
		return errors.New("--dir is required")
	}
	owner, err := state.Owner(*dir)
	if err != nil {
		return err
	}
	if owner == nil {
		return fmt.Errorf("no control plane runs in %s", *dir)
	}
	if err := syscall.Kill(owner.Pid, wanted); err != nil {
		return fmt.Errorf("signalling process %d: %w", owner.Pid, err)
	}
	ctx, cancel := context.WithTimeout(ctx, outageTimeout)
	defer cancel()
	return awaitAPIServer(ctx, *dir, running)
}

// awaitAPIServer waits until state.json says that kube-apiserver runs or not.
func awaitAPIServer(ctx context.Context, dir string, running bool) error {
	for {
		current, err := state.Read(dir)
		if err != nil {
			return err
		}
		if _, found := current.Pids[buildcache.APIServer]; found == running {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("kube-apiserver did not change within %s; see the logs in %s", outageTimeout, current.Logs)
		case <-time.After(stopInterval):
		}
	}
}
