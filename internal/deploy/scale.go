package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fibership/fibership/internal/cluster"
)

// scaled is the workloads ("kind/name") that an autoscaler owns the size of.
type scaled map[string]bool

// autoscalersFor is how long an answer about autoscalers holds.
const autoscalersFor = 10 * time.Second

// autoscaled asks for the namespace's autoscalers, once for what is done in one
// go. Where they may not be read, only those among the release's own objects
// are known, and manifests that name a size keep it. Any other error is one:
// not to know of an autoscaler would resize what it owns.
func (s *Session) autoscaled(ctx context.Context) (scaled, error) {
	if s.scaled != nil && time.Since(s.scaledAt) < autoscalersFor {
		return s.scaled, nil
	}
	found := make(scaled)
	list, err := s.Cluster.Kube.AutoscalingV2().HorizontalPodAutoscalers(s.Namespace).List(ctx, metav1.ListOptions{})
	if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
		return found, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask which workloads an autoscaler owns the size of: %w", err)
	}
	for _, h := range list.Items {
		found[h.Spec.ScaleTargetRef.Kind+"/"+h.Spec.ScaleTargetRef.Name] = true
	}
	s.scaled, s.scaledAt = found, time.Now()
	return found, nil
}

// keep gives the object to send: of a workload whose size is an autoscaler's,
// without replicas, so that applying never resizes it. Where the size is still
// ours by an earlier apply, leaving it out would reset it to one: then the
// live size is sent, which changes nothing.
func (s scaled) keep(c Change) *unstructured.Unstructured {
	_, sized, _ := unstructured.NestedFieldNoCopy(c.Wanted.Object, "spec", "replicas")
	if sized && !s[c.Object.Kind+"/"+c.Object.Name] {
		return c.Wanted
	}
	if !sized && (c.Live == nil || !ownsReplicas(c.Live)) {
		return c.Wanted
	}
	u := c.Wanted.DeepCopy()
	unstructured.RemoveNestedField(u.Object, "spec", "replicas")
	if c.Live == nil || !ownsReplicas(c.Live) {
		return u
	}
	if live, ok, _ := unstructured.NestedInt64(c.Live.Object, "spec", "replicas"); ok {
		_ = unstructured.SetNestedField(u.Object, live, "spec", "replicas")
	}
	return u
}

// sized is the change with its workload as it is now where the size of that is
// kept: between the comparison and the takeover of a canary an autoscaler has
// had time to act.
func (s *Session) sized(ctx context.Context, c Change, scaled scaled) (Change, error) {
	_, sized, _ := unstructured.NestedFieldNoCopy(c.Wanted.Object, "spec", "replicas")
	if sized && !scaled[c.Object.Kind+"/"+c.Object.Name] || c.Live == nil || !ownsReplicas(c.Live) {
		return c, nil
	}
	live, err := s.Cluster.Get(ctx, c.Object)
	if err != nil {
		return c, fmt.Errorf("read the size: %w", err)
	}
	if live != nil {
		c.Live = live
	}
	return c, nil
}

// notSmaller is the object to send on a way back: who made the live workload
// larger by hand had a reason, and it is not taken from under the users.
func notSmaller(u, live *unstructured.Unstructured) *unstructured.Unstructured {
	if live == nil || ownsReplicas(live) {
		return u
	}
	ours, sized, _ := unstructured.NestedInt64(u.Object, "spec", "replicas")
	theirs, _, _ := unstructured.NestedInt64(live.Object, "spec", "replicas")
	if !sized || theirs <= ours {
		return u
	}
	u = u.DeepCopy()
	_ = unstructured.SetNestedField(u.Object, theirs, "spec", "replicas")
	return u
}

// ownsReplicas says whether our last apply of the object still owns its size.
func ownsReplicas(u *unstructured.Unstructured) bool {
	for _, m := range u.GetManagedFields() {
		if m.Manager != cluster.Manager || m.Operation != metav1.ManagedFieldsOperationApply || m.FieldsV1 == nil {
			continue
		}
		var fields struct {
			Spec map[string]json.RawMessage `json:"f:spec"`
		}
		if json.Unmarshal(m.FieldsV1.GetRawBytes(), &fields) == nil {
			_, owns := fields.Spec["f:replicas"]
			return owns
		}
	}
	return false
}
