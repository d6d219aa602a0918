// Package traffic makes a weight true: it brings a share of a service's
// requests to a new version beside the live one, and says which share it
// really reached. It knows nothing of steps, of how a version is judged or of
// how requests are counted.
//
// A Router is one of Replicas, Switch and Gateway. All three put canary
// Deployments beside the live ones; they differ in what leads requests there.
// What they change is noted (Note) before it is done, and Home, Select and
// Back undo it from what was noted.
package traffic

import (
	"context"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/release"
)

// A Note records how traffic is about to be led. What it does not take is not
// done.
type Note func(context.Context, release.Steered) error

// Replicas steers by the share of pods behind one Service: it selects the
// canary's pods as well.
type Replicas struct{ versions }

// NewReplicas is for the objects of the new release. The error says why it
// cannot be steered by replicas.
func NewReplicas(ctx context.Context, c *cluster.Client, objects []*unstructured.Unstructured) (*Replicas, error) {
	v, err := pairUp(ctx, c, objects, selectors(objects))
	return &Replicas{v}, err
}

// Hold has nothing to do: the Services are to select both versions.
func (r *Replicas) Hold(context.Context, Note) error { return nil }

// Shift has nothing to do: with its pods a canary has its share. Pods come
// whole, so that it may be another than was asked for.
func (r *Replicas) Shift(context.Context, int, Note) (reached float64, err error) {
	return r.share(), nil
}
