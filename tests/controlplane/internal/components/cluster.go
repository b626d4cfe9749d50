package components

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"brokkr.io/work/tests/controlplane/internal/manifests"
	"brokkr.io/work/tests/controlplane/internal/pki"
	"brokkr.io/work/tests/controlplane/internal/process"
	"brokkr.io/work/tests/controlplane/internal/state"
)

const (
	// loopback is the only address anything binds.
	loopback = "127.0.0.1"
	// serviceRange makes every cluster IP a loopback address.
	serviceRange = "127.96.0.0/16"
	// firstServiceIP is the cluster IP of the Service named kubernetes.
	firstServiceIP = "127.96.0.1"
	// pollInterval is how often a starting component is asked whether it is
	// ready.
	pollInterval = 50 * time.Millisecond
)

// Cluster is one control plane in one folder.
type Cluster struct {
	dir        string
	set        Set
	durable    bool
	binaries   *Binaries
	supervisor *process.Supervisor
	files      pki.Files
	etcdURL    string
	serverURL  string
	// apiServer is nil during an outage that is wanted.
	apiServer     *process.Process
	apiServerSpec process.Spec
	admin         *rest.Config
	clients       kubernetes.Interface
	creator       *manifests.Creator
}

// New prepares a control plane in dir, which is created when missing. What an
// earlier one left there is used again. A durable one flushes every write.
func New(dir string, set Set, durable bool, binaries *Binaries) (*Cluster, error) {
	logs := filepath.Join(dir, "logs")
	if err := os.MkdirAll(logs, 0o700); err != nil {
		return nil, err
	}
	files, err := pki.Ensure(filepath.Join(dir, "pki"), "localhost", loopback, firstServiceIP,
		"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
	if err != nil {
		return nil, err
	}
	return &Cluster{
		dir: dir, set: set, durable: durable, binaries: binaries, files: files,
		supervisor: process.NewSupervisor(logs),
	}, nil
}

// Start starts everything and returns when it is ready, or as soon as one of
// the children ends.
func (c *Cluster) Start(ctx context.Context) error {
	if err := c.startEtcd(ctx); err != nil || !c.set.Has(APIServer) {
		return err
	}
	if err := c.writeAuditPolicy(); err != nil {
		return err
	}
	if err := c.startAPIServer(ctx); err != nil {
		return err
	}
	if err := c.connect(); err != nil {
		return err
	}
	if err := c.awaitReachable(ctx); err != nil {
		return err
	}
	if err := c.install(ctx); err != nil {
		return err
	}
	// Controllers need the bootstrap roles, which being ready includes.
	if err := c.awaitReady(ctx); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for component, start := range map[Component]func(context.Context) error{
		ControllerManager: c.runControllerManager,
		Tekton:            c.runTekton,
		Shipwright:        c.runShipwright,
	} {
		if c.set.Has(component) {
			group.Go(func() error { return start(ctx) })
		}
	}
	return group.Wait()
}

// Exits delivers children that ended without having been stopped.
func (c *Cluster) Exits() <-chan process.Exit { return c.supervisor.Exits() }

// Stop kills all children.
func (c *Cluster) Stop() { c.supervisor.Stop() }

// State describes the running control plane.
func (c *Cluster) State() state.State {
	pids := c.supervisor.Pids()
	pids["supervisor"] = os.Getpid()
	return state.State{
		Kubeconfig:         c.kubeconfigFile("kubeconfig"),
		Kubectl:            c.binaries.Path("kubectl"),
		ServerURL:          c.serverURL,
		CAFile:             c.files.ClientCA,
		ClientCAFile:       c.files.ClientCA,
		ClientCAKey:        c.files.ClientCAKey,
		RequestHeaderCA:    c.files.RequestHeaderCA,
		RequestHeaderCAKey: c.files.RequestHeaderCAKey,
		FrontProxyCert:     c.files.FrontProxyCert,
		FrontProxyKey:      c.files.FrontProxyKey,
		AdminCert:          c.files.AdminCert,
		AdminKey:           c.files.AdminKey,
		Logs:               filepath.Join(c.dir, "logs"),
		Pids:               pids,
		Versions:           c.binaries.Versions,
	}
}

// poll asks until the answer is yes, and names what it waited for when ctx
// ends first.
func poll(ctx context.Context, what string, ask func(context.Context) bool) error {
	err := wait.PollUntilContextCancel(ctx, pollInterval, true, func(ctx context.Context) (bool, error) {
		return ask(ctx), nil
	})
	if err != nil {
		return fmt.Errorf("waiting for %s: %w", what, context.Cause(ctx))
	}
	return nil
}

// awaitSignal waits for a child that says itself when it is ready.
func awaitSignal(ctx context.Context, child *process.Process) error {
	select {
	case <-child.Ready:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for %s: %w", child.Name, context.Cause(ctx))
	}
}

// accepts says whether something listens on the port of loopback.
func accepts(port int) bool {
	connection, err := net.DialTimeout("tcp", net.JoinHostPort(loopback, strconv.Itoa(port)), time.Second)
	if err != nil {
		return false
	}
	return connection.Close() == nil
}
