package traffic

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/release"
)

// WarmLabel is the one label of the pods that a version is kept warm in: no
// Service and no Deployment of the release selects them.
const WarmLabel = "fibership.dev/warm"

// Warm keeps a version running that gets no traffic, so that all of it can be
// given back at once. Its pods are those of Jobs that the cluster itself ends
// and removes when the time is over: nobody has to come back for them.
type Warm struct {
	cluster *cluster.Client
	jobs    []*batchv1.Job
}

// NewWarm is the version that objects describe. Deployments behind one of its
// Services are kept, each in the size that it has in the cluster now.
func NewWarm(ctx context.Context, c *cluster.Client, objects []*unstructured.Unstructured, own map[string]string, id string, keep time.Duration) (*Warm, error) {
	w := &Warm{cluster: c}
	for _, u := range fronted(objects) {
		d := new(appsv1.Deployment)
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, d); err != nil {
			return nil, fmt.Errorf("read deployment %s: %w", u.GetName(), err)
		}
		size, err := w.size(ctx, u, d)
		if err != nil {
			return nil, err
		}
		w.jobs = append(w.jobs, warmJob(d, own, id, size, keep))
	}
	return w, nil
}

// fronted is the Deployments among objects that stand behind a Service of theirs.
func fronted(objects []*unstructured.Unstructured) []*unstructured.Unstructured {
	services := selectors(objects)
	var found []*unstructured.Unstructured
	for _, u := range objects {
		if u.GetAPIVersion() == "apps/v1" && u.GetKind() == "Deployment" && served(services, u.GetNamespace(), podLabels(u)) {
			found = append(found, u)
		}
	}
	return found
}

func podLabels(u *unstructured.Unstructured) map[string]string {
	set, _, _ := unstructured.NestedStringMap(u.Object, "spec", "template", "metadata", "labels")
	return set
}

// size is the Deployment's in the cluster: an autoscaler may have changed it.
func (w *Warm) size(ctx context.Context, u *unstructured.Unstructured, d *appsv1.Deployment) (int32, error) {
	live, err := w.cluster.Get(ctx, release.Describe(u))
	if err != nil {
		return 0, fmt.Errorf("read the live deployment %s: %w", u.GetName(), err)
	}
	if live != nil {
		if n, ok, _ := unstructured.NestedInt64(live.Object, "spec", "replicas"); ok {
			return int32(n), nil //nolint:gosec // a Deployment's size fits
		}
	}
	return replicas(d), nil
}

func warmJob(d *appsv1.Deployment, own map[string]string, id string, size int32, keep time.Duration) *batchv1.Job {
	template := *d.Spec.Template.DeepCopy()
	template.Labels = warmLabels(d.Name, id)
	template.Spec.RestartPolicy = corev1.RestartPolicyOnFailure // all that a Job allows of a pod that goes on
	template.Spec.TopologySpreadConstraints = nil               // they count pods by labels that these do not have
	seconds, none, retries := int64(max(1, keep/time.Second)), int32(0), int32(1000)
	return &batchv1.Job{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
		ObjectMeta: metav1.ObjectMeta{Name: suffixed(d.Name, "-"+id), Namespace: d.Namespace, Labels: with(own, WarmLabel, id)},
		Spec: batchv1.JobSpec{
			Parallelism: &size, Completions: &size, BackoffLimit: &retries,
			ActiveDeadlineSeconds: &seconds, TTLSecondsAfterFinished: &none,
			Template: template,
		},
	}
}

// warmOf names the Deployment that a warm pod stands for.
const warmOf = "fibership.dev/warm-of"

// warmLabels are all labels of the pods that stand for a Deployment.
func warmLabels(deployment, id string) map[string]string {
	return map[string]string{WarmLabel: id, warmOf: deployment}
}

// Objects is what will be kept: to be recorded before it is made.
func (w *Warm) Objects() []release.Object {
	var objects []release.Object
	for _, j := range w.jobs {
		objects = append(objects, release.Object{APIVersion: "batch/v1", Kind: "Job", Namespace: j.Namespace, Name: j.Name})
	}
	return objects
}

