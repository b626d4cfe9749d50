package components

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"brokkr.io/work/tests/controlplane/internal/poddriver"
)

// headerTimeout bounds how long a client of the log server may take to say
// what it wants.
const headerTimeout = 10 * time.Second

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
	logger := slog.New(slog.NewTextHandler(log, nil))
	driver, err := poddriver.New(c.clients, logger)
	if err != nil {
		return err
	}
	if err := c.serveLogs(ctx, driver, logger); err != nil {
		return fmt.Errorf("serving container logs: %w", err)
	}
	go func() {
		defer log.Close()
		driver.Run(ctx)
	}()
	return nil
}

// serveLogs serves container logs to kube-apiserver and tells it where.
func (c *Cluster) serveLogs(ctx context.Context, driver *poddriver.Driver, log *slog.Logger) error {
	config, err := c.nodeTLS()
	if err != nil {
		return err
	}
	listener, err := tls.Listen("tcp", loopback+":0", config)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: driver.Logs(), ReadHeaderTimeout: headerTimeout,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("serving container logs", "error", err)
		}
	}()
	address, _ := listener.Addr().(*net.TCPAddr)
	return poddriver.Register(ctx, c.clients, loopback, int32(address.Port))
}

// nodeTLS lets in only clients with a certificate of the cluster's authority.
func (c *Cluster) nodeTLS() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(c.files.NodeCert, c.files.NodeKey)
	if err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(c.files.ClientCA)
	if err != nil {
		return nil, err
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM(authority)
	return &tls.Config{
		Certificates: []tls.Certificate{pair},
		ClientCAs:    clients,
		ClientAuth:   tls.RequireAndVerifyClientCert,
	}, nil
}
