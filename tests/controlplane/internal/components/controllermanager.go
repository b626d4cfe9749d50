package components

import (
	"context"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"brokkr.io/work/tests/controlplane/internal/buildcache"
	"brokkr.io/work/tests/controlplane/internal/process"
)

// controllers are those that need neither nodes nor a cloud and that a test of
// the API may notice.
var controllers = []string{
	"clusterrole-aggregation-controller",
	"cronjob-controller",
	"deployment-controller",
	"endpointslice-controller",
	"garbage-collector-controller",
	"job-controller",
	"namespace-controller",
	"replicaset-controller",
	"resourcequota-controller",
	"root-ca-certificate-publisher-controller",
	"serviceaccount-controller",
	"ttl-after-finished-controller",
}

// runControllerManager starts kube-controller-manager and waits until the
// first service account shows that its controllers work. It is started after
// the custom resource definitions exist, because its garbage collector looks
// for new resources at its start and then only every 30 seconds.
func (c *Cluster) runControllerManager(ctx context.Context) error {
	const kubeconfig = "controller-manager.kubeconfig"
	user := certificate(c.files.ControllerManagerCert, c.files.ControllerManagerKey)
	if err := c.writeKubeconfig(kubeconfig, user); err != nil {
		return err
	}
	_, err := c.supervisor.Start(process.Spec{
		Name: buildcache.ControllerManager,
		Path: c.binaries.Path(buildcache.ControllerManager),
		Args: []string{
			"--kubeconfig=" + c.kubeconfigFile(kubeconfig),
			"--controllers=" + strings.Join(controllers, ","),
			"--root-ca-file=" + c.files.ClientCA,
			"--service-account-private-key-file=" + c.files.ServiceAccountKey,
			"--use-service-account-credentials=true",
			"--leader-elect=false",
			// Zero opens no port.
			"--secure-port=0",
			"--profiling=false",
			"--kube-api-qps=500",
			"--kube-api-burst=1000",
		},
	})
	if err != nil {
		return err
	}
	return poll(ctx, "the controllers of kube-controller-manager", func(ctx context.Context) bool {
		_, err := c.clients.CoreV1().ServiceAccounts(metav1.NamespaceDefault).Get(ctx, "default", metav1.GetOptions{})
		return err == nil
	})
}
