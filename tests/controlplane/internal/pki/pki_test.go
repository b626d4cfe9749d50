package pki

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"testing"
)

func parse(t *testing.T, certFile, keyFile string) *x509.Certificate {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatalf("loading %s: %v", certFile, err)
	}
	return pair.Leaf
}

func pool(t *testing.T, file string) *x509.CertPool {
	t.Helper()
	pem, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatalf("%s holds no certificate", file)
	}
	return roots
}

func verify(cert *x509.Certificate, roots *x509.CertPool, usage x509.ExtKeyUsage, host string) error {
	_, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, KeyUsages: []x509.ExtKeyUsage{usage}})
	return err
}

func TestServingCertificateCoversItsHosts(t *testing.T) {
	files, err := Ensure(t.TempDir(), "localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	cert := parse(t, files.ServerCert, files.ServerKey)
	roots := pool(t, files.ClientCA)
	for _, host := range []string{"localhost", "127.0.0.1"} {
		if err := verify(cert, roots, x509.ExtKeyUsageServerAuth, host); err != nil {
			t.Errorf("not valid for %s: %v", host, err)
		}
	}
	if err := verify(cert, roots, x509.ExtKeyUsageServerAuth, "elsewhere"); err == nil {
		t.Error("valid for a host it was not issued for")
	}
	if err := verify(cert, roots, x509.ExtKeyUsageClientAuth, ""); err == nil {
		t.Error("the serving certificate passes for a client certificate")
	}
}

func TestAuthoritiesAreSeparate(t *testing.T) {
	files, err := Ensure(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	proxy := parse(t, files.FrontProxyCert, files.FrontProxyKey)
	if proxy.Subject.CommonName != FrontProxyName {
		t.Errorf("front-proxy common name is %q", proxy.Subject.CommonName)
	}
	if err := verify(proxy, pool(t, files.RequestHeaderCA), x509.ExtKeyUsageClientAuth, ""); err != nil {
		t.Errorf("front-proxy certificate: %v", err)
	}
	if err := verify(proxy, pool(t, files.ClientCA), x509.ExtKeyUsageClientAuth, ""); err == nil {
		t.Error("the cluster authority vouches for the front proxy")
	}
	admin := parse(t, files.AdminCert, files.AdminKey)
	if err := verify(admin, pool(t, files.RequestHeaderCA), x509.ExtKeyUsageClientAuth, ""); err == nil {
		t.Error("the front-proxy authority vouches for the administrator")
	}
	if groups := admin.Subject.Organization; len(groups) != 1 || groups[0] != "system:masters" {
		t.Errorf("administrator's groups are %v", groups)
	}
}

func TestEnsureKeepsWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	files, err := Ensure(dir)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(files.ClientCA)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Ensure(dir); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(files.ClientCA)
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Error("a second call minted a new authority")
	}
}
