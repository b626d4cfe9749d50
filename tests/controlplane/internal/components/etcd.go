package components

import (
	"context"
	"fmt"
	"path/filepath"

	"brokkr.io/work/tests/controlplane/internal/buildcache"
	"brokkr.io/work/tests/controlplane/internal/process"
)

// startEtcd starts etcd and waits until it accepts connections. Unless the
// control plane is durable it never syncs to disk: data need not survive a power
// cut, and syncing dominates its time.
func (c *Cluster) startEtcd(ctx context.Context) error {
	port, err := process.FreePort()
	if err != nil {
		return err
	}
	c.etcdURL = fmt.Sprintf("http://%s:%d", loopback, port)
	// Nobody else joins, so the peer port may be any and is never advertised.
	const peers = "http://" + loopback + ":0"
	arguments := []string{
		"--data-dir=" + filepath.Join(c.dir, "etcd"),
		"--listen-client-urls=" + c.etcdURL,
		"--advertise-client-urls=" + c.etcdURL,
		"--listen-peer-urls=" + peers,
		"--log-level=warn",
	}
	if !c.durable {
		arguments = append(arguments, "--unsafe-no-fsync")
	}
	_, err = c.supervisor.Start(process.Spec{
		Name: buildcache.Etcd,
		Path: c.binaries.Path(buildcache.Etcd),
		Args: arguments,
	})
	if err != nil {
		return err
	}
	return poll(ctx, "etcd to accept connections", func(context.Context) bool { return accepts(port) })
}
