package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"brokkr.io/work/tests/controlplane/internal/components"
	"brokkr.io/work/tests/controlplane/internal/process"
	"brokkr.io/work/tests/controlplane/internal/state"
)

// startTimeout bounds the start once everything is built. A machine so loaded
// that this is not enough is no place for the tests either.
const startTimeout = 2 * time.Minute

// logTail is how much of a log is shown when a child has ended, in bytes.
const logTail = 4096

// upOptions are the flags of up.
type upOptions struct {
	dir         string
	set         components.Set
	source      string
	durable     bool
	exitOnStdin bool
	remove      bool
}

func parseUp(arguments []string) (upOptions, error) {
	var options upOptions
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	flags.StringVar(&options.dir, "dir", "", "folder of the control plane (required; created when missing)")
	list := componentsFlag(flags, "start")
	flags.BoolVar(&options.durable, "durable", false, "let etcd flush every write to disk, as in production")
	flags.BoolVar(&options.exitOnStdin, "exit-on-stdin-close", false, "also stop when standard input is closed")
	flags.BoolVar(&options.remove, "remove", false, "remove the folder at the end")
	source := sourceFlag(flags)
	if err := parse(flags, arguments); err != nil {
		return options, err
	}
	if options.dir == "" {
		return options, errors.New("--dir is required")
	}
	options.source = *source
	var err error
	if options.dir, err = filepath.Abs(options.dir); err != nil {
		return options, err
	}
	options.set, err = components.ParseSet(*list)
	return options, err
}

// up runs a control plane until a signal, the end of standard input when asked
// for, or the unexpected end of a child.
func up(ctx context.Context, arguments []string) error {
	options, err := parseUp(arguments)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if options.exitOnStdin {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			stop(context.Canceled)
		}()
	}
	cache, err := openCache(options.source)
	if err != nil {
		return err
	}
	binaries, err := components.Locate(ctx, cache, options.set)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(options.dir, 0o700); err != nil {
		return err
	}
	if err := state.Claim(options.dir); err != nil {
		return err
	}
	err = supervise(ctx, stop, options, binaries)
	if options.remove {
		err = errors.Join(err, os.RemoveAll(options.dir))
	}
	return err
}

// supervise starts the control plane, says when it is ready, and returns once
// all its children have ended. Being told to stop is no error.
func supervise(ctx context.Context, stop context.CancelCauseFunc, options upOptions, binaries *components.Binaries) error {
	started := time.Now()
	signals := outageSignals()
	cluster, err := components.New(options.dir, options.set, options.durable, binaries)
	if err != nil {
		return err
	}
	defer cluster.Stop()
	go func() {
		exit := <-cluster.Exits()
		stop(fmt.Errorf("%s ended: %s\n%s", exit.Process.Name, exit.State, process.Tail(exit.Process.LogFile, logTail)))
	}()
	startCtx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := cluster.Start(startCtx); err != nil {
		return unlessStopped(ctx, err)
	}
	if err := cluster.PlayPods(ctx); err != nil {
		return err
	}
	if err := state.Write(options.dir, cluster.State()); err != nil {
		return err
	}
	fmt.Printf("ready after %s: %s\n", time.Since(started).Round(10*time.Millisecond), state.File(options.dir))
	return unlessStopped(ctx, serveOutages(ctx, options.dir, cluster, signals))
}

// unlessStopped drops an error that only says that we were told to stop.
func unlessStopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(context.Cause(ctx), context.Canceled) {
		return nil
	}
	return err
}
