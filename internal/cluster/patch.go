package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fibership/fibership/internal/release"
)

// Operation is one operation of a JSON patch (RFC 6902).
type Operation struct {
	Op    string          `json:"op"`
	Path  string          `json:"path"`
	Value json.RawMessage `json:"value,omitempty"`
}

// ErrChanged says that a patch's test did not hold: somebody changed the
// object meanwhile, and nothing of the patch was done.
var ErrChanged = errors.New("it was changed by somebody else meanwhile")

// Patch does all operations on the object, or none, and gives it as it is then.
// Errors: ErrChanged, *ForbiddenError, *UnknownKindError; else the API's own.
func (c *Client) Patch(ctx context.Context, o release.Object, operations []Operation) (*unstructured.Unstructured, error) {
	m, err := c.kinds.mapping(ctx, gvkOf(o))
	if err != nil {
		return nil, fmt.Errorf("patch %s: %w", o, err)
	}
	body, err := json.Marshal(operations)
	if err != nil {
		return nil, fmt.Errorf("patch %s: %w", o, err)
	}
	now, err := c.at(m, o.Namespace).Patch(ctx, o.Name, types.JSONPatchType, body, metav1.PatchOptions{FieldManager: Manager})
	switch {
	case apierrors.IsInvalid(err) && len(causes(err)) == 0, apierrors.IsConflict(err):
		// The server answers so when a test or a path does not hold; what its
		// validation refuses has causes.
		return nil, fmt.Errorf("patch %s: %w (%w)", o, ErrChanged, err)
	case apierrors.IsForbidden(err):
		return nil, forbidden(err, o.String())
	case err != nil:
		return nil, fmt.Errorf("patch %s: %w", o, err)
	}
	return now, nil
}

// ownConflict says whether all that stands in an apply's way is what our own
// patches wrote: the server tells the two ways of writing apart.
func ownConflict(err error) bool {
	conflict, ok := errors.AsType[*ConflictError](err)
	if !ok {
		return false
	}
	for _, f := range conflict.Fields {
		if f.Manager != Manager {
			return false
		}
	}
	return true
}
