// Command tekton runs the TaskRun, PipelineRun and ResolutionRequest
// reconcilers of the pinned tektoncd/pipeline module.
//
// Upstream's own main adds leader election and three HTTP servers (probes,
// metrics, profiling), one of them on a port that cannot be chosen. This one
// opens no port, so that several instances can share a machine, and says on
// file descriptor 3 when its caches are filled.
package main

import (
	"log"
	"os"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	"github.com/tektoncd/pipeline/pkg/reconciler/pipelinerun"
	"github.com/tektoncd/pipeline/pkg/reconciler/resolutionrequest"
	"github.com/tektoncd/pipeline/pkg/reconciler/taskrun"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	filteredinformerfactory "knative.dev/pkg/client/injection/kube/informers/factory/filtered"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/injection"
	"knative.dev/pkg/injection/sharedmain"
	"knative.dev/pkg/logging"
	"knative.dev/pkg/signals"
)

// images are the container images Tekton writes into pods. No kubelet pulls
// them; the reconcilers only refuse to start when one is empty.
var images = pipeline.Images{
	EntrypointImage:        "localhost/tekton/entrypoint",
	NopImage:               "localhost/tekton/nop",
	SidecarLogResultsImage: "localhost/tekton/sidecarlogresults",
	WorkingDirInitImage:    "localhost/tekton/workingdirinit",
	ShellImage:             "localhost/tekton/shell",
	ShellImageWin:          "localhost/tekton/shell-win",
}

func main() {
	cfg := injection.ParseAndGetRESTConfigOrDie()
	relaxRateLimit(cfg)
	opts := &pipeline.Options{Images: images, ResyncPeriod: controller.DefaultResyncPeriod}

	ctx := filteredinformerfactory.WithSelectors(signals.NewContext(), v1beta1.ManagedByLabelKey)
	ctx = controller.WithResyncPeriod(ctx, opts.ResyncPeriod)
	ctx, startInformers := injection.EnableInjectionOrDie(ctx, cfg)
	logger, _ := sharedmain.SetupLoggerOrDie(ctx, "tekton-pipelines-controller")
	ctx = logging.WithLogger(ctx, logger)

	configMaps := sharedmain.SetupConfigMapWatchOrDie(ctx, logger)
	controllers, _ := sharedmain.ControllersAndWebhooksFromCtors(ctx, configMaps,
		taskrun.NewController(opts, clock.RealClock{}),
		pipelinerun.NewController(opts, clock.RealClock{}),
		resolutionrequest.NewController(clock.RealClock{}),
	)
	if err := configMaps.Start(ctx.Done()); err != nil {
		log.Fatalf("watching the ConfigMaps of the system namespace: %v", err)
	}
	startInformers()
	notifyReady()
	if err := controller.StartAll(ctx, controllers...); err != nil {
		log.Fatalf("running the controllers: %v", err)
	}
}

// relaxRateLimit lifts client-go's default of 5 requests a second, which would
// dominate the time of every test.
func relaxRateLimit(cfg *rest.Config) {
	cfg.QPS = 200
	cfg.Burst = 400
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
