package manifests

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

const (
	// parallelCreates bounds how many objects are created at once.
	parallelCreates = 8
	// pollInterval is how often a fresh API server is asked whether it serves
	// a new resource.
	pollInterval = 100 * time.Millisecond
)

// Creator creates objects in one cluster.
type Creator struct {
	mapper meta.ResettableRESTMapper
	client dynamic.Interface
}

// NewCreator returns a creator for the cluster that cfg points to.
func NewCreator(cfg *rest.Config) (*Creator, error) {
	plain, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return nil, err
	}
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, err
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(plain))
	return &Creator{mapper, client}, nil
}

// Create creates namespaces and custom resource definitions first and all else
// after them. Objects that exist are left as they are. It returns when all new
// resources are served.
func (c *Creator) Create(ctx context.Context, objects []*unstructured.Unstructured) error {
	var first, rest []*unstructured.Unstructured
	for _, object := range objects {
		switch object.GetKind() {
		case "Namespace", "CustomResourceDefinition":
			first = append(first, object)
		default:
			rest = append(rest, object)
		}
	}
	if err := c.createAll(ctx, first); err != nil {
		return err
	}
	if err := c.createAll(ctx, rest); err != nil {
		return err
	}
	for _, object := range first {
		if err := c.awaitServed(ctx, object); err != nil {
			return err
		}
	}
	return nil
}

func (c *Creator) createAll(ctx context.Context, objects []*unstructured.Unstructured) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallelCreates)
	for _, object := range objects {
		group.Go(func() error { return c.create(ctx, object) })
	}
	return group.Wait()
}

func (c *Creator) create(ctx context.Context, object *unstructured.Unstructured) error {
	kind := object.GroupVersionKind()
	mapping, err := c.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return fmt.Errorf("looking up %s: %w", kind, err)
	}
	client := c.client.Resource(mapping.Resource)
	var target dynamic.ResourceInterface = client
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		target = client.Namespace(object.GetNamespace())
	}
	_, err = target.Create(ctx, object, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating %s %s: %w", kind.Kind, object.GetName(), err)
	}
	return nil
}

// awaitServed waits until discovery lists the kind of a custom resource
// definition in every served version. A resource answers earlier under its own
// path than it appears in the list of all groups, which is what clients read.
func (c *Creator) awaitServed(ctx context.Context, definition *unstructured.Unstructured) error {
	if definition.GetKind() != "CustomResourceDefinition" {
		return nil
	}
	group, _, _ := unstructured.NestedString(definition.Object, "spec", "group")
	kind, _, _ := unstructured.NestedString(definition.Object, "spec", "names", "kind")
	versions, _, _ := unstructured.NestedSlice(definition.Object, "spec", "versions")
	for _, entry := range versions {
		version, _ := entry.(map[string]any)
		if served, _ := version["served"].(bool); !served {
			continue
		}
		name, _ := version["name"].(string)
		if err := c.awaitKind(ctx, schema.GroupKind{Group: group, Kind: kind}, name); err != nil {
			return err
		}
	}
	return nil
}

func (c *Creator) awaitKind(ctx context.Context, kind schema.GroupKind, version string) error {
	err := wait.PollUntilContextCancel(ctx, pollInterval, true, func(context.Context) (bool, error) {
		_, err := c.mapper.RESTMapping(kind, version)
		if err != nil {
			c.mapper.Reset()
		}
		return err == nil, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for %s to be served in version %s: %w", kind, version, err)
	}
	return nil
}
