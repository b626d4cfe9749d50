package components

import (
	"context"
	"fmt"
	"path/filepath"

	"brokkr.io/work/tests/controlplane/internal/buildcache"
	"brokkr.io/work/tests/controlplane/internal/process"
)

// startEtcd starts etcd and waits until it accepts connections. It never syncs
// to disk: data need not survive a power cut, and syncing dominates its time.
func (c *Cluster) startEtcd(ctx context.Context) error {
	port, err := process.FreePort()
	if err != nil {
		return err
	}
	c.etcdURL = fmt.Sprintf("http://%s:%d", loopback, port)
	// Nobody else joins, so the peer port may be any and is never advertised.
	const peers = "http://" + loopback + ":0"
	_, err = c.supervisor.Start(process.Spec{
		Name: buildcache.Etcd,
		Path: c.binaries.Path(buildcache.Etcd),
		Args: []string{
			"--data-dir=" + filepath.Join(c.dir, "etcd"),
			"--listen-client-urls=" + c.etcdURL,
			"--advertise-client-urls=" + c.etcdURL,
			"--listen-peer-urls=" + peers,
			"--unsafe-no-fsync",
			"--log-level=warn",
		},
	})
	if err != nil {
		return err
	}
	return poll(ctx, "etcd to accept connections", func(context.Context) bool { return accepts(port) })
}
