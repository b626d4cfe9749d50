package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"brokkr.io/work/tests/controlplane/internal/state"
)

// asProgram makes the test binary behave as the program itself.
const asProgram = "CONTROLPLANE_TEST_AS_PROGRAM"

var (
	namespaces = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	configMaps = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	accounts   = schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}
	pods       = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	jobs       = schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}
	builds     = schema.GroupVersionResource{Group: "shipwright.io", Version: "v1beta1", Resource: "builds"}
	buildRuns  = schema.GroupVersionResource{Group: "shipwright.io", Version: "v1beta1", Resource: "buildruns"}
	taskRuns   = schema.GroupVersionResource{Group: "tekton.dev", Version: "v1", Resource: "taskruns"}
)

// shared is the control plane that most tests use.
var shared *plane

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "controlplane-test-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	// The binaries may take minutes to build, so that is done before the
	// clock of any test runs.
	if output, err := program("build").CombinedOutput(); err != nil {
		panic(fmt.Sprintf("building: %v\n%s", err, output))
	}
	if shared, err = startPlane(filepath.Join(dir, "shared"), "--remove"); err != nil {
		panic(err)
	}
	defer shared.close()
	return m.Run()
}

// plane is a running control plane and a client for it.
type plane struct {
	state   state.State
	dir     string
	command *exec.Cmd
	stdin   interface{ Close() error }
	client  dynamic.Interface
}

// program prepares a call of the program.
func program(arguments ...string) *exec.Cmd {
	command := exec.Command(os.Args[0], arguments...)
	command.Env = append(os.Environ(), asProgram+"=1")
	command.Stderr = nil
	return command
}

// startPlane runs up and returns when it says that it is ready.
func startPlane(dir string, extra ...string) (*plane, error) {
	command := program(append([]string{"up", "--dir", dir, "--exit-on-stdin-close"}, extra...)...)
	command.Stderr = os.Stderr
	stdin, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	plane := &plane{dir: dir, command: command, stdin: stdin}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		plane.close()
		return nil, fmt.Errorf("up ended before it was ready: %w", err)
	}
	fmt.Fprint(os.Stderr, line)
	return plane, plane.connect()
}

func (p *plane) connect() error {
	text, err := os.ReadFile(state.File(p.dir))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &p.state); err != nil {
		return err
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", p.state.Kubeconfig)
	if err != nil {
		return err
	}
	cfg.QPS = -1
	p.client, err = dynamic.NewForConfig(cfg)
	return err
}

// close ends the control plane by closing its standard input.
func (p *plane) close() {
	_ = p.stdin.Close()
	_ = p.command.Wait()
}

// survivors returns the names of children that still run.
func (p *plane) survivors() []string {
	var names []string
	for name, pid := range p.state.Pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err == nil && name != "supervisor" && !strings.Contains(string(text), ") Z ") {
			names = append(names, name)
		}
	}
	return names
}

// eventually asks until the answer is yes or the time is up.
func eventually(t *testing.T, what string, ask func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !ask(ctx) {
		select {
		case <-ctx.Done():
			t.Fatalf("not within a minute: %s", what)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func TestNothingSurvivesAKilledSupervisor(t *testing.T) {
	plane, err := startPlane(filepath.Join(t.TempDir(), "plane"), "--components", "etcd,apiserver")
	if err != nil {
		t.Fatal(err)
	}
	if running := plane.survivors(); len(running) != 2 {
		t.Fatalf("running children are %v", running)
	}
	if err := plane.command.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	plane.close()
	eventually(t, "all children end", func(context.Context) bool { return len(plane.survivors()) == 0 })
}

func TestDownStopsAndRemoves(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "plane")
	plane, err := startPlane(dir, "--components", "etcd,apiserver")
	if err != nil {
		t.Fatal(err)
	}
	if output, err := program("up", "--dir", dir).CombinedOutput(); err == nil || !strings.Contains(string(output), "in use") {
		t.Errorf("a second control plane in the same folder: %v\n%s", err, output)
	}
	waited := make(chan error, 1)
	go func() { waited <- plane.command.Wait() }()
	if output, err := program("down", "--dir", dir).CombinedOutput(); err != nil {
		t.Fatalf("down: %v\n%s", err, output)
	}
	if err := <-waited; err != nil {
		t.Errorf("up ended with %v", err)
	}
	if running := plane.survivors(); len(running) != 0 {
		t.Errorf("still running: %v", running)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
}
