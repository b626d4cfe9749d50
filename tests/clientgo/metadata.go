package main

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/restmapper"
)

// readMetadata finds the kind by discovery, and then works on orders by their
// metadata alone, as the garbage collector and the namespace controller do.
func readMetadata(ctx context.Context, s scenario) error {
	if err := s.discover(); err != nil {
		return err
	}
	all, err := metadata.NewForConfig(s.config)
	if err != nil {
		return err
	}
	client := all.Resource(orders).Namespace(s.namespace)
	for name, team := range map[string]string{"a": "red", "b": "red", "c": "blue"} {
		if _, err := s.create(ctx, name, map[string]string{"team": team}); err != nil {
			return err
		}
	}
	one, err := client.Get(ctx, "a", metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("get: %w", err)
	}
	if one.Labels["team"] != "red" || one.UID == "" {
		return fmt.Errorf("get gave %+v", one)
	}
	patch := []byte(`{"metadata":{"annotations":{"seen":"yes"},"resourceVersion":"` + one.ResourceVersion + `"}}`)
	patched, err := client.Patch(ctx, "a", types.MergePatchType, patch, metav1.PatchOptions{})
	if err != nil || patched.Annotations["seen"] != "yes" {
		return fmt.Errorf("patch gave %+v, %v", patched, err)
	}
	if err := expectStale(ctx, client, one); err != nil {
		return err
	}
	return deleteByMetadata(ctx, client, patched)
}

// expectStale expects that a patch and a deletion by an old version conflict.
func expectStale(ctx context.Context, client metadata.ResourceInterface, old *metav1.PartialObjectMetadata) error {
	patch := []byte(`{"metadata":{"annotations":{"seen":"no"},"resourceVersion":"` + old.ResourceVersion + `"}}`)
	if _, err := client.Patch(ctx, old.Name, types.MergePatchType, patch, metav1.PatchOptions{}); !apierrors.IsConflict(err) {
		return fmt.Errorf("a patch of an old version: %v", err)
	}
	preconditions := &metav1.Preconditions{UID: &old.UID, ResourceVersion: &old.ResourceVersion}
	if err := client.Delete(ctx, old.Name, metav1.DeleteOptions{Preconditions: preconditions}); !apierrors.IsConflict(err) {
		return fmt.Errorf("a deletion of an old version: %v", err)
	}
	return nil
}

// deleteByMetadata deletes one order by its exact version, then those of a
// label, and expects that the rest stays.
func deleteByMetadata(ctx context.Context, client metadata.ResourceInterface, one *metav1.PartialObjectMetadata) error {
	preconditions := &metav1.Preconditions{UID: &one.UID, ResourceVersion: &one.ResourceVersion}
	if err := client.Delete(ctx, one.Name, metav1.DeleteOptions{Preconditions: preconditions}); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	background := metav1.DeletePropagationBackground
	err := client.DeleteCollection(ctx, metav1.DeleteOptions{PropagationPolicy: &background}, metav1.ListOptions{LabelSelector: "team=red"})
	if err != nil {
		return fmt.Errorf("delete collection: %w", err)
	}
	list, err := client.List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	if len(list.Items) != 1 || list.Items[0].Name != "c" || list.ResourceVersion == "" {
		return fmt.Errorf("list gave %+v", list)
	}
	return nil
}

// discover finds kind and resource from each other, as kubectl and controllers
// do, and expects that no group of the cluster fails.
func (s scenario) discover() error {
	client, err := discovery.NewDiscoveryClientForConfig(s.config)
	if err != nil {
		return err
	}
	groups, err := restmapper.GetAPIGroupResources(client)
	if err != nil {
		return fmt.Errorf("discovery: %w", err)
	}
	mapper := restmapper.NewShortcutExpander(restmapper.NewDiscoveryRESTMapper(groups), client, nil)
	mapping, err := mapper.RESTMapping(schema.GroupKind{Group: orders.Group, Kind: "WorkOrder"})
	if err != nil || mapping.Resource != orders || mapping.Scope.Name() != "namespace" {
		return fmt.Errorf("WorkOrder is mapped to %+v, %v", mapping, err)
	}
	for _, name := range []string{"wo", "workorder", "workorders"} {
		if found, err := mapper.ResourceFor(schema.GroupVersionResource{Resource: name}); err != nil || found != orders {
			return fmt.Errorf("%s is %v, %v", name, found, err)
		}
	}
	// What the namespace controller asks: one failing group would stop it.
	if _, err := client.ServerPreferredNamespacedResources(); err != nil {
		return fmt.Errorf("preferred resources: %w", err)
	}
	return nil
}
