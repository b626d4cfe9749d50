// Command shipwright runs the reconcilers of the pinned shipwright-io/build
// module.
//
// Upstream's own main always elects a leader and serves metrics on a port that
// is fixed in its code. This one does neither, so that several instances can
// share a machine, and says on file descriptor 3 when its caches are filled.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"sigs.k8s.io/controller-runtime/pkg/client/config"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/manager/signals"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"

	buildconfig "github.com/shipwright-io/build/pkg/config"
	"github.com/shipwright-io/build/pkg/controller"
	"github.com/shipwright-io/build/pkg/ctxlog"
	buildmetrics "github.com/shipwright-io/build/pkg/metrics"
)

func main() {
	if err := run(signals.SetupSignalHandler()); err != nil {
		log.Fatal(err)
	}
}

// run builds the manager from environment and kubeconfig and blocks until ctx
// ends.
func run(ctx context.Context) error {
	buildCfg := buildconfig.NewDefaultConfig()
	if err := buildCfg.SetConfigFromEnv(); err != nil {
		return fmt.Errorf("reading the controller's environment: %w", err)
	}
	restCfg, err := config.GetConfig()
	if err != nil {
		return fmt.Errorf("loading the kubeconfig: %w", err)
	}
	logCtx := ctxlog.NewParentContext(ctxlog.NewLogger("build"))
	mgr, err := controller.NewManager(logCtx, buildCfg, restCfg, manager.Options{
		Metrics: server.Options{BindAddress: "0"},
	})
	if err != nil {
		return fmt.Errorf("creating the manager: %w", err)
	}
	buildmetrics.InitPrometheus(buildCfg)
	go func() {
		if mgr.GetCache().WaitForCacheSync(ctx) {
			notifyReady()
		}
	}()
	return mgr.Start(ctx)
}

// notifyReady tells the supervisor, which holds the other end of file
// descriptor 3, that the caches are filled.
func notifyReady() {
	if os.Getenv("READY_FD") != "3" {
		return
	}
	pipe := os.NewFile(3, "ready")
	if _, err := pipe.WriteString("ready\n"); err != nil {
		log.Printf("telling the supervisor that the caches are filled: %v", err)
	}
	_ = pipe.Close()
}
