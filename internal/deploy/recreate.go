package deploy

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/release"
)

// put applies u, and where the object cannot be changed in place and may be
// made anew, deletes it first and waits until it and its pods are gone. A run that dies in
// between leaves it missing: whoever settles that finds it to be created.
func (s *Session) put(ctx context.Context, c Change, u *unstructured.Unstructured, o cluster.ApplyOptions) (*unstructured.Unstructured, error) {
	if c.Verb != Recreate {
		now, err := s.Cluster.Apply(ctx, u, o)
		fixed, ok := errors.AsType[*cluster.ImmutableError](err)
		if !ok || !c.recreatable(fixed) {
			return now, err
		}
	}
	old := release.Describe(c.Live)
	old.UID = string(c.Live.GetUID())
	s.Log.Linef("deleting %s, to create it again", old)
	gone, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	if err := s.Cluster.Delete(gone, old, true); err != nil {
		return nil, fmt.Errorf("delete it first: %w", err)
	}
	return s.Cluster.Apply(ctx, u, o)
}
