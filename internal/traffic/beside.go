package traffic

import (
	"context"
	"fmt"
	"maps"
	"math"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/release"
)

// Track is the label that tells a canary's pods from the live version's.
const Track = "fibership.dev/track"

// Canary is Track's value on what stands beside the live version.
const Canary = "canary"

// versions is what every router has: canary Deployments beside the live ones,
// whose size is never touched, so that ready capacity only grows.
type versions struct {
	cluster *cluster.Client
	pairs   []pair
}

// pair is a live Deployment and its canary.
type pair struct {
	live   *appsv1.Deployment
	canary *appsv1.Deployment
}

// pairUp pairs every Deployment of the new release that stands behind one of
// its services and is live already with a canary. objects are the new
// release's. The error says why nothing can stand beside.
func pairUp(ctx context.Context, c *cluster.Client, objects []*unstructured.Unstructured, services map[string][]labels.Selector) (versions, error) {
	v := versions{cluster: c}
	for _, u := range objects {
		if u.GroupVersionKind().GroupKind() != appsv1.SchemeGroupVersion.WithKind("Deployment").GroupKind() {
			continue
		}
		wanted := new(appsv1.Deployment)
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, wanted); err != nil {
			return v, fmt.Errorf("read deployment %s: %w", u.GetName(), err)
		}
		if !served(services, wanted.Namespace, wanted.Spec.Template.Labels) {
			continue
		}
		live, err := deployment(ctx, c, release.Describe(u))
		if err != nil {
			return v, err
		}
		if live == nil {
			continue // new in this release: nothing to compare it with
		}
		v.pairs = append(v.pairs, pair{live: live, canary: canaryOf(wanted)})
	}
	if len(v.pairs) == 0 {
		return v, fmt.Errorf("no live Deployment behind a Service in these manifests: nothing can stand beside it; use strategy rolling")
	}
	return v, nil
}

// deployment is the live one, nil where it is not there.
func deployment(ctx context.Context, c *cluster.Client, o release.Object) (*appsv1.Deployment, error) {
	found, err := c.Get(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("read the live deployment %s: %w", o.Name, err)
	}
	if found == nil {
		return nil, nil
	}
	live := new(appsv1.Deployment)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(found.Object, live); err != nil {
		return nil, fmt.Errorf("read the live deployment %s: %w", o.Name, err)
	}
	return live, nil
}

// selectors gathers what Services among objects select, by namespace.
func selectors(objects []*unstructured.Unstructured) map[string][]labels.Selector {
	found := make(map[string][]labels.Selector)
	for _, u := range objects {
		if selector := selectorOf(u); len(selector) > 0 {
			found[u.GetNamespace()] = append(found[u.GetNamespace()], labels.SelectorFromSet(selector))
		}
	}
	return found
}

// Selected tells the pods that a Service among objects selects, by namespace and
// labels.
func Selected(objects []*unstructured.Unstructured) func(namespace string, pod map[string]string) bool {
	services := selectors(objects)
	return func(namespace string, pod map[string]string) bool { return served(services, namespace, pod) }
}

// selectorOf is what a Service selects; nil for anything else.
func selectorOf(u *unstructured.Unstructured) map[string]string {
	if !isService(u) {
		return nil
	}
	selector, _, _ := unstructured.NestedStringMap(u.Object, "spec", "selector")
	return selector
}

