package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fibership/fibership/internal/release"
)

// Find gives those of the objects that are in the cluster, whoever made them,
// by release.Object.Key, and the number of requests that it took: one a kind
// and namespace where nothing is there, two at the most. It needs the right to
// list. Kinds that the server does not know have no objects.
func (c *Client) Find(ctx context.Context, objects []release.Object) (map[string]*unstructured.Unstructured, int, error) {
	type place struct {
		kind      schema.GroupVersionKind
		namespace string
	}
	names := map[place][]string{}
	for _, o := range objects {
		p := place{gvkOf(o), o.Namespace}
		names[p] = append(names[p], o.Name)
	}
	var mu sync.Mutex
	found, requests := map[string]*unstructured.Unstructured{}, 0
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for p, names := range names {
		m, err := c.kinds.mapping(ctx, p.kind)
		if isUnknown(err) {
			continue
		}
		if err != nil {
			return nil, requests, err
		}
		group.Go(func() error {
			there, n, err := c.present(ctx, m, p.namespace, names)
			mu.Lock()
			defer mu.Unlock()
			requests += n
			if apierrors.IsForbidden(err) {
				return forbidden(err, p.kind.Kind)
			}
			if err != nil {
				return fmt.Errorf("look for objects of kind %s: %w", p.kind.Kind, err)
			}
			for i := range there {
				u := &there[i]
				found[release.Object{APIVersion: u.GetAPIVersion(), Kind: u.GetKind(), Namespace: u.GetNamespace(), Name: u.GetName()}.Key()] = u
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, requests, err
	}
	return found, requests, nil
}

// present lists metadata first where many are looked for: what others keep in
// the namespace may be large, and mostly nothing of it is meant.
func (c *Client) present(ctx context.Context, m *meta.RESTMapping, namespace string, names []string) (there []unstructured.Unstructured, requests int, err error) {
	if len(names) > 1 {
		requests++
		resource := c.metadata.Resource(m.Resource)
		list, err := resource.Namespace(namespace).List(ctx, metav1.ListOptions{}) // of the whole cluster where that is empty
		if err != nil {
			return nil, requests, err
		}
		wanted := names
		names = nil
		for i := range list.Items {
			if slices.Contains(wanted, list.Items[i].Name) {
				names = append(names, list.Items[i].Name)
			}
		}
	}
	if len(names) == 0 {
		return nil, requests, nil
	}
	var options metav1.ListOptions
	if len(names) == 1 {
		options.FieldSelector = fields.OneTermEqualSelector("metadata.name", names[0]).String()
	}
	requests++
	list, err := c.at(m, namespace).List(ctx, options)
	if err != nil {
		return nil, requests, err
	}
	for _, u := range list.Items {
		if slices.Contains(names, u.GetName()) {
			there = append(there, u)
		}
	}
	return there, requests, nil
}

// Unlabel takes labels off an object and changes nothing else of it. One that
// is gone, or whose name another bears now (where o.UID is known), is no error.
func (c *Client) Unlabel(ctx context.Context, o release.Object, labels ...string) error {
	m, err := c.kinds.mapping(ctx, gvkOf(o))
	if isUnknown(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("take our labels off %s: %w", o, err)
	}
	off := map[string]any{}
	for _, label := range labels {
		off[label] = nil
	}
	metadata := map[string]any{"labels": off}
	if o.UID != "" {
		metadata["uid"] = o.UID
	}
	body, err := json.Marshal(map[string]any{"metadata": metadata})
	if err != nil {
		return fmt.Errorf("take our labels off %s: %w", o, err)
	}
	_, err = c.at(m, o.Namespace).Patch(ctx, o.Name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: Manager})
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err) && o.UID != "":
		return nil
	case apierrors.IsForbidden(err):
		return forbidden(err, o.String())
	case err != nil:
		return fmt.Errorf("take our labels off %s: %w", o, err)
	}
	return nil
}

// Withdraw gives up every field of an object that Apply made ours: those that
// nobody else holds go, the others stay as they are. o.UID must be known: an
// object that is gone, or another of its name, is no error.
func (c *Client) Withdraw(ctx context.Context, o release.Object) error {
	m, err := c.kinds.mapping(ctx, gvkOf(o))
	if isUnknown(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("give up %s: %w", o, err)
	}
	// With its uid the server makes no object of the name anew.
	nothing := &unstructured.Unstructured{Object: map[string]any{"apiVersion": o.APIVersion, "kind": o.Kind}}
	nothing.SetName(o.Name)
	nothing.SetUID(types.UID(o.UID))
	if m.Scope.Name() == meta.RESTScopeNameNamespace {
		nothing.SetNamespace(o.Namespace)
	}
	body, err := json.Marshal(nothing.Object)
	if err != nil {
		return fmt.Errorf("give up %s: %w", o, err)
	}
	_, err = c.at(m, o.Namespace).Patch(ctx, o.Name, types.ApplyPatchType, body, metav1.PatchOptions{FieldManager: Manager})
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return nil
	case apierrors.IsForbidden(err):
		return forbidden(err, o.String())
	case err != nil:
		return fmt.Errorf("give up %s: %w", o, err)
	}
	return nil
}

// May names the right to do what verb says to objects of a kind.
func (c *Client) May(ctx context.Context, verb string, o release.Object) (Access, error) {
	m, err := c.kinds.mapping(ctx, gvkOf(o))
	if err != nil {
		return Access{}, err
	}
	a := Access{Verb: verb, Group: m.Resource.Group, Resource: m.Resource.Resource}
	if m.Scope.Name() == meta.RESTScopeNameNamespace {
		a.Namespace = o.Namespace
	}
	return a, nil
}
