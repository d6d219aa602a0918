package traffic

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/release"
)

// A pinned Service selects, beside what its manifest says, the hash that a
// Deployment's controller puts on the pods of its ReplicaSet. It has the same
// endpoints as before, so that nothing is lost; pods that come to stand beside
// get no requests by it.
const hashLabel = appsv1.DefaultDeploymentUniqueLabelKey

const (
	endpointsWithin = 30 * time.Second // that the cluster may take to follow a selector
	oneWithin       = 10 * time.Second // that old pods may take to be counted as gone
	lookEvery       = 200 * time.Millisecond
)

// fronting is the Services among a version's objects that stand before one of
// the named Deployments.
func fronting(objects []*unstructured.Unstructured, deployments map[string]bool) []*unstructured.Unstructured {
	var found []*unstructured.Unstructured
	for _, u := range objects {
		for _, d := range behind(objects, u) {
			if deployments[d.GetNamespace()+"/"+d.GetName()] {
				found = append(found, u)
				break
			}
		}
	}
	return found
}

// behind is the Deployments among objects whose pods a Service selects.
func behind(objects []*unstructured.Unstructured, service *unstructured.Unstructured) []*unstructured.Unstructured {
	selector := selectorOf(service)
	if len(selector) == 0 {
		return nil
	}
	var found []*unstructured.Unstructured
	for _, u := range objects {
		if u.GetAPIVersion() == "apps/v1" && u.GetKind() == "Deployment" && u.GetNamespace() == service.GetNamespace() &&
			labels.SelectorFromSet(selector).Matches(labels.Set(podLabels(u))) {
			found = append(found, u)
		}
	}
	return found
}

// Pins is to what the Services are to be held so that each selects the pods of
// a version alone, which must have been rolled out fully. objects are the
// version's.
func Pins(ctx context.Context, c *cluster.Client, objects []*unstructured.Unstructured, services []release.Pinned) ([]release.Pinned, error) {
	var pins []release.Pinned
	for _, s := range services {
		u := find(objects, s)
		if u == nil {
			return nil, fmt.Errorf("service %s is not in this release", s.Name)
		}
		found := behind(objects, u)
		if len(found) != 1 {
			return nil, fmt.Errorf("service %s stands before %d Deployments: only one can be told apart from what stands beside it", s.Name, len(found))
		}
		hash, err := hashOf(ctx, c, release.Describe(found[0]))
		if err != nil {
			return nil, err
		}
		pins = append(pins, release.Pinned{Namespace: s.Namespace, Name: s.Name, Hash: hash})
	}
	return pins, nil
}

// Still says whether a version's Services can be held as they are pinned: its
// Deployments have pods of that ReplicaSet and of no other.
func Still(ctx context.Context, c *cluster.Client, objects []*unstructured.Unstructured, pins []release.Pinned) bool {
	for _, p := range pins {
		u := find(objects, p)
		if u == nil {
			return false
		}
		for _, d := range behind(objects, u) {
			if hash, err := oneHash(ctx, c, release.Describe(d)); err != nil || hash != p.Hash {
				return false
			}
		}
	}
	return true
}

func find(objects []*unstructured.Unstructured, s release.Pinned) *unstructured.Unstructured {
	for _, u := range objects {
		if isService(u) && u.GetNamespace() == s.Namespace && u.GetName() == s.Name {
			return u
		}
	}
	return nil
}

// hashOf waits a moment until all pods of the Deployment are of one
// ReplicaSet, and gives its hash.
func hashOf(ctx context.Context, c *cluster.Client, o release.Object) (string, error) {
	late := time.Now().Add(oneWithin)
	for {
		hash, err := oneHash(ctx, c, o)
		if err == nil || time.Now().After(late) {
			return hash, err
		}
		if err := pause(ctx); err != nil {
			return "", err
		}
	}
}

func oneHash(ctx context.Context, c *cluster.Client, o release.Object) (string, error) {
	d, err := deployment(ctx, c, o)
	switch {
	case err != nil:
		return "", err
	case d == nil:
		return "", fmt.Errorf("deployment %s is not there", o.Name)
	case d.Status.ObservedGeneration < d.Generation:
		return "", fmt.Errorf("deployment %s is being changed", o.Name)
	}
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil {
		return "", fmt.Errorf("read the selector of deployment %s: %w", o.Name, err)
	}
	sets, err := c.Kube.AppsV1().ReplicaSets(o.Namespace).List(ctx, metav1.ListOptions{LabelSelector: selector.String()})
	if err != nil {
		return "", fmt.Errorf("list the replica sets of deployment %s: %w", o.Name, err)
	}
	hash := ""
	for i := range sets.Items {
		s := &sets.Items[i]
		if !metav1.IsControlledBy(s, d) || replicasOf(s) == 0 && s.Status.Replicas == 0 {
			continue
		}
		if hash != "" || s.Annotations[revision] != d.Annotations[revision] {
			return "", fmt.Errorf("deployment %s is not fully rolled out: it has pods of more than one version", o.Name)
		}
		hash = s.Labels[hashLabel]
	}
	if hash == "" {
		return "", fmt.Errorf("deployment %s has no pods", o.Name)
	}
	return hash, nil
}

