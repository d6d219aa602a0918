package deploy

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/fibership/fibership/internal/release"
)

// Front is the Service that a release is reached by.
type Front struct {
	Namespace string
	Service   string
	Port      int
}

// URL is where the front answers to whoever is in the cluster.
func (f Front) URL() string {
	return fmt.Sprintf("http://%s.%s.svc:%d", f.Service, f.Namespace, f.Port)
}

// Object identifies the front's Service.
func (f Front) Object() release.Object {
	return release.Object{APIVersion: "v1", Kind: "Service", Namespace: f.Namespace, Name: f.Service}
}

// FrontOf finds the front of a release: its Service named like the service,
// else its first.
func FrontOf(service string, objects []*unstructured.Unstructured) (Front, error) {
	var found *corev1.Service
	for _, u := range objects {
		if u.GetAPIVersion() != "v1" || u.GetKind() != "Service" {
			continue
		}
		s := new(corev1.Service)
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, s); err != nil {
			return Front{}, fmt.Errorf("read service %s: %w", u.GetName(), err)
		}
		if len(s.Spec.Ports) > 0 && (found == nil || s.Name == service) {
			found = s
		}
	}
	if found == nil {
		return Front{}, &Refusal{
			Reason: "the manifests hold no Service with a port, so tests have nothing to ask",
			Advice: "add a Service for the deployment's pods",
		}
	}
	return Front{Namespace: found.Namespace, Service: found.Name, Port: int(found.Spec.Ports[0].Port)}, nil
}

// Address is where a release answers from outside: the first host name of its
// HTTPRoutes that lead to its front. It is empty where there is none.
func Address(service string, objects []*unstructured.Unstructured) string {
	front, err := FrontOf(service, objects)
	if err != nil {
		return ""
	}
	for _, u := range objects {
		if !isRoute(u) || !leadsTo(u, front.Service) {
			continue
		}
		hosts, _, _ := unstructured.NestedStringSlice(u.Object, "spec", "hostnames")
		for _, host := range hosts {
			if host != "" && !strings.HasPrefix(host, "*") {
				return "https://" + host
			}
		}
	}
	return ""
}

func isRoute(u *unstructured.Unstructured) bool {
	return u.GetKind() == "HTTPRoute" && u.GroupVersionKind().Group == "gateway.networking.k8s.io"
}

// leadsTo says whether a rule of the route has the Service as a backend.
func leadsTo(route *unstructured.Unstructured, service string) bool {
	rules, _, _ := unstructured.NestedSlice(route.Object, "spec", "rules")
	for _, rule := range rules {
		fields, _ := rule.(map[string]any)
		backends, _, _ := unstructured.NestedSlice(fields, "backendRefs")
		for _, backend := range backends {
			if ref, ok := backend.(map[string]any); ok && ref["name"] == service {
				return true
			}
		}
	}
	return false
}
