package cluster

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/fibership/fibership/internal/release"
)

// mostStored is what the API server's store takes of one object, in bytes:
// etcd's default for a request.
const mostStored = 1536 << 10

// ApplyOptions say how an object is applied.
type ApplyOptions struct {
	DryRun bool // the server does all but keep it
	Force  bool // take fields from other managers
}

// Apply makes u so, by server-side apply as Manager, and gives the object as
// it is now. One request; the first of a client asks for the kinds as well.
//
// Errors: *ConflictError, *ImmutableError, *ForbiddenError, *UnknownKindError,
// *TooLargeError, *RefusedError, *NamespaceError, ErrNoDryRun,
// *UnreachableError; else the API's own. All unwrap
// to the API's.
func (c *Client) Apply(ctx context.Context, u *unstructured.Unstructured, o ApplyOptions) (*unstructured.Unstructured, error) {
	object := name(u)
	find := c.kinds.served
	if o.DryRun {
		find = c.kinds.mapping
	}
	m, err := find(ctx, u.GroupVersionKind())
	if _, learnt := c.kinds.isLearnt(u.GroupVersionKind().GroupKind()); learnt && o.DryRun && isUnknown(err) {
		return nil, fmt.Errorf("apply %s: %w: its CustomResourceDefinition is not in the cluster yet", object, ErrNoDryRun)
	}
	if err != nil {
		return nil, fmt.Errorf("apply %s: %w", object, err)
	}
	if m.Scope.Name() == meta.RESTScopeNameNamespace && u.GetNamespace() == "" {
		return nil, fmt.Errorf("apply %s: it has no namespace", object)
	}
	u = u.DeepCopy()
	u.SetManagedFields(nil) // the server refuses them
	foldStringData(u)
	body, err := json.Marshal(u.Object)
	if err != nil {
		return nil, fmt.Errorf("apply %s: %w", object, err)
	}
	options := metav1.PatchOptions{FieldManager: Manager, Force: &o.Force}
	if o.DryRun {
		if len(body) > mostStored { // a dry run does not come as far as to the store
			return nil, &TooLargeError{Object: object, Bytes: len(body)}
		}
		options.DryRun = []string{metav1.DryRunAll}
	}
	now, err := c.at(m, u.GetNamespace()).Patch(ctx, u.GetName(), types.ApplyPatchType, body, options)
	err = refine(err, object, len(body))
	if !o.Force && ownConflict(err) {
		o.Force = true // options points to it
		now, err = c.at(m, u.GetNamespace()).Patch(ctx, u.GetName(), types.ApplyPatchType, body, options)
		err = refine(err, object, len(body))
	}
	return now, err
}

// TryPod lets the server try a pod out: a dry run of its creation. Errors are
// those of Apply.
func (c *Client) TryPod(ctx context.Context, pod *corev1.Pod) error {
	_, err := c.Kube.CoreV1().Pods(pod.Namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldManager: Manager})
	return refine(err, "a pod of "+strings.TrimSuffix(pod.GenerateName, "-"), 0)
}

// foldStringData writes a Secret's stringData as data. The server keeps
// stringData's keys under data but their owner under stringData: a key that is
// left out later would stay for ever, and an older release that is restored
// would have it too. What is no text is left to the server to refuse.
func foldStringData(u *unstructured.Unstructured) {
	if u.GetAPIVersion() != "v1" || u.GetKind() != "Secret" {
		return
	}
	texts, ok, err := unstructured.NestedStringMap(u.Object, "stringData")
	if !ok || err != nil {
		return
	}
	data, _, err := unstructured.NestedMap(u.Object, "data")
	if err != nil {
		return
	}
	if data == nil {
		data = map[string]any{}
	}
	for key, text := range texts {
		data[key] = base64.StdEncoding.EncodeToString([]byte(text))
	}
	u.Object["data"] = data
	delete(u.Object, "stringData")
}

// Get gives the object as it is now; nil where it is not there.
func (c *Client) Get(ctx context.Context, o release.Object) (*unstructured.Unstructured, error) {
	m, err := c.kinds.mapping(ctx, gvkOf(o))
	if isUnknown(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", o, err)
	}
	u, err := c.at(m, o.Namespace).Get(ctx, o.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case apierrors.IsForbidden(err):
		return nil, forbidden(err, o.String())
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", o, err)
	}
	return u, nil
}

// Delete deletes the object, and with wait returns only when it is gone; a
// workload is gone when its pods are. An object that is gone already, or whose
// name another object bears now (where o.UID is known), is no error.
func (c *Client) Delete(ctx context.Context, o release.Object, wait bool) error {
	m, err := c.kinds.mapping(ctx, gvkOf(o))
	if isUnknown(err) {
		return nil // with its kind went the object
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", o, err)
	}
	how := metav1.DeletePropagationBackground
	if wait && workload(o.GroupKind()) {
		how = metav1.DeletePropagationForeground
	}
	options := metav1.DeleteOptions{PropagationPolicy: &how}
	if o.UID != "" {
		uid := types.UID(o.UID)
		options.Preconditions = &metav1.Preconditions{UID: &uid}
	}
	objects := c.at(m, o.Namespace)
	switch err := objects.Delete(ctx, o.Name, options); {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err) && o.UID != "":
		return nil
	case apierrors.IsForbidden(err):
		return forbidden(err, o.String())
	case err != nil:
		return fmt.Errorf("delete %s: %w", o, err)
	}
	if !wait {
		return nil
	}
	return gone(ctx, objects, o)
}

// gone waits until the object, or that one of its name, is not there anymore.
func gone(ctx context.Context, objects dynamic.ResourceInterface, o release.Object) error {
	uid := types.UID(o.UID)
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		u, err := objects.Get(ctx, o.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return nil
		case err != nil:
			return fmt.Errorf("wait until %s is gone: %w", o, err)
		case uid == "":
			uid = u.GetUID()
		case u.GetUID() != uid:
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s is gone: finalizers %v hold it: %w", o, u.GetFinalizers(), ctx.Err())
		case <-time.After(pause):
		}
	}
}

func (c *Client) at(m *meta.RESTMapping, namespace string) dynamic.ResourceInterface {
	resource := c.Dynamic.Resource(m.Resource)
	if m.Scope.Name() == meta.RESTScopeNameNamespace {
		return resource.Namespace(namespace)
	}
	return resource
}

// workload: what owns pods.
func workload(kind schema.GroupKind) bool {
	switch kind.Group {
	case "apps":
		return kind.Kind != "ControllerRevision"
	case "batch":
		return true
	case "":
		return kind.Kind == "ReplicationController"
	}
	return false
}

func gvkOf(o release.Object) schema.GroupVersionKind {
	return schema.FromAPIVersionAndKind(o.APIVersion, o.Kind)
}

func name(u *unstructured.Unstructured) string { return u.GetKind() + " " + u.GetName() }

func isUnknown(err error) bool {
	var unknown *UnknownKindError
	return errors.As(err, &unknown)
}
