package components

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"

	"brokkr.io/work/tests/controlplane/internal/poddriver"
)

// PlayPods starts the pod driver, if it is wanted. It runs in this process,
// with an administrator's rights, until ctx ends.
func (c *Cluster) PlayPods(ctx context.Context) error {
	if !c.set.Has(PodDriver) {
		return nil
	}
	logFile := filepath.Join(c.dir, "logs", "pod-driver.log")
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	driver, err := poddriver.New(c.clients, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		return err
	}
	go func() {
		defer log.Close()
		driver.Run(ctx)
	}()
	return nil
}
