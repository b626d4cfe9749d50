// Command clientgo uses the API as programs written in Go do, and fails when
// anything differs from a native resource. Its first argument says as what:
//
//	claim      an agent: list, informer, create, claim
//	follow     informers and a watch that retries: they see every change once
//	metadata   the metadata client, discovery and the mapping of kinds
//	metrics    Prometheus: it scrapes the server itself
//	reconcile  a controller of controller-runtime
//
// follow and reconcile print "ready" in the middle and go on when a line
// arrives on standard input: meanwhile the server is restarted.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

var (
	orders    = schema.GroupVersionResource{Group: "work.brokkr.io", Version: "v1alpha1", Resource: "workorders"}
	orderKind = orders.GroupVersion().WithKind("WorkOrder")
)

// limit is how long a scenario may take, with the restart in its middle.
const limit = 5 * time.Minute

// scenario is what every scenario gets.
type scenario struct {
	namespace string
	// agent and agentKubeconfig are those of the account that claims.
	agent, agentKubeconfig string
	// serverKubeconfig is that of an account that asks the server itself.
	serverKubeconfig string
	// config is that of the user, and user a client with it.
	config *rest.Config
	user   dynamic.ResourceInterface
}

var scenarios = map[string]func(context.Context, scenario) error{
	"claim":     claimAsAgent,
	"follow":    follow,
	"metadata":  readMetadata,
	"metrics":   readMetrics,
	"reconcile": reconcileOrders,
}

func main() {
	if len(os.Args) < 2 || scenarios[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: clientgo claim|follow|metadata|metrics|reconcile --kubeconfig FILE --namespace NAME")
		os.Exit(2)
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	namespace := flags.String("namespace", "", "namespace to work in")
	kubeconfig := flags.String("kubeconfig", "", "kubeconfig of the user who creates")
	agent := flags.String("agent", "", "agent to claim as")
	agentKubeconfig := flags.String("agent-kubeconfig", "", "kubeconfig of the agent's account")
	serverKubeconfig := flags.String("server-kubeconfig", "", "kubeconfig of an account that asks the server itself")
	_ = flags.Parse(os.Args[2:])
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	s := scenario{namespace: *namespace, agent: *agent, agentKubeconfig: *agentKubeconfig, serverKubeconfig: *serverKubeconfig}
	if err := s.run(ctx, os.Args[1], *kubeconfig); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (s scenario) run(ctx context.Context, name, kubeconfig string) error {
	var err error
	if s.config, err = configOf(kubeconfig); err != nil {
		return err
	}
	client, err := dynamic.NewForConfig(s.config)
	if err != nil {
		return err
	}
	s.user = client.Resource(orders).Namespace(s.namespace)
	return scenarios[name](ctx, s)
}

func configOf(kubeconfig string) (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	// The server's own flow control is enough.
	config.QPS = -1
	return config, nil
}

// create creates an order that no agent takes.
func (s scenario) create(ctx context.Context, name string, labels map[string]string) (*unstructured.Unstructured, error) {
	order := newOrder(name, "nobody")
	order.SetLabels(labels)
	created, err := s.user.Create(ctx, order, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", name, err)
	}
	return created, nil
}

// newOrder is an order for one agent.
func newOrder(name, agent string) *unstructured.Unstructured {
	order := &unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{
			"workType": "build",
			"buildRef": map[string]any{"name": "app"},
			"targets":  []any{map[string]any{"agentNames": []any{agent}}},
		},
	}}
	order.SetGroupVersionKind(orderKind)
	order.SetName(name)
	return order
}

// restarted says that the server may be restarted, and waits until it was.
func restarted() error {
	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return fmt.Errorf("waiting for the restart: %w", err)
	}
	return nil
}

// final is an error that time does not mend.
type final struct{ error }

// eventually asks until there is no error or a final one, and returns the
// last one when ctx ends first.
func eventually(ctx context.Context, ask func() error) error {
	for {
		err := ask()
		if err == nil || errors.As(err, &final{}) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not in time: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
