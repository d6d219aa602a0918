// Package traffic makes a weight true: it brings a share of a service's
// requests to a new version beside the live one, and says which share it
// really reached. It knows nothing of steps or of how a version is judged.
package traffic

import (
	"context"
	"fmt"
	"maps"
	"math"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/release"
)

// Track is the label that tells a canary's pods from the live version's.
const Track = "fibership.dev/track"

// Canary is Track's value on what stands beside the live version.
const Canary = "canary"

// Replicas steers by the share of pods behind one Service: canary Deployments
// stand beside the live ones, whose size is never touched, so that ready
// capacity only grows.
type Replicas struct {
	cluster *cluster.Client
	pairs   []pair
}

// pair is a live Deployment and its canary.
type pair struct {
	live   *appsv1.Deployment
	canary *appsv1.Deployment
}

// NewReplicas pairs every Deployment of the new release that serves behind a
// Service and is live already with a canary. Objects are the new release's.
// The error says why a release cannot be steered by replicas.
func NewReplicas(ctx context.Context, c *cluster.Client, objects []*unstructured.Unstructured) (*Replicas, error) {
	r := &Replicas{cluster: c}
	services := selectors(objects)
	for _, u := range objects {
		if u.GroupVersionKind().GroupKind() != appsv1.SchemeGroupVersion.WithKind("Deployment").GroupKind() {
			continue
		}
		wanted := new(appsv1.Deployment)
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, wanted); err != nil {
			return nil, fmt.Errorf("read deployment %s: %w", u.GetName(), err)
		}
		if !served(services, wanted.Namespace, wanted.Spec.Template.Labels) {
			continue
		}
		found, err := c.Get(ctx, release.Describe(u))
		if err != nil {
			return nil, fmt.Errorf("read the live deployment %s: %w", u.GetName(), err)
		}
		if found == nil {
			continue // new in this release: nothing to compare it with
		}
		live := new(appsv1.Deployment)
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(found.Object, live); err != nil {
			return nil, fmt.Errorf("read the live deployment %s: %w", u.GetName(), err)
		}
		r.pairs = append(r.pairs, pair{live: live, canary: canaryOf(wanted)})
	}
	if len(r.pairs) == 0 {
		return nil, fmt.Errorf("no live Deployment behind a Service in these manifests: a canary by replicas needs one; use strategy rolling")
	}
	return r, nil
}

// selectors gathers what the release's Services select, by namespace.
func selectors(objects []*unstructured.Unstructured) map[string][]labels.Selector {
	found := make(map[string][]labels.Selector)
	for _, u := range objects {
		if u.GetAPIVersion() != "v1" || u.GetKind() != "Service" {
			continue
		}
		if selector, ok, _ := unstructured.NestedStringMap(u.Object, "spec", "selector"); ok && len(selector) > 0 {
			found[u.GetNamespace()] = append(found[u.GetNamespace()], labels.SelectorFromSet(selector))
		}
	}
	return found
}

func served(services map[string][]labels.Selector, namespace string, pod map[string]string) bool {
	for _, s := range services[namespace] {
		if s.Matches(labels.Set(pod)) {
			return true
		}
	}
	return false
}

// canaryOf is the wanted Deployment under another name, its pods told apart by
// Track and still selected by the same Services.
func canaryOf(wanted *appsv1.Deployment) *appsv1.Deployment {
	c := wanted.DeepCopy()
	c.ObjectMeta = metav1.ObjectMeta{
		Name:        suffixed(wanted.Name, "-"+Canary),
		Namespace:   wanted.Namespace,
		Labels:      with(wanted.Labels, Track, Canary),
		Annotations: wanted.Annotations,
	}
	if c.Spec.Selector == nil {
		c.Spec.Selector = &metav1.LabelSelector{}
	}
	c.Spec.Selector.MatchLabels = with(c.Spec.Selector.MatchLabels, Track, Canary)
	c.Spec.Template.Labels = with(c.Spec.Template.Labels, Track, Canary)
	c.Status = appsv1.DeploymentStatus{}
	return c
}

// suffixed keeps within the 63 characters of a DNS label.
func suffixed(name, suffix string) string {
	if most := 63 - len(suffix); len(name) > most {
		name = name[:most]
	}
	return name + suffix
}