// Start makes the pods; they need not be ready yet.
func (w *Warm) Start(ctx context.Context) error {
	for _, j := range w.jobs {
		object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(j)
		if err != nil {
			return fmt.Errorf("encode job %s: %w", j.Name, err)
		}
		unstructured.RemoveNestedField(object, "status")
		unstructured.RemoveNestedField(object, "metadata", "creationTimestamp")
		unstructured.RemoveNestedField(object, "spec", "template", "metadata", "creationTimestamp")
		if _, err := w.cluster.Apply(ctx, &unstructured.Unstructured{Object: object}, cluster.ApplyOptions{}); err != nil {
			return fmt.Errorf("keep %s warm: %w", j.Name, err)
		}
	}
	return nil
}

// Ready is an error that says why unless all that was kept warm under the id is
// ready, every fronted Deployment of the objects among it, and requests may
// come to its pods: only then can traffic go there.
func Ready(ctx context.Context, c *cluster.Client, namespace, id string, objects []*unstructured.Unstructured) error {
	list, err := c.Kube.BatchV1().Jobs(namespace).List(ctx, metav1.ListOptions{LabelSelector: labels.Set{WarmLabel: id}.String()})
	if err != nil {
		return fmt.Errorf("list what is kept warm: %w", err)
	}
	warm := make(map[string]bool)
	for i := range list.Items {
		j := &list.Items[i]
		warm[j.Spec.Template.Labels[warmOf]] = j.DeletionTimestamp == nil && j.Status.Ready != nil && *j.Status.Ready == *j.Spec.Parallelism
	}
	for _, u := range fronted(objects) {
		if !warm[u.GetName()] {
			return fmt.Errorf("%s is not warm any more", u.GetName())
		}
	}
	if len(warm) == 0 {
		return errors.New("nothing of it is warm any more")
	}
	return admitted(ctx, c, namespace, id, objects)
}

// Prolong makes all that is kept warm under the id last for so much longer.
func Prolong(ctx context.Context, c *cluster.Client, namespace, id string, longer time.Duration) error {
	list, err := c.Kube.BatchV1().Jobs(namespace).List(ctx, metav1.ListOptions{LabelSelector: labels.Set{WarmLabel: id}.String()})
	if err != nil {
		return fmt.Errorf("list what is kept warm: %w", err)
	}
	for i := range list.Items {
		j := &list.Items[i]
		if j.Spec.ActiveDeadlineSeconds == nil {
			continue
		}
		seconds := *j.Spec.ActiveDeadlineSeconds + int64(longer/time.Second)
		if _, err := c.Patch(ctx, release.Object{APIVersion: "batch/v1", Kind: "Job", Namespace: j.Namespace, Name: j.Name}, []cluster.Operation{
			{Op: "test", Path: "/metadata/uid", Value: []byte(strconv.Quote(string(j.UID)))},
			{Op: "replace", Path: "/spec/activeDeadlineSeconds", Value: []byte(strconv.FormatInt(seconds, 10))},
		}); err != nil {
			return fmt.Errorf("keep %s warm for longer: %w", j.Name, err)
		}
	}
	return nil
}

// Divert sends all traffic of the Services among objects to the warm pods, in
// one step each: all of them are ready already. A Service that several
// Deployments stand behind goes to the pods of all that are warm.
func Divert(ctx context.Context, c *cluster.Client, objects []*unstructured.Unstructured, id string) error {
	for _, u := range objects {
		if u.GetAPIVersion() != "v1" || u.GetKind() != "Service" {
			continue
		}
		selector, _, _ := unstructured.NestedStringMap(u.Object, "spec", "selector")
		to := map[string]string{WarmLabel: id}
		var behind []string
		for _, d := range fronted(objects) {
			if d.GetNamespace() == u.GetNamespace() && len(selector) > 0 && labels.SelectorFromSet(selector).Matches(labels.Set(podLabels(d))) {
				behind = append(behind, d.GetName())
			}
		}
		switch len(behind) {
		case 0:
			continue
		case 1:
			to[warmOf] = behind[0]
		}
		diverted := u.DeepCopy()
		if err := unstructured.SetNestedStringMap(diverted.Object, to, "spec", "selector"); err != nil {
			return fmt.Errorf("divert service %s: %w", u.GetName(), err)
		}
		if _, err := c.Apply(ctx, diverted, cluster.ApplyOptions{}); err != nil {
			return fmt.Errorf("divert service %s: %w", u.GetName(), err)
		}
	}
	return nil
}