// revision numbers a Deployment's ReplicaSets; its own is the newest's.
const revision = "deployment.kubernetes.io/revision"

func replicasOf(s *appsv1.ReplicaSet) int32 {
	if s.Spec.Replicas == nil {
		return 1
	}
	return *s.Spec.Replicas
}

// Select makes the Services select as they are pinned, and waits until their
// endpoints are so. objects, a version's, hold the Services as they are
// otherwise. With force, fields that others took meanwhile are taken back.
func Select(ctx context.Context, c *cluster.Client, objects []*unstructured.Unstructured, pins []release.Pinned, force bool) error {
	for _, p := range pins {
		u := find(objects, p)
		if u == nil {
			return fmt.Errorf("service %s is not in this release", p.Name)
		}
		selector := with(selectorOf(u), hashLabel, p.Hash)
		if p.Beside {
			selector = with(selectorOf(u), Track, Canary)
		}
		u = u.DeepCopy()
		if err := unstructured.SetNestedStringMap(u.Object, selector, "spec", "selector"); err != nil {
			return fmt.Errorf("point service %s: %w", p.Name, err)
		}
		if _, err := c.Apply(ctx, u, cluster.ApplyOptions{Force: force}); err != nil {
			return fmt.Errorf("point service %s: %w", p.Name, err)
		}
	}
	return Followed(ctx, c, pins)
}

// Followed waits until the Services' endpoints are as they select.
func Followed(ctx context.Context, c *cluster.Client, services []release.Pinned) error {
	for _, s := range services {
		if err := endpoints(ctx, c, s.Namespace, s.Name); err != nil {
			return err
		}
	}
	return nil
}

// endpoints waits until a Service's endpoints are the pods that it selects:
// every ready one, and no other.
func endpoints(ctx context.Context, c *cluster.Client, namespace, service string) error {
	late := time.Now().Add(endpointsWithin)
	for {
		why, err := unlike(ctx, c, namespace, service)
		switch {
		case err != nil:
			return fmt.Errorf("look for the endpoints of service %s: %w", service, err)
		case why == "":
			return nil
		case time.Now().After(late):
			return fmt.Errorf("the endpoints of service %s did not follow its selector within %v: %s", service, endpointsWithin, why)
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// unlike is how endpoints and selector differ; empty: not at all.
func unlike(ctx context.Context, c *cluster.Client, namespace, name string) (string, error) {
	service, err := c.Kube.CoreV1().Services(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	if len(service.Spec.Selector) == 0 {
		return "", errors.New("it selects nothing")
	}
	slices, err := c.Kube.DiscoveryV1().EndpointSlices(namespace).List(ctx, metav1.ListOptions{LabelSelector: labels.Set{discoveryv1.LabelServiceName: name}.String()})
	if err != nil {
		return "", err
	}
	there := make(map[types.UID]string)
	for _, s := range slices.Items {
		for _, e := range s.Endpoints {
			if e.TargetRef != nil && (e.Conditions.Ready == nil || *e.Conditions.Ready) {
				there[e.TargetRef.UID] = e.TargetRef.Name
			}
		}
	}
	pods, err := Pods(ctx, c, namespace, &metav1.LabelSelector{MatchLabels: service.Spec.Selector})
	if err != nil {
		return "", err
	}
	for i := range pods {
		pod := &pods[i]
		if there[pod.UID] == "" && ready(pod) {
			return fmt.Sprintf("pod %s is not among them", pod.Name), nil
		}
		delete(there, pod.UID)
	}
	for _, pod := range there {
		return fmt.Sprintf("pod %s still is", pod), nil
	}
	return "", nil
}

func ready(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// Behind lists the pods that a version's Services select, without those that
// stand beside. objects are the version's.
func Behind(ctx context.Context, c *cluster.Client, objects []*unstructured.Unstructured, services []release.Pinned) ([]corev1.Pod, error) {
	var found []corev1.Pod
	for _, s := range services {
		u := find(objects, s)
		if u == nil {
			continue
		}
		pods, err := Pods(ctx, c, s.Namespace, &metav1.LabelSelector{MatchLabels: selectorOf(u)})
		if err != nil {
			return nil, err
		}
		found = append(found, untracked(pods)...)
	}
	return found, nil
}

// pause is between two looks.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(lookEvery):
		return nil
	}
}