func with(set map[string]string, key, value string) map[string]string {
	out := maps.Clone(set)
	if out == nil {
		out = make(map[string]string)
	}
	out[key] = value
	return out
}

// Objects is what stands beside the live version at any weight: to be recorded
// before it is made.
func (r *Replicas) Objects() []release.Object {
	var objects []release.Object
	for _, p := range r.pairs {
		objects = append(objects, release.Object{APIVersion: "apps/v1", Kind: "Deployment", Namespace: p.canary.Namespace, Name: p.canary.Name})
	}
	return objects
}

// Set sizes the canaries for the weight, a percentage below 100. The share
// really reached, once they serve, is returned: pods come whole.
func (r *Replicas) Set(ctx context.Context, weight int) (reached float64, err error) {
	var live, canary int32
	for _, p := range r.pairs {
		size := replicas(p.live)
		n := beside(size, weight)
		p.canary.Spec.Replicas = &n
		u, err := encode(p.canary)
		if err != nil {
			return 0, err
		}
		if _, err := r.cluster.Apply(ctx, u, cluster.ApplyOptions{}); err != nil {
			return 0, fmt.Errorf("size canary %s to %d: %w", p.canary.Name, n, err)
		}
		live, canary = live+size, canary+n
	}
	return 100 * float64(canary) / float64(live+canary), nil
}

// beside is how many canaries beside size live pods come nearest to weight
// percent of all; at least one.
func beside(size int32, weight int) int32 {
	w := float64(weight) / 100
	return max(1, int32(math.Round(float64(size)*w/(1-w))))
}

func replicas(d *appsv1.Deployment) int32 {
	if d.Spec.Replicas == nil {
		return 1
	}
	return *d.Spec.Replicas
}

func encode(d *appsv1.Deployment) (*unstructured.Unstructured, error) {
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(d)
	if err != nil {
		return nil, fmt.Errorf("encode deployment %s: %w", d.Name, err)
	}
	unstructured.RemoveNestedField(object, "status")
	unstructured.RemoveNestedField(object, "metadata", "creationTimestamp")
	unstructured.RemoveNestedField(object, "spec", "template", "metadata", "creationTimestamp")
	u := &unstructured.Unstructured{Object: object}
	u.SetAPIVersion("apps/v1")
	u.SetKind("Deployment")
	return u, nil
}

// CanaryPods and LivePods list the pods of each version that are not ending.
func (r *Replicas) CanaryPods(ctx context.Context) ([]corev1.Pod, error) {
	return r.pods(ctx, func(p pair) (string, *metav1.LabelSelector) { return p.canary.Namespace, p.canary.Spec.Selector })
}

// LivePods lists the live version's.
func (r *Replicas) LivePods(ctx context.Context) ([]corev1.Pod, error) {
	pods, err := r.pods(ctx, func(p pair) (string, *metav1.LabelSelector) { return p.live.Namespace, p.live.Spec.Selector })
	var live []corev1.Pod
	for _, pod := range pods {
		if pod.Labels[Track] != Canary {
			live = append(live, pod)
		}
	}
	return live, err
}

func (r *Replicas) pods(ctx context.Context, of func(pair) (string, *metav1.LabelSelector)) ([]corev1.Pod, error) {
	var found []corev1.Pod
	for _, p := range r.pairs {
		namespace, selector := of(p)
		pods, err := Pods(ctx, r.cluster, namespace, selector)
		if err != nil {
			return nil, err
		}
		found = append(found, pods...)
	}
	return found, nil
}

// Pods lists the pods that a selector finds and that are not ending.
func Pods(ctx context.Context, c *cluster.Client, namespace string, selector *metav1.LabelSelector) ([]corev1.Pod, error) {
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return nil, fmt.Errorf("read selector: %w", err)
	}
	list, err := c.Kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: s.String()})
	if err != nil {
		return nil, fmt.Errorf("list pods %s in %s: %w", s, namespace, err)
	}
	var pods []corev1.Pod
	for _, p := range list.Items {
		if p.DeletionTimestamp == nil {
			pods = append(pods, p)
		}
	}
	return pods, nil
}
