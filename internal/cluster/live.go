package cluster

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"golang.org/x/sync/errgroup"

	"github.com/fibership/fibership/internal/release"
)

// Live gives the objects of the kinds that bear the selector's labels, by
// release.Object.Key: one request a kind. Kinds that do not live in namespaces
// are listed in the whole cluster; kinds that the server does not know have no
// objects.
func (c *Client) Live(ctx context.Context, namespace string, selector map[string]string, kinds []schema.GroupVersionKind) (map[string]*unstructured.Unstructured, error) {
	var mu sync.Mutex
	found := map[string]*unstructured.Unstructured{}
	seen := map[schema.GroupVersionResource]bool{}
	group, ctx := errgroup.WithContext(ctx)
	options := metav1.ListOptions{LabelSelector: labels.SelectorFromSet(selector).String()}
	for _, kind := range kinds {
		m, err := c.kinds.mapping(ctx, kind)
		if isUnknown(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if seen[m.Resource] {
			continue
		}
		seen[m.Resource] = true
		group.Go(func() error {
			list, err := c.at(m, namespace).List(ctx, options)
			if apierrors.IsForbidden(err) {
				return forbidden(err, kind.Kind)
			}
			if err != nil {
				return fmt.Errorf("list objects of kind %s: %w", kind.Kind, err)
			}
			mu.Lock()
			defer mu.Unlock()
			for i := range list.Items {
				u := &list.Items[i]
				found[release.Object{APIVersion: u.GetAPIVersion(), Kind: u.GetKind(), Namespace: u.GetNamespace(), Name: u.GetName()}.Key()] = u
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return found, nil
}

// Seen marks the state of a live object: its generation ("g5"), or where its
// kind has none, its resourceVersion ("r123").
func Seen(u *unstructured.Unstructured) string {
	if g := u.GetGeneration(); g > 0 {
		return "g" + strconv.FormatInt(g, 10)
	}
	return "r" + u.GetResourceVersion()
}

// A NamespaceError says why nothing can be put into a namespace.
type NamespaceError struct {
	Name        string
	Terminating bool // else it is not there
	err         error
}

func (e *NamespaceError) Error() string {
	if e.Terminating {
		return fmt.Sprintf("the namespace %q is being deleted", e.Name)
	}
	return fmt.Sprintf("there is no namespace %q", e.Name)
}

// Next is what a person can do about it.
func (e *NamespaceError) Next() string {
	if e.Terminating {
		return "wait until it is gone, create it anew, and run this again"
	}
	return fmt.Sprintf("create it (kubectl create namespace %s) or give the input namespace", e.Name)
}

func (e *NamespaceError) Unwrap() error { return e.err }

// Namespace says whether objects can be put into the namespace:
// *NamespaceError where it is not there or being deleted, *ForbiddenError
// where this cannot be known.
func (c *Client) Namespace(ctx context.Context, name string) error {
	ns, err := c.Kube.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return &NamespaceError{Name: name, err: err}
	case apierrors.IsForbidden(err):
		return forbidden(err, "Namespace "+name)
	case err != nil:
		return fmt.Errorf("read the namespace %q: %w", name, err)
	case ns.DeletionTimestamp != nil:
		return &NamespaceError{Name: name, Terminating: true}
	}
	return nil
}
