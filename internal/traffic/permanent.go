package traffic

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json" // keeps whole numbers whole

	"github.com/fibership/fibership/internal/release"
)

// CanaryService names the Service of what stands beside a service.
func CanaryService(service string) string { return suffixed(service, "-"+Canary) }

// Permanent makes a release ready to be steered by a gateway: beside its
// Service comes a second one for the pods beside, without endpoints most of the
// time, unless the objects bring it; and where the objects hold the route, its
// rules have both, at 100 and 0. Rules with other backends stay as they are.
// The objects are in the order in which they are applied.
func Permanent(objects []*unstructured.Unstructured, service release.Object, route string) ([]*unstructured.Unstructured, error) {
	namespace, name, err := routeOf(objects, route, service.Namespace)
	if err != nil {
		return nil, err
	}
	n := names{service.Name, CanaryService(service.Name), service.Namespace, namespace}
	var all []*unstructured.Unstructured
	var front *unstructured.Unstructured
	brought := find(objects, release.Pinned{Namespace: n.namespace, Name: n.canary}) != nil
	for _, u := range objects {
		if isService(u) && u.GetName() == service.Name && u.GetNamespace() == service.Namespace {
			front = u
			all = append(all, u)
			if !brought {
				all = append(all, n.beside(u))
			}
			continue
		}
		all = append(all, u)
	}
	if front == nil {
		return nil, fmt.Errorf("service %s is not among the objects", service.Name)
	}
	for i, u := range all {
		if isRoute(u) && u.GetNamespace() == namespace && u.GetName() == name {
			if all[i], err = n.both(u); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

// ForBeside says whether a Service selects what stands beside, and nothing else.
func ForBeside(u *unstructured.Unstructured) bool { return u != nil && selectorOf(u)[Track] == Canary }

// beside is the Service for what stands beside.
func (n names) beside(front *unstructured.Unstructured) *unstructured.Unstructured {
	u := front.DeepCopy()
	u.SetName(n.canary)
	for _, given := range []string{"clusterIP", "clusterIPs", "externalIPs", "loadBalancerIP", "healthCheckNodePort", "externalName"} {
		unstructured.RemoveNestedField(u.Object, "spec", given)
	}
	_ = unstructured.SetNestedField(u.Object, "ClusterIP", "spec", "type")
	for _, p := range ports(u) {
		delete(p, "nodePort")
	}
	_ = unstructured.SetNestedStringMap(u.Object, with(selectorOf(front), Track, Canary), "spec", "selector")
	return u
}

func ports(u *unstructured.Unstructured) []map[string]any {
	spec, _ := u.Object["spec"].(map[string]any)
	list, _ := spec["ports"].([]any)
	var all []map[string]any
	for _, p := range list {
		if port, ok := p.(map[string]any); ok {
			all = append(all, port)
		}
	}
	return all
}

// both is the route with both Services in each rule that leads to the one.
func (n names) both(route *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	u := route.DeepCopy()
	lists, err := rules(u)
	if err != nil {
		return nil, err
	}
	all, _, _ := unstructured.NestedSlice(u.Object, "spec", "rules")
	for i, list := range lists {
		service, _, only := n.split(list)
		rule, ok := all[i].(map[string]any)
		if service == nil || !only || !ok {
			continue
		}
		var refs []any
		if err := json.Unmarshal(raw(n.weighted(list, 0)), &refs); err != nil {
			return nil, err
		}
		rule["backendRefs"] = refs
	}
	return u, unstructured.SetNestedSlice(u.Object, all, "spec", "rules")
}
