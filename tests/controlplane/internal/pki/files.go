package pki

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// FrontProxyName is the common name of the certificate with which
// kube-apiserver presents itself to aggregated API servers.
const FrontProxyName = "front-proxy-client"

// Files holds the paths of everything minted for one control plane.
type Files struct {
	// ClientCA signs kube-apiserver's serving certificate and all client
	// certificates of users and controllers.
	ClientCA, ClientCAKey string
	// RequestHeaderCA signs the front-proxy client certificate only; a
	// certificate of the other authority must never pass for the front proxy.
	RequestHeaderCA, RequestHeaderCAKey string
	FrontProxyCert, FrontProxyKey       string
	ServerCert, ServerKey               string
	AdminCert, AdminKey                 string
	// The pod driver serves logs with NodeCert, to whoever has KubeletClientCert.
	NodeCert, NodeKey                   string
	KubeletClientCert, KubeletClientKey string
	ControllerManagerCert               string
	ControllerManagerKey                string
	// ServiceAccountKey signs service account tokens and ServiceAccountPublic
	// verifies them.
	ServiceAccountKey, ServiceAccountPublic string
}

// filesIn names the files below dir.
func filesIn(dir string) Files {
	path := func(name string) string { return filepath.Join(dir, name) }
	return Files{
		ClientCA: path("ca.crt"), ClientCAKey: path("ca.key"),
		RequestHeaderCA: path("front-proxy-ca.crt"), RequestHeaderCAKey: path("front-proxy-ca.key"),
		FrontProxyCert: path("front-proxy-client.crt"), FrontProxyKey: path("front-proxy-client.key"),
		ServerCert: path("apiserver.crt"), ServerKey: path("apiserver.key"),
		AdminCert: path("admin.crt"), AdminKey: path("admin.key"),
		NodeCert: path("node.crt"), NodeKey: path("node.key"),
		KubeletClientCert: path("kubelet-client.crt"), KubeletClientKey: path("kubelet-client.key"),
		ControllerManagerCert: path("controller-manager.crt"),
		ControllerManagerKey:  path("controller-manager.key"),
		ServiceAccountKey:     path("service-account.key"),
		ServiceAccountPublic:  path("service-account.pub"),
	}
}

// Ensure mints everything into dir, or returns what an earlier control plane
// left there, so that its tokens and certificates stay valid. serverHosts are
// the names and addresses under which kube-apiserver is called.
func Ensure(dir string, serverHosts ...string) (Files, error) {
	files := filesIn(dir)
	// The signing key is written last, so its presence means all is there.
	switch _, err := os.Stat(files.ServiceAccountKey); {
	case err == nil:
		return files, nil
	case !errors.Is(err, fs.ErrNotExist):
		return Files{}, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Files{}, err
	}
	return files, mint(files, serverHosts)
}

// leaf is one certificate to issue and where it goes.
type leaf struct {
	pair      func() (Pair, error)
	cert, key string
}

// mint creates both authorities and everything below them.
func mint(files Files, serverHosts []string) error {
	cluster, err := NewAuthority("cluster-ca")
	if err != nil {
		return err
	}
	frontProxy, err := NewAuthority("front-proxy-ca")
	if err != nil {
		return err
	}
	leaves := []leaf{
		{func() (Pair, error) { return cluster.Pair(), nil }, files.ClientCA, files.ClientCAKey},
		{func() (Pair, error) { return frontProxy.Pair(), nil }, files.RequestHeaderCA, files.RequestHeaderCAKey},
		{func() (Pair, error) { return frontProxy.Client(FrontProxyName) }, files.FrontProxyCert, files.FrontProxyKey},
		{func() (Pair, error) { return cluster.Server("kube-apiserver", serverHosts...) }, files.ServerCert, files.ServerKey},
		{func() (Pair, error) { return cluster.Client("admin", "system:masters") }, files.AdminCert, files.AdminKey},
		{func() (Pair, error) { return cluster.Server("pod-driver", "127.0.0.1") }, files.NodeCert, files.NodeKey},
		{func() (Pair, error) { return cluster.Client("kube-apiserver-kubelet-client") }, files.KubeletClientCert, files.KubeletClientKey},
		{func() (Pair, error) { return cluster.Client("system:kube-controller-manager") }, files.ControllerManagerCert, files.ControllerManagerKey},
	}
	for _, leaf := range leaves {
		if err := leaf.write(); err != nil {
			return err
		}
	}
	private, public, err := NewSigningKey()
	if err != nil {
		return err
	}
	if err := os.WriteFile(files.ServiceAccountPublic, public, 0o600); err != nil {
		return err
	}
	return os.WriteFile(files.ServiceAccountKey, private, 0o600)
}

func (l leaf) write() error {
	pair, err := l.pair()
	if err != nil {
		return err
	}
	if err := os.WriteFile(l.cert, pair.CertPEM, 0o600); err != nil {
		return fmt.Errorf("writing a certificate: %w", err)
	}
	if err := os.WriteFile(l.key, pair.KeyPEM, 0o600); err != nil {
		return fmt.Errorf("writing a private key: %w", err)
	}
	return nil
}
