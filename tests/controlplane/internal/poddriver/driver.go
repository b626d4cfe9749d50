package poddriver

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// workers is how many pods are handled at once.
const workers = 4

// Driver plays the pods of one cluster.
type Driver struct {
	client     kubernetes.Interface
	log        *slog.Logger
	pods       listers.PodLister
	configMaps listers.ConfigMapLister
	synced     []cache.InformerSynced
	start      func(<-chan struct{})
	changes    changes
	queue      workqueue.TypedRateLimitingInterface[types.NamespacedName]

	mu sync.Mutex
	// seen holds what the driver knows of each pod, by uid.
	seen map[types.UID]*memory
	// counts is how many pods each key has had, by namespace and key.
	counts map[types.NamespacedName]int
}

// memory is what the driver knows of one pod.
type memory struct {
	times times
	// index is the pod's place among the pods of a key.
	index map[string]int
}

// New returns a driver that acts through client and reports to log.
func New(client kubernetes.Interface, log *slog.Logger) (*Driver, error) {
	named := informers.WithTweakListOptions(func(options *metav1.ListOptions) {
		options.FieldSelector = fields.OneTermEqualSelector("metadata.name", ConfigMapName).String()
	})
	podFactory := informers.NewSharedInformerFactory(client, 0)
	mapFactory := informers.NewSharedInformerFactoryWithOptions(client, 0, named)
	pods, configMaps := podFactory.Core().V1().Pods(), mapFactory.Core().V1().ConfigMaps()
	driver := &Driver{
		client: client, log: log, pods: pods.Lister(), configMaps: configMaps.Lister(),
		synced: []cache.InformerSynced{pods.Informer().HasSynced, configMaps.Informer().HasSynced},
		start: func(stop <-chan struct{}) {
			podFactory.Start(stop)
			mapFactory.Start(stop)
		},
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.DefaultTypedControllerRateLimiter[types.NamespacedName]()),
		seen: map[types.UID]*memory{}, counts: map[types.NamespacedName]int{},
	}
	if _, err := pods.Informer().AddEventHandler(handler(driver.podChanged, driver.podGone)); err != nil {
		return nil, err
	}
	_, err := configMaps.Informer().AddEventHandler(handler(driver.scriptChanged, driver.scriptChanged))
	return driver, err
}

// handler calls changed for every object that is new or different, and gone
// for every one that is no more.
func handler(changed, gone func(any)) cache.ResourceEventHandlerFuncs {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    changed,
		UpdateFunc: func(_, object any) { changed(object) },
		DeleteFunc: func(object any) {
			if last, missed := object.(cache.DeletedFinalStateUnknown); missed {
				object = last.Obj
			}
			gone(object)
		},
	}
}

// Run plays pods until ctx ends.
func (d *Driver) Run(ctx context.Context) {
	defer d.queue.ShutDown()
	d.start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), d.synced...) {
		return
	}
	for range workers {
		go d.work(ctx)
	}
	<-ctx.Done()
}

func (d *Driver) podChanged(object any) {
	if pod, ok := object.(*corev1.Pod); ok && plays(pod) {
		d.queue.Add(types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name})
	}
	d.changes.announce()
}

func (d *Driver) podGone(object any) {
	if pod, ok := object.(*corev1.Pod); ok {
		d.mu.Lock()
		delete(d.seen, pod.UID)
		d.mu.Unlock()
	}
	d.changes.announce()
}

// scriptChanged looks again at all pods of the ConfigMap's namespace.
func (d *Driver) scriptChanged(object any) {
	configMap, ok := object.(*corev1.ConfigMap)
	if !ok {
		return
	}
	pods, err := d.pods.Pods(configMap.Namespace).List(labels.Everything())
	if err != nil {
		d.log.Error("listing pods", "namespace", configMap.Namespace, "error", err)
	}
	for _, pod := range pods {
		d.podChanged(pod)
	}
	d.changes.announce()
}

func (d *Driver) work(ctx context.Context) {
	for {
		key, shutdown := d.queue.Get()
		if shutdown {
			return
		}
		if err := d.sync(ctx, key); err != nil {
			d.log.Error("playing a pod", "pod", key, "error", err)
			d.queue.AddRateLimited(key)
		} else {
			d.queue.Forget(key)
		}
		d.queue.Done(key)
	}
}

// sync does what is due for one pod.
func (d *Driver) sync(ctx context.Context, key types.NamespacedName) error {
	pod, err := d.pods.Pods(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	outcome, times, err := d.recall(pod)
	// A pod that is being deleted goes, whatever is wrong with its script: its
	// namespace would never end otherwise.
	if err != nil && pod.DeletionTimestamp == nil {
		return err
	}
	now := time.Now()
	decision := decide(pod, outcome, times, now)
	if decision.bind {
		return ignoreGone(d.bind(ctx, pod))
	}
	if decision.status != nil {
		if err := d.write(ctx, pod, *decision.status); err != nil {
			return ignoreGone(err)
		}
		d.log.Info("status written", "pod", key, "phase", decision.status.Phase, "outcome", outcome.Outcome)
	}
	if decision.runs {
		d.remember(pod, now)
	}
	if decision.remove {
		return ignoreGone(d.remove(ctx, pod))
	}
	if decision.after > 0 {
		d.queue.AddAfter(key, decision.after)
	}
	return nil
}

// recall returns the outcome for the pod and its times. A pod that is new to a
// key is counted.
func (d *Driver) recall(pod *corev1.Pod) (Outcome, times, error) {
	var data map[string]string
	script, err := d.configMaps.ConfigMaps(pod.Namespace).Get(ConfigMapName)
	if err == nil {
		data = script.Data
	} else if !apierrors.IsNotFound(err) {
		return Outcome{}, times{}, err
	}
	key := keyFor(pod, data)
	outcome, err := parseOutcome(outcomeText(data, key))
	if err != nil {
		return Outcome{}, times{}, fmt.Errorf("key %s of ConfigMap %s: %w", key, ConfigMapName, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	known := d.seen[pod.UID]
	if known == nil {
		known = &memory{times: times{seen: time.Now()}, index: map[string]int{}}
		d.seen[pod.UID] = known
	}
	if _, counted := known.index[key]; !counted {
		count := types.NamespacedName{Namespace: pod.Namespace, Name: key}
		known.index[key] = d.counts[count]
		d.counts[count]++
	}
	return outcome.forPod(known.index[key]), known.times, nil
}

// remember notes when the pod's containers began to run.
func (d *Driver) remember(pod *corev1.Pod, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known := d.seen[pod.UID]; known != nil {
		known.times.running = now
	}
}

// write replaces the pod's status, unless the pod has changed since it was
// read; the change brings it here again. A merge patch replaces lists as a
// whole.
func (d *Driver) write(ctx context.Context, pod *corev1.Pod, status corev1.PodStatus) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": pod.UID, "resourceVersion": pod.ResourceVersion},
		"status":   status,
	})
	if err != nil {
		return err
	}
	_, err = d.client.CoreV1().Pods(pod.Namespace).
		Patch(ctx, pod.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}

// remove deletes the pod without grace, as a kubelet does at the end of it.
func (d *Driver) remove(ctx context.Context, pod *corev1.Pod) error {
	now := int64(0)
	return d.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
		GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &pod.UID},
	})
}

// ignoreGone drops the errors of a pod that is gone or replaced.
func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return nil
	}
	return err
}
