package rollout

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"
)

// A feed holds one kind of objects as the API server has them, kept current
// by a list and a watch. A stream that breaks off goes on where it was; where
// the server has forgotten that place, it is listed again.
type feed[T metav1.Object] struct {
	what string // "pods", for notes
	poke func() // called after every change

	mu      sync.Mutex
	items   map[string]T
	synced  bool
	refused error     // not nil: the rights are missing, and nothing will come
	asking  time.Time // since when a request has been without an answer
}

// list and watch are what typed and dynamic clients have in common.
type (
	listFunc  func(context.Context, metav1.ListOptions) (runtime.Object, error)
	watchFunc func(context.Context, metav1.ListOptions) (watch.Interface, error)
)

// retry is how soon a broken stream is tried again: a rollout takes seconds,
// client-go's own half a minute would miss it.
var retry = wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.1, Steps: math.MaxInt32, Cap: 2 * time.Second}

// run keeps the feed current until ctx ends.
func (f *feed[T]) run(ctx context.Context, example runtime.Object, narrow func(*metav1.ListOptions), list listFunc, open watchFunc) {
	// client-go's log would go past ours, with text from the server in it.
	quiet := logr.Discard()
	ctx = klog.NewContext(ctx, quiet)
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			narrow(&o)
			if o.ResourceVersion == "0" {
				o.ResourceVersion = "" // a cache may be older than what was just applied
			}
			defer f.ask()()
			return list(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			narrow(&o)
			defer f.ask()()
			return open(ctx, o)
		},
	}
	backoff := retry
	reflector := cache.NewReflectorWithOptions(source, example, f, cache.ReflectorOptions{Name: f.what, Logger: &quiet, Backoff: &backoff})
	pause := retry
	for ctx.Err() == nil {
		begun := time.Now()
		err := reflector.ListAndWatchWithContext(ctx)
		if f.refuse(err) {
			return
		}
		if time.Since(begun) > time.Second {
			pause = retry
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause.Step()):
		}
	}
}

// refuse notes an error that asking again does not change.
func (f *feed[T]) refuse(err error) bool {
	if !apierrors.IsForbidden(err) && !apierrors.IsUnauthorized(err) && !apierrors.IsNotFound(err) {
		return false
	}
	f.mu.Lock()
	if f.synced { // it could be listed: without a watch it is listed again and again
		f.mu.Unlock()
		return false
	}
	f.refused, f.synced = fmt.Errorf("%s cannot be read: %w", f.what, err), true
	f.mu.Unlock()
	f.poke()
	return true
}

// ask notes that a request is under way until the returned function is called.
func (f *feed[T]) ask() func() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asking = time.Now()
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.asking = time.Time{}
	}
}

// late is how long the API server has not answered.
func (f *feed[T]) late() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asking.IsZero() {
		return 0
	}
	return time.Since(f.asking)
}

// state says whether the feed has begun, and why it never will.
func (f *feed[T]) state() (ready bool, refused error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.synced, f.refused
}

// all gives what is there, in no order. The objects are shared: read only.
func (f *feed[T]) all() []T {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]T, 0, len(f.items))
	for _, item := range f.items {
		all = append(all, item)
	}
	return all
}

func (f *feed[T]) get(name string) (T, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	item, ok := f.items[name]
	return item, ok
}

// The methods below are what client-go's reflector keeps a store with.

// Add puts an object in.
func (f *feed[T]) Add(obj any) error { return f.Update(obj) }

// Update puts an object's newer form in.
func (f *feed[T]) Update(obj any) error {
	item, ok := obj.(T)
	if !ok {
		return fmt.Errorf("%s: the server sent a %T", f.what, obj)
	}
	f.mu.Lock()
	if f.items == nil {
		f.items = map[string]T{}
	}
	f.items[item.GetName()] = item
	f.mu.Unlock()
	f.poke()
	return nil
}

// Delete takes an object out.
func (f *feed[T]) Delete(obj any) error {
	item, ok := obj.(T)
	if !ok {
		return nil
	}
	f.mu.Lock()
	delete(f.items, item.GetName())
	f.mu.Unlock()
	f.poke()
	return nil
}

// Replace puts the list in the place of what was there.
func (f *feed[T]) Replace(list []any, _ string) error {
	items := make(map[string]T, len(list))
	for _, obj := range list {
		if item, ok := obj.(T); ok {
			items[item.GetName()] = item
		}
	}
	f.mu.Lock()
	f.items, f.synced = items, true
	f.mu.Unlock()
	f.poke()
	return nil
}

// Resync has nothing to do.
func (f *feed[T]) Resync() error { return nil }
