package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// finalizer holds orders until the controller has seen their deletion.
const finalizer = "example.com/seen"

// reconcileOrders runs a controller that gives every order a finalizer and a
// ConfigMap of its own, and lets go of deleted ones.
func reconcileOrders(ctx context.Context, s scenario) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	log.SetLogger(logr.Discard())
	running, err := s.startController(ctx)
	if err != nil {
		return err
	}
	reader := running.GetAPIReader()
	if err := s.expectReconciled(ctx, reader, "before"); err != nil {
		return err
	}
	if err := s.expectConflict(ctx, running.GetClient(), "before"); err != nil {
		return err
	}
	if err := restarted(); err != nil {
		return err
	}
	if err := s.expectReconciled(ctx, reader, "after"); err != nil {
		return err
	}
	for _, name := range []string{"before", "after"} {
		if err := s.expectGone(ctx, reader, name); err != nil {
			return err
		}
	}
	return nil
}

// startController returns once the controller's cache has synced.
func (s scenario) startController(ctx context.Context) (manager.Manager, error) {
	running, err := manager.New(s.config, manager.Options{
		Cache:   cache.Options{DefaultNamespaces: map[string]cache.Config{s.namespace: {}}},
		Client:  client.Options{Cache: &client.CacheOptions{Unstructured: true}},
		Metrics: metricsserver.Options{BindAddress: "0"},
	})
	if err != nil {
		return nil, err
	}
	controller := &controller{running.GetClient()}
	if err := builder.ControllerManagedBy(running).For(emptyOrder()).Owns(&corev1.ConfigMap{}).Complete(controller); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- running.Start(ctx) }()
	select {
	case <-running.Elected():
	case err := <-ended:
		return nil, fmt.Errorf("the manager ended: %w", err)
	}
	if !running.GetCache().WaitForCacheSync(ctx) {
		return nil, errors.New("the cache did not sync")
	}
	return running, nil
}

// controller is as small as one can be that does something.
type controller struct{ client client.Client }

func emptyOrder() *unstructured.Unstructured {
	order := &unstructured.Unstructured{}
	order.SetGroupVersionKind(orderKind)
	return order
}

// Reconcile is called for every order that changed, or whose ConfigMap did.
func (c *controller) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	order := emptyOrder()
	if err := c.client.Get(ctx, request.NamespacedName, order); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	old := order.DeepCopy()
	if order.GetDeletionTimestamp() != nil {
		if !controllerutil.RemoveFinalizer(order, finalizer) {
			return reconcile.Result{}, nil
		}
		return reconcile.Result{}, client.IgnoreNotFound(c.patch(ctx, order, old))
	}
	if controllerutil.AddFinalizer(order, finalizer) {
		if err := c.patch(ctx, order, old); err != nil {
			return reconcile.Result{}, err
		}
	}
	settings := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: order.GetNamespace(), Name: order.GetName()}}
	if err := controllerutil.SetControllerReference(order, settings, c.client.Scheme()); err != nil {
		return reconcile.Result{}, err
	}
	return reconcile.Result{}, client.IgnoreAlreadyExists(c.client.Create(ctx, settings))
}

// patch writes what differs from old, unless somebody wrote since.
func (c *controller) patch(ctx context.Context, order, old *unstructured.Unstructured) error {
	return c.client.Patch(ctx, order, client.MergeFromWithOptions(old, client.MergeFromWithOptimisticLock{}))
}

// expectReconciled creates an order and waits for what the controller does.
func (s scenario) expectReconciled(ctx context.Context, reader client.Reader, name string) error {
	if _, err := s.create(ctx, name, nil); err != nil {
		return err
	}
	return eventually(ctx, func() error {
		order, err := s.user.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if !controllerutil.ContainsFinalizer(order, finalizer) {
			return fmt.Errorf("%s has the finalizers %v", name, order.GetFinalizers())
		}
		return reader.Get(ctx, client.ObjectKeyFromObject(order), &corev1.ConfigMap{})
	})
}

// expectConflict writes two copies of one version: the second write loses.
func (s scenario) expectConflict(ctx context.Context, writer client.Client, name string) error {
	order, err := s.user.Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	stale := order.DeepCopy()
	order.SetAnnotations(map[string]string{"written": "first"})
	if err := writer.Update(ctx, order); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	stale.SetAnnotations(map[string]string{"written": "second"})
	if err := writer.Update(ctx, stale); !apierrors.IsConflict(err) {
		return fmt.Errorf("an update of an old version: %v", err)
	}
	return nil
}

// expectGone deletes an order: the controller lets it go, and the garbage
// collector removes what it owned.
func (s scenario) expectGone(ctx context.Context, reader client.Reader, name string) error {
	key := client.ObjectKey{Namespace: s.namespace, Name: name}
	if err := s.user.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
		return fmt.Errorf("delete %s: %w", name, err)
	}
	for _, object := range []client.Object{emptyOrder(), &corev1.ConfigMap{}} {
		err := eventually(ctx, func() error {
			err := reader.Get(ctx, key, object)
			if err == nil {
				return fmt.Errorf("%T %s is still there", object, name)
			}
			return client.IgnoreNotFound(err)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
