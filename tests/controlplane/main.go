// Command controlplane gives tests and the quick start a real Kubernetes
// control plane on loopback: etcd, kube-apiserver, kube-controller-manager and
// the Tekton and Shipwright controllers, built once from pinned Go modules. No
// kubelet runs; a pod driver plays the status of pods instead.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `usage: controlplane <command> [flags]

commands:
  build       build all pinned binaries into the cache
  up          start a control plane and supervise it in the foreground
  down        stop the control plane of a folder and remove the folder
  stop        end kube-apiserver alone, as in an outage
  start       start it again at the same address
  forward     hand connections to several replicas, as kube-proxy would
  versions    print the pinned versions

Each command explains its flags with -h.
`

// commands maps a command's name to what it does with its arguments.
var commands = map[string]func(context.Context, []string) error{
	"build":    build,
	"up":       up,
	"down":     down,
	"stop":     stop,
	"start":    start,
	"forward":  forward,
	"versions": versions,
}

func main() {
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := commands[os.Args[1]](ctx, os.Args[2:])
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "controlplane %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}
