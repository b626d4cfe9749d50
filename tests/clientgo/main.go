// Command clientgo uses the API as a controller written in Go does: it lists, starts an informer with
// client-go's defaults (a streaming list), creates an order, sees it arrive, and claims it as an agent.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

var orders = schema.GroupVersionResource{Group: "work.brokkr.io", Version: "v1alpha1", Resource: "workorders"}

func main() {
	namespace := flag.String("namespace", "", "namespace to work in")
	agent := flag.String("agent", "", "agent to claim as")
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig of the user who creates")
	agentKubeconfig := flag.String("agent-kubeconfig", "", "kubeconfig of the agent's account")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	if err := run(ctx, *namespace, *agent, *kubeconfig, *agentKubeconfig); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, namespace, agent, kubeconfig, agentKubeconfig string) error {
	user, err := client(kubeconfig)
	if err != nil {
		return err
	}
	list, err := user.Resource(orders).Namespace(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	if version := list.GetResourceVersion(); version == "" || version == "0" {
		return fmt.Errorf("an empty list has version %q", version)
	}
	arrived, err := watch(ctx, user, namespace)
	if err != nil {
		return err
	}
	if _, err := user.Resource(orders).Namespace(namespace).Create(ctx, order(agent), metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	select {
	case <-arrived:
	case <-ctx.Done():
		return fmt.Errorf("the informer never saw the order")
	}
	return claim(ctx, namespace, agent, agentKubeconfig)
}

func client(kubeconfig string) (dynamic.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	return dynamic.NewForConfig(config)
}

// watch starts an informer and waits for its first sync; the channel tells that an order arrived after it.
func watch(ctx context.Context, user dynamic.Interface, namespace string) (<-chan struct{}, error) {
	factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(user, 0, namespace, nil)
	informer := factory.ForResource(orders).Informer()
	arrived := make(chan struct{}, 1)
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(any) { arrived <- struct{}{} }})
	if err != nil {
		return nil, err
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return nil, fmt.Errorf("the informer did not sync")
	}
	return arrived, nil
}

func order(agent string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "work.brokkr.io/v1alpha1",
		"kind":       "WorkOrder",
		"metadata":   map[string]any{"name": "from-go"},
		"spec": map[string]any{
			"workType": "build",
			"buildRef": map[string]any{"name": "app"},
			"targets":  []any{map[string]any{"agentNames": []any{agent}}},
		},
	}}
}

func claim(ctx context.Context, namespace, agent, kubeconfig string) error {
	account, err := client(kubeconfig)
	if err != nil {
		return err
	}
	body := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "work.brokkr.io/v1alpha1",
		"kind":       "WorkOrderClaim",
		"metadata":   map[string]any{"name": "from-go"},
		"spec":       map[string]any{"agent": agent, "holder": "from-go"},
	}}
	answer, err := account.Resource(orders).Namespace(namespace).Create(ctx, body, metav1.CreateOptions{}, "claim")
	if err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	if fence, found, _ := unstructured.NestedInt64(answer.Object, "status", "fence"); !found || fence == 0 {
		return fmt.Errorf("the claim has no fence: %v", answer.Object)
	}
	return nil
}
