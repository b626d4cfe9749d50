package main

import (
	"context"
	"path/filepath"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestKubeAPIServerGoesAndComesBackAtItsAddress(t *testing.T) {
	plane, err := startPlane(filepath.Join(t.TempDir(), "plane"), "--components", "etcd,apiserver")
	if err != nil {
		t.Fatal(err)
	}
	defer plane.close()
	reads := func(ctx context.Context) error {
		_, err := plane.client.Resource(namespaces).Get(ctx, "default", metav1.GetOptions{})
		return err
	}

	if output, err := program("stop", "--dir", plane.dir).CombinedOutput(); err != nil {
		t.Fatalf("stop: %v\n%s", err, output)
	}
	if err := reads(t.Context()); err == nil {
		t.Error("kube-apiserver still answers")
	}
	if running := plane.survivors(); len(running) != 1 {
		t.Errorf("running besides kube-apiserver should be etcd alone, not %v", running)
	}
	if output, err := program("start", "--dir", plane.dir).CombinedOutput(); err != nil {
		t.Fatalf("start: %v\n%s", err, output)
	}
	if err := reads(t.Context()); err != nil {
		t.Errorf("after the outage: %v", err)
	}
}
