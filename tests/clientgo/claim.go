package main

import (
	"context"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
)

// claimAsAgent lists, starts an informer with client-go's defaults, creates an
// order, sees it arrive and claims it.
func claimAsAgent(ctx context.Context, s scenario) error {
	list, err := s.user.List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	if version := list.GetResourceVersion(); version == "" || version == "0" {
		return fmt.Errorf("an empty list has version %q", version)
	}
	arrived, err := s.awaitOrder(ctx)
	if err != nil {
		return err
	}
	if _, err := s.user.Create(ctx, newOrder("from-go", s.agent), metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	select {
	case <-arrived:
	case <-ctx.Done():
		return errors.New("the informer never saw the order")
	}
	return s.claim(ctx)
}

// awaitOrder starts an informer and waits for its first sync; the channel
// tells that an order arrived after it.
func (s scenario) awaitOrder(ctx context.Context) (<-chan struct{}, error) {
	client, err := dynamic.NewForConfig(s.config)
	if err != nil {
		return nil, err
	}
	factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(client, 0, s.namespace, nil)
	informer := factory.ForResource(orders).Informer()
	arrived := make(chan struct{}, 1)
	_, err = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(any) { arrived <- struct{}{} }})
	if err != nil {
		return nil, err
	}
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return nil, errors.New("the informer did not sync")
	}
	return arrived, nil
}

func (s scenario) claim(ctx context.Context) error {
	config, err := configOf(s.agentKubeconfig)
	if err != nil {
		return err
	}
	account, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	body := &unstructured.Unstructured{Object: map[string]any{
		"spec": map[string]any{"agent": s.agent, "holder": "from-go"},
	}}
	body.SetGroupVersionKind(orders.GroupVersion().WithKind("WorkOrderClaim"))
	body.SetName("from-go")
	answer, err := account.Resource(orders).Namespace(s.namespace).Create(ctx, body, metav1.CreateOptions{}, "claim")
	if err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	if fence, found, _ := unstructured.NestedInt64(answer.Object, "status", "fence"); !found || fence == 0 {
		return fmt.Errorf("the claim has no fence: %v", answer.Object)
	}
	return nil
}
