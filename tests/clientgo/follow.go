package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/metadata/metadatainformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	watchtools "k8s.io/client-go/tools/watch"
)

// follow makes changes while a dynamic informer, a metadata informer and a
// RetryWatcher look on, and expects each to see every change once and in
// order, those before the server's restart and those after it.
func follow(ctx context.Context, s scenario) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	lists := &listRecorder{}
	followers, err := s.followers(ctx, lists)
	if err != nil {
		return err
	}
	before := []step{{"create", "a"}, {"create", "b"}, {"label", "a"}, {"label", "b"}, {"label", "a"}, {"delete", "a"}}
	// An informer that finds the server away lists anew, and sees of what
	// happened until then the last state alone. So all have seen one order
	// arrive before anything else happens.
	marker := []step{{"create", "marker"}}
	after := []step{{"create", "c"}, {"label", "b"}, {"label", "c"}, {"delete", "b"}}
	made, err := s.makeSeen(ctx, before, nil, followers)
	if err != nil {
		return err
	}
	if err := lists.onlyStreaming(); err != nil {
		return err
	}
	if err := restarted(); err != nil {
		return err
	}
	if made, err = s.makeSeen(ctx, marker, made, followers); err != nil {
		return err
	}
	_, err = s.makeSeen(ctx, after, made, followers)
	return err
}

// makeSeen makes further changes, and waits until all followers have seen
// these and all that were made before, and nothing else.
func (s scenario) makeSeen(ctx context.Context, steps []step, made []change, followers []*follower) ([]change, error) {
	for _, step := range steps {
		change, err := s.make(ctx, step, len(made))
		if err != nil {
			return nil, err
		}
		made = append(made, change)
	}
	for _, follower := range followers {
		if err := eventually(ctx, func() error { return follower.saw(made) }); err != nil {
			return nil, fmt.Errorf("%s: %w", follower.name, err)
		}
	}
	return made, nil
}

// step is a change to be made: a verb and the name of an order.
type step struct{ verb, name string }

// change is one event of one object. The version of a deletion is known to
// watchers only, and empty in what is expected.
type change struct {
	event         watch.EventType
	name, version string
}

// make makes one change; number makes labels differ.
func (s scenario) make(ctx context.Context, step step, number int) (change, error) {
	switch step.verb {
	case "create":
		order, err := s.create(ctx, step.name, nil)
		if err != nil {
			return change{}, err
		}
		return change{watch.Added, step.name, order.GetResourceVersion()}, nil
	case "label":
		patch := fmt.Appendf(nil, `{"metadata":{"labels":{"step":"%d"}}}`, number)
		order, err := s.user.Patch(ctx, step.name, types.MergePatchType, patch, metav1.PatchOptions{})
		if err != nil {
			return change{}, fmt.Errorf("label %s: %w", step.name, err)
		}
		return change{watch.Modified, step.name, order.GetResourceVersion()}, nil
	default:
		if err := s.user.Delete(ctx, step.name, metav1.DeleteOptions{}); err != nil {
			return change{}, fmt.Errorf("delete %s: %w", step.name, err)
		}
		return change{watch.Deleted, step.name, ""}, nil
	}
}

// followers starts all that look on, and returns when each has begun.
func (s scenario) followers(ctx context.Context, lists *listRecorder) ([]*follower, error) {
	informed := rest.CopyConfig(s.config)
	informed.Wrap(lists.wrap)
	objects, err := dynamic.NewForConfig(informed)
	if err != nil {
		return nil, err
	}
	partial, err := metadata.NewForConfig(informed)
	if err != nil {
		return nil, err
	}
	objectFactory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(objects, 0, s.namespace, nil)
	partialFactory := metadatainformer.NewFilteredSharedInformerFactory(partial, 0, s.namespace, nil)
	whole, err := inform("dynamic informer", objectFactory.ForResource(orders).Informer())
	if err != nil {
		return nil, err
	}
	meta, err := inform("metadata informer", partialFactory.ForResource(orders).Informer())
	if err != nil {
		return nil, err
	}
	objectFactory.Start(ctx.Done())
	partialFactory.Start(ctx.Done())
	synced := []cache.InformerSynced{objectFactory.ForResource(orders).Informer().HasSynced, partialFactory.ForResource(orders).Informer().HasSynced}
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		return nil, errors.New("the informers did not sync")
	}
	retrying := &follower{name: "RetryWatcher"}
	return []*follower{whole, meta, retrying}, s.retry(ctx, retrying)
}

