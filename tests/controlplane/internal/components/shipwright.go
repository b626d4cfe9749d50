package components

import (
	"context"

	"brokkr.io/work/tests/controlplane/internal/buildcache"
	"brokkr.io/work/tests/controlplane/internal/process"
)

var shipwrightAccount = serviceAccount{
	namespace: "shipwright-build", name: "shipwright-build-controller", group: "shipwright.io", resource: "builds",
}

// runShipwright starts Shipwright's controller under its own service account
// and waits until its caches are filled.
func (c *Cluster) runShipwright(ctx context.Context) error {
	const kubeconfig = "shipwright.kubeconfig"
	err := c.writeServiceAccountKubeconfig(ctx, kubeconfig, shipwrightAccount)
	if err != nil {
		return err
	}
	child, err := c.supervisor.Start(process.Spec{
		Name: buildcache.Shipwright,
		Path: c.binaries.Path(buildcache.Shipwright),
		Env: []string{
			"KUBECONFIG=" + c.kubeconfigFile(kubeconfig),
			"CONTROLLER_NAME=shipwright-build",
			"GIT_CONTAINER_IMAGE=localhost/shipwright/git",
			"IMAGE_PROCESSING_CONTAINER_IMAGE=localhost/shipwright/image-processing",
			"BUNDLE_CONTAINER_IMAGE=localhost/shipwright/bundle",
			"WAITER_CONTAINER_IMAGE=localhost/shipwright/waiter",
			"KUBE_API_QPS=200",
			"KUBE_API_BURST=400",
		},
		NotifiesReady: true,
	})
	if err != nil {
		return err
	}
	return awaitSignal(ctx, child)
}
