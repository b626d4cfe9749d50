package components

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"brokkr.io/work/tests/controlplane/internal/buildcache"
	"brokkr.io/work/tests/controlplane/internal/manifests"
	"brokkr.io/work/tests/controlplane/internal/pki"
	"brokkr.io/work/tests/controlplane/internal/process"
)

// startAPIServer starts kube-apiserver with RBAC and a front proxy for
// aggregated API servers.
func (c *Cluster) startAPIServer(context.Context) error {
	port, err := process.FreePort()
	if err != nil {
		return err
	}
	c.serverURL = fmt.Sprintf("https://%s:%d", loopback, port)
	c.apiServerSpec = process.Spec{
		Name: buildcache.APIServer,
		Path: c.binaries.Path(buildcache.APIServer),
		Args: slices.Concat(c.servingFlags(port), c.identityFlags(), c.frontProxyFlags(), c.kubeletFlags(), c.auditFlags()),
	}
	c.apiServer, err = c.supervisor.Start(c.apiServerSpec)
	return err
}

// EndAPIServer kills kube-apiserver, for an outage that is wanted. It does
// nothing while it is away already.
func (c *Cluster) EndAPIServer() {
	if c.apiServer != nil {
		c.supervisor.End(c.apiServer)
		c.apiServer = nil
	}
}

// RestartAPIServer ends the outage: the same kube-apiserver at the same
// address, ready when this returns.
func (c *Cluster) RestartAPIServer(ctx context.Context) error {
	if c.apiServer != nil {
		return nil
	}
	var err error
	if c.apiServer, err = c.supervisor.Start(c.apiServerSpec); err != nil {
		return err
	}
	return c.awaitReady(ctx)
}

func (c *Cluster) servingFlags(port int) []string {
	return []string{
		"--etcd-servers=" + c.etcdURL,
		"--bind-address=" + loopback,
		"--advertise-address=" + loopback,
		"--secure-port=" + strconv.Itoa(port),
		"--tls-cert-file=" + c.files.ServerCert,
		"--tls-private-key-file=" + c.files.ServerKey,
		"--service-cluster-ip-range=" + serviceRange,
		// There are no endpoints of loopback addresses to keep up to date.
		"--endpoint-reconciler-type=none",
		"--allow-privileged=true",
		"--profiling=false",
		// Says when a certificate was read again, which tests of rotation wait for.
		"--vmodule=dynamic_serving_content=2",
	}
}

func (c *Cluster) identityFlags() []string {
	return []string{
		"--authorization-mode=RBAC",
		"--client-ca-file=" + c.files.ClientCA,
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + c.files.ServiceAccountPublic,
		"--service-account-signing-key-file=" + c.files.ServiceAccountKey,
	}
}

func (c *Cluster) frontProxyFlags() []string {
	return []string{
		"--requestheader-client-ca-file=" + c.files.RequestHeaderCA,
		"--requestheader-allowed-names=" + pki.FrontProxyName,
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-uid-headers=X-Remote-Uid",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + c.files.FrontProxyCert,
		"--proxy-client-key-file=" + c.files.FrontProxyKey,
	}
}

// kubeletFlags let kube-apiserver fetch logs from the pod driver.
func (c *Cluster) kubeletFlags() []string {
	return []string{
		"--kubelet-certificate-authority=" + c.files.ClientCA,
		"--kubelet-client-certificate=" + c.files.KubeletClientCert,
		"--kubelet-client-key=" + c.files.KubeletClientKey,
		"--kubelet-preferred-address-types=InternalIP",
	}
}

// connect prepares the administrator's clients and writes the kubeconfig.
func (c *Cluster) connect() error {
	c.admin = &rest.Config{
		Host: c.serverURL,
		TLSClientConfig: rest.TLSClientConfig{
			CAFile: c.files.ClientCA, CertFile: c.files.AdminCert, KeyFile: c.files.AdminKey,
		},
		// Requests come in bursts at the start; the server's own flow control
		// is enough.
		QPS: -1,
	}
	var err error
	if c.clients, err = kubernetes.NewForConfig(c.admin); err != nil {
		return err
	}
	if c.creator, err = manifests.NewCreator(c.admin); err != nil {
		return err
	}
	return c.writeKubeconfig("kubeconfig", certificate(c.files.AdminCert, c.files.AdminKey))
}

// awaitReachable waits until kube-apiserver answers at all, which is enough
// for an administrator to create objects.
func (c *Cluster) awaitReachable(ctx context.Context) error {
	return poll(ctx, "kube-apiserver to answer", c.answers("/livez/ping"))
}

// awaitReady waits until kube-apiserver calls itself ready.
func (c *Cluster) awaitReady(ctx context.Context) error {
	return poll(ctx, "kube-apiserver to be ready", c.answers("/readyz"))
}

func (c *Cluster) answers(path string) func(context.Context) bool {
	return func(ctx context.Context) bool {
		return c.clients.Discovery().RESTClient().Get().AbsPath(path).Do(ctx).Error() == nil
	}
}