// retry lets a RetryWatcher begin at the version of a list.
func (s scenario) retry(ctx context.Context, to *follower) error {
	list, err := s.user.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	source := &cache.ListWatch{WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
		return s.user.Watch(ctx, options)
	}}
	watcher, err := watchtools.NewRetryWatcherWithContext(ctx, list.GetResourceVersion(), source)
	if err != nil {
		return err
	}
	go func() {
		for event := range watcher.ResultChan() {
			to.sawEvent(event)
		}
		to.add(change{event: "END"})
	}()
	return nil
}

// follower records what one of them sees.
type follower struct {
	name string
	mu   sync.Mutex
	seen []change
}

// inform returns a follower of what an informer tells its handlers.
func inform(name string, informer cache.SharedIndexInformer) (*follower, error) {
	f := &follower{name: name}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(object any) { f.sawObject(watch.Added, object) },
		UpdateFunc: func(old, object any) {
			// An informer that has listed anew tells all that it finds unchanged as updates.
			if versionOf(old) != versionOf(object) {
				f.sawObject(watch.Modified, object)
			}
		},
		DeleteFunc: func(object any) { f.sawObject(watch.Deleted, object) },
	})
	return f, err
}

func versionOf(object any) string {
	accessor, err := meta.Accessor(object)
	if err != nil {
		return ""
	}
	return accessor.GetResourceVersion()
}

func (f *follower) sawEvent(event watch.Event) {
	if event.Type == watch.Error {
		f.add(change{event: watch.Error, name: apierrors.FromObject(event.Object).Error()})
		return
	}
	f.sawObject(event.Type, event.Object)
}

// sawObject adds what is no object too, such as the tombstone of a deletion
// that was missed: none happens while an informer is away.
func (f *follower) sawObject(event watch.EventType, object any) {
	accessor, err := meta.Accessor(object)
	if err != nil {
		f.add(change{event: event, name: fmt.Sprintf("%T: %v", object, err)})
		return
	}
	f.add(change{event, accessor.GetName(), accessor.GetResourceVersion()})
}

func (f *follower) add(seen change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = append(f.seen, seen)
}

// saw compares with what was made. Versions grow, so that equal lists mean
// every change once and in order. What differs stays different.
func (f *follower) saw(made []change) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, seen := range f.seen {
		if i == len(made) {
			return final{fmt.Errorf("saw %v after all of %v", seen, made)}
		}
		if !seen.is(made[i]) {
			return final{fmt.Errorf("saw %v instead of %v, after %v", seen, made[i], f.seen[:i])}
		}
	}
	if len(f.seen) < len(made) {
		return fmt.Errorf("saw %v and not %v", f.seen, made[len(f.seen):])
	}
	return nil
}

func (c change) is(made change) bool {
	return c.event == made.event && c.name == made.name && (made.version == "" || c.version == made.version)
}

// listRecorder looks at how informers get their first state.
type listRecorder struct {
	mu              sync.Mutex
	streamed, plain int
}

func (l *listRecorder) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		query := request.URL.Query()
		l.mu.Lock()
		switch {
		case query.Get("sendInitialEvents") == "true":
			l.streamed++
		case query.Get("watch") != "true":
			l.plain++
		}
		l.mu.Unlock()
		return next.RoundTrip(request)
	})
}

// onlyStreaming says whether every first state came as a streaming list.
func (l *listRecorder) onlyStreaming() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.plain > 0 || l.streamed < 2 {
		return fmt.Errorf("informers made %d streaming and %d plain lists", l.streamed, l.plain)
	}
	return nil
}

type roundTripper func(*http.Request) (*http.Response, error)

func (r roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return r(request) }
