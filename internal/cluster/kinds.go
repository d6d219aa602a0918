package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/restmapper"
)

// kinds knows what the API server serves. It is asked once (two requests), and
// again only for a kind that was not there.
type kinds struct {
	finder discovery.DiscoveryInterfaceWithContext

	mu     sync.Mutex
	mapper meta.RESTMapperWithContext
	asked  time.Time
	learnt map[schema.GroupKind]bool // of CRDs in the set: namespaced?
}

const (
	askAgain   = time.Second      // at the earliest, for a kind that was not there
	forLearnt  = 30 * time.Second // that a CRD just applied may take to be served
	learntPoll = 250 * time.Millisecond
)

func newKinds(finder discovery.DiscoveryInterfaceWithContext) *kinds {
	return &kinds{finder: finder, learnt: map[schema.GroupKind]bool{}}
}

// mapping is where objects of the kind live. The error is *UnknownKindError
// where the server does not serve the kind.
func (k *kinds) mapping(ctx context.Context, gvk schema.GroupVersionKind) (*meta.RESTMapping, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	fresh := false
	if k.mapper == nil {
		if err := k.ask(ctx); err != nil {
			return nil, err
		}
		fresh = true
	}
	m, err := k.mapper.RESTMappingWithContext(ctx, gvk.GroupKind(), gvk.Version)
	if meta.IsNoMatchError(err) && !fresh && time.Since(k.asked) > askAgain {
		if err := k.ask(ctx); err != nil {
			return nil, err
		}
		m, err = k.mapper.RESTMappingWithContext(ctx, gvk.GroupKind(), gvk.Version)
	}
	if meta.IsNoMatchError(err) {
		return nil, &UnknownKindError{Kind: gvk, err: err}
	}
	return m, err
}

func (k *kinds) ask(ctx context.Context) error {
	groups, err := restmapper.GetAPIGroupResourcesWithContext(ctx, k.finder)
	if err != nil {
		return fmt.Errorf("ask the API server which kinds it serves: %w", err)
	}
	k.mapper, k.asked = restmapper.NewDiscoveryRESTMapperWithContext(groups), time.Now()
	return nil
}

func (k *kinds) isLearnt(gk schema.GroupKind) (namespaced, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	namespaced, ok = k.learnt[gk]
	return namespaced, ok
}

// served waits for a kind whose CRD was applied a moment ago.
func (k *kinds) served(ctx context.Context, gvk schema.GroupVersionKind) (*meta.RESTMapping, error) {
	deadline := time.Now().Add(forLearnt)
	for {
		m, err := k.mapping(ctx, gvk)
		var unknown *UnknownKindError
		if !errors.As(err, &unknown) {
			return m, err
		}
		if _, ok := k.isLearnt(gvk.GroupKind()); !ok || time.Now().After(deadline) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(learntPoll):
		}
	}
}

// Scoped says whether objects of u's kind live in a namespace. The server is
// asked once for all kinds; kinds that it does not serve yet are those of
// CRDs given to Learn. The error is *UnknownKindError for any other.
func (c *Client) Scoped(ctx context.Context, u *unstructured.Unstructured) (namespaced bool, err error) {
	gvk := u.GroupVersionKind()
	if namespaced, ok := c.kinds.isLearnt(gvk.GroupKind()); ok {
		return namespaced, nil
	}
	m, err := c.kinds.mapping(ctx, gvk)
	if err != nil {
		return false, err
	}
	return m.Scope.Name() == meta.RESTScopeNameNamespace, nil
}

// Learn takes the kind that a CustomResourceDefinition makes from the
// definition itself, for objects of the kind in the same set. Anything but a
// CRD is passed over.
func (c *Client) Learn(crd *unstructured.Unstructured) {
	if crd.GroupVersionKind().GroupKind() != (schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}) {
		return
	}
	group, _, _ := unstructured.NestedString(crd.Object, "spec", "group")
	kind, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "kind")
	scope, _, _ := unstructured.NestedString(crd.Object, "spec", "scope")
	if kind == "" {
		return
	}
	c.kinds.mu.Lock()
	defer c.kinds.mu.Unlock()
	c.kinds.learnt[schema.GroupKind{Group: group, Kind: kind}] = scope == "Namespaced"
}