func isService(u *unstructured.Unstructured) bool {
	return u.GetAPIVersion() == "v1" && u.GetKind() == "Service"
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
// Track and still found by all that finds the live ones: policies, budgets,
// monitoring, Services.
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
func (v *versions) Objects() []release.Object {
	var objects []release.Object
	for _, p := range v.pairs {
		objects = append(objects, release.Object{APIVersion: "apps/v1", Kind: "Deployment", Namespace: p.canary.Namespace, Name: p.canary.Name})
	}
	return objects
}

// Size sizes what stands beside for a weight in percent of the live version as
// it is at this moment: an autoscaler may have changed it.
func (v *versions) Size(ctx context.Context, weight int) error {
	_, err := v.size(ctx, weight, false)
	return err
}

// Grow follows a live version that has grown since Size, and says whether it
// had: what stands beside has a share of the load that made it grow, and at 100
// percent all of it. It never shrinks.
func (v *versions) Grow(ctx context.Context, weight int) (grown bool, err error) {
	return v.size(ctx, weight, true)
}

func (v *versions) size(ctx context.Context, weight int, onlyGrow bool) (sized bool, err error) {
	for i, p := range v.pairs {
		live, err := deployment(ctx, v.cluster, release.Object{APIVersion: "apps/v1", Kind: "Deployment", Namespace: p.live.Namespace, Name: p.live.Name})
		if err != nil {
			return sized, err
		}
		if live == nil {
			return sized, fmt.Errorf("the live deployment %s is gone: somebody removed it meanwhile", p.live.Name)
		}
		v.pairs[i].live.Spec.Replicas = live.Spec.Replicas
		n := beside(max(replicas(live), live.Status.ReadyReplicas), weight)
		if onlyGrow && n <= replicas(p.canary) {
			continue
		}
		p.canary.Spec.Replicas = &n
		u, err := encode(p.canary)
		if err != nil {
			return sized, err
		}
		if _, err := v.cluster.Apply(ctx, u, cluster.ApplyOptions{}); err != nil {
			return sized, fmt.Errorf("size canary %s to %d: %w", p.canary.Name, n, err)
		}
		sized = true
	}
	return sized, nil
}

// Held is an error where somebody else rolls out another version of a live
// Deployment: its new pods would get no requests by a pinned Service. What
// cannot be read is no error: the next look tells.
func (v *versions) Held(ctx context.Context) error {
	for _, p := range v.pairs {
		live, err := deployment(ctx, v.cluster, release.Object{APIVersion: "apps/v1", Kind: "Deployment", Namespace: p.live.Namespace, Name: p.live.Name})
		if err != nil {
			return nil //nolint:nilerr // see above
		}
		if live == nil || live.Annotations[revision] != p.live.Annotations[revision] {
			return fmt.Errorf("deployment %s, which is live, was changed by somebody else meanwhile", p.live.Name)
		}
	}
	return nil
}

// share is what part of all pods stands beside, in percent.
func (v *versions) share() float64 {
	var live, canary int32
	for _, p := range v.pairs {
		live, canary = live+replicas(p.live), canary+replicas(p.canary)
	}
	return 100 * float64(canary) / float64(live+canary)
}

// beside is how many canaries beside size live pods come nearest to weight
// percent of all; at least one. At 100 percent they are as many.
func beside(size int32, weight int) int32 {
	if weight >= 100 {
		return max(1, size)
	}
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

// CanaryPods lists the pods that stand beside and are not ending.
func (v *versions) CanaryPods(ctx context.Context) ([]corev1.Pod, error) {
	return v.pods(ctx, func(p pair) (string, *metav1.LabelSelector) { return p.canary.Namespace, p.canary.Spec.Selector })
}

// LivePods lists the live version's.
func (v *versions) LivePods(ctx context.Context) ([]corev1.Pod, error) {
	pods, err := v.pods(ctx, func(p pair) (string, *metav1.LabelSelector) { return p.live.Namespace, p.live.Spec.Selector })
	return untracked(pods), err
}

// untracked leaves out what stands beside: the live version's selector finds
// it as well.
func untracked(pods []corev1.Pod) []corev1.Pod {
	var live []corev1.Pod
	for _, pod := range pods {
		if pod.Labels[Track] != Canary {
			live = append(live, pod)
		}
	}
	return live
}

func (v *versions) pods(ctx context.Context, of func(pair) (string, *metav1.LabelSelector)) ([]corev1.Pod, error) {
	var found []corev1.Pod
	for _, p := range v.pairs {
		namespace, selector := of(p)
		pods, err := Pods(ctx, v.cluster, namespace, selector)
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
