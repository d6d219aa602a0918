package deploy

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/rollout"
	"github.com/fibership/fibership/internal/traffic"
)

const (
	// evidenceWithin bounds the gathering of evidence on what is doomed already.
	evidenceWithin = 5 * time.Second
	// lookWithin bounds a look: a list that does not come must not keep back what
	// is known by other means.
	lookWithin = 5 * time.Second
)

// Workloads is the objects that pods run for.
func Workloads(objects []release.Object) []release.Object {
	var found []release.Object
	for _, o := range objects {
		switch o.GroupKind() {
		case schema.GroupKind{Group: "apps", Kind: "Deployment"},
			schema.GroupKind{Group: "apps", Kind: "StatefulSet"},
			schema.GroupKind{Group: "apps", Kind: "DaemonSet"},
			schema.GroupKind{Group: "batch", Kind: "Job"}:
			found = append(found, o)
		}
	}
	return found
}

// Serve waits until every object of the release serves that rolls out: its
// workloads and pods, and what others than Kubernetes define, by its conditions.
func (a *Attempt) Serve(ctx context.Context) error {
	if err := a.Step(ctx, StepServe); err != nil {
		return err
	}
	return a.serving(ctx, a.Record.Objects)
}

// ServeBeside waits until what stands beside the release serves.
func (a *Attempt) ServeBeside(ctx context.Context) error {
	return a.serving(ctx, a.Record.Beside)
}

func (s *Session) serve(ctx context.Context, objects []release.Object) error {
	return rollout.Wait(ctx, s.Cluster, objects, rollout.Options{Timeout: s.Timeout, Log: s.Log, Hide: s.veil.Foreign(ctx)})
}

// fresh is the workloads that run the new version at this moment.
func (a *Attempt) fresh() []release.Object {
	if len(a.Record.Beside) > 0 {
		return Workloads(a.Record.Beside)
	}
	return Workloads(a.Record.Objects)
}

// Healthy is the failure of a workload of the new version that will not serve
// any more, or nil.
func (a *Attempt) Healthy(ctx context.Context) error {
	fresh := a.fresh()
	limited, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	judgements, err := rollout.Look(limited, a.Cluster, fresh)
	if err != nil {
		return nil //nolint:nilerr // what could not be seen is no verdict: the next look tells
	}
	for i, j := range judgements {
		if j.State == rollout.Doomed {
			return rollout.Wait(ctx, a.Cluster, fresh[i:i+1], rollout.Options{Timeout: evidenceWithin, Log: a.Log, Hide: a.veil.Foreign(ctx)})
		}
	}
	return nil
}

// Pods lists the pods of the release's workloads that are not ending.
func (a *Attempt) Pods(ctx context.Context) ([]corev1.Pod, error) {
	return Pods(ctx, a.Cluster, a.Record)
}

// Pods lists the pods of a release's workloads that are not ending.
func Pods(ctx context.Context, c *cluster.Client, r release.Record) ([]corev1.Pod, error) {
	var found []corev1.Pod
	for _, o := range Workloads(r.Objects) {
		u, err := c.Get(ctx, o)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", o, err)
		}
		if u == nil {
			continue
		}
		pods, err := podsOf(ctx, c, u)
		if err != nil {
			return nil, fmt.Errorf("list the pods of %s: %w", o, err)
		}
		found = append(found, pods...)
	}
	return found, nil
}

// TakesRequests tells the pods that requests are sent to: those that a Service
// of the release selects. Where none selects what its workloads run, that cannot
// be told, and it is all of them.
func (a *Attempt) TakesRequests() func(*corev1.Pod) bool { return takesRequests(a.wanted()) }

func takesRequests(objects []*unstructured.Unstructured) func(*corev1.Pod) bool {
	selected := traffic.Selected(objects)
	for _, u := range objects {
		if pod, _, _ := unstructured.NestedStringMap(u.Object, "spec", "template", "metadata", "labels"); selected(u.GetNamespace(), pod) {
			return func(pod *corev1.Pod) bool { return selected(pod.Namespace, pod.Labels) }
		}
	}
	return func(*corev1.Pod) bool { return true }
}

func podsOf(ctx context.Context, c *cluster.Client, u *unstructured.Unstructured) ([]corev1.Pod, error) {
	raw, ok, _ := unstructured.NestedMap(u.Object, "spec", "selector")
	if !ok {
		return nil, nil
	}
	var selector metav1.LabelSelector
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(raw, &selector); err != nil {
		return nil, err
	}
	s, err := metav1.LabelSelectorAsSelector(&selector)
	if err != nil {
		return nil, err
	}
	list, err := c.Kube.CoreV1().Pods(u.GetNamespace()).List(ctx, metav1.ListOptions{LabelSelector: s.String()})
	if err != nil {
		return nil, err
	}
	var pods []corev1.Pod
	for i := range list.Items {
		if list.Items[i].DeletionTimestamp == nil {
			pods = append(pods, list.Items[i])
		}
	}
	return pods, nil
}

// endingWithin bounds the wait for the cluster's collector.
const endingWithin = 20 * time.Second

// ending waits until no pod of a workload that was deleted is left that is not
// ending. A collector that is late is no failure.
func (s *Session) ending(ctx context.Context, u *unstructured.Unstructured) error {
	late := time.Now().Add(endingWithin)
	for time.Now().Before(late) {
		pods, err := podsOf(ctx, s.Cluster, u)
		if err != nil {
			return fmt.Errorf("list the pods of %s %s: %w", u.GetKind(), u.GetName(), err)
		}
		if len(pods) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
	s.Log.Linef("pods of %s %s are slow to be ended; the cluster goes on with it", u.GetKind(), u.GetName())
	return nil
}
