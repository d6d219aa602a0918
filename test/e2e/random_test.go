package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/fibership/fibership/internal/release"
)

// randomRelease is a service with configuration, environment, size and further
// objects as chance has it.
func randomRelease(chance *rand.Rand) string {
	var objects []map[string]any
	add := func(apiVersion, kind, name string, rest map[string]any) map[string]any {
		o := map[string]any{"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"name": name, "labels": words(chance, 2), "annotations": words(chance, 2)}}
		for field, value := range rest {
			o[field] = value
		}
		objects = append(objects, o)
		return o
	}
	add("v1", "ConfigMap", "settings", map[string]any{"data": words(chance, 4), "binaryData": blobs(chance)})
	add("v1", "Secret", "token", map[string]any{"stringData": words(chance, 4)})
	add("v1", "Service", "web", map[string]any{"spec": map[string]any{
		"selector": map[string]any{"app": "web"}, "ports": ports(chance),
	}})
	container := map[string]any{
		"name": "web", "image": "IMAGE", "env": environment(chance),
		"envFrom": []any{
			map[string]any{"configMapRef": map[string]any{"name": "settings"}}, map[string]any{"secretRef": map[string]any{"name": "token"}},
		},
		"readinessProbe": map[string]any{"httpGet": map[string]any{"path": "/readyz", "port": 3000}, "periodSeconds": 1 + chance.IntN(2)},
		"resources":      map[string]any{"requests": map[string]any{"cpu": fmt.Sprintf("%dm", 1+chance.IntN(9))}},
	}
	add("apps/v1", "Deployment", "web", map[string]any{"spec": map[string]any{
		"replicas": 1 + chance.IntN(2), "selector": map[string]any{"matchLabels": map[string]any{"app": "web"}},
		"template": map[string]any{
			"metadata": map[string]any{"labels": map[string]any{"app": "web"}, "annotations": words(chance, 2)},
			"spec":     map[string]any{"containers": []any{container}, "terminationGracePeriodSeconds": 1},
		},
	}})
	// What comes and goes; configuration that no pod uses keeps its name.
	for i := range 3 {
		if chance.IntN(3) > 0 {
			add("v1", "ConfigMap", fmt.Sprintf("plain-%d", i), map[string]any{"data": words(chance, 3), "binaryData": blobs(chance)})
		}
		if chance.IntN(3) > 0 {
			add("v1", "Secret", fmt.Sprintf("key-%d", i), map[string]any{"stringData": words(chance, 3), "data": blobs(chance)})
		}
		if chance.IntN(2) > 0 {
			add("v1", "ServiceAccount", fmt.Sprintf("account-%d", i), nil)
		}
	}
	if chance.IntN(2) > 0 {
		add("policy/v1", "PodDisruptionBudget", "web", map[string]any{"spec": map[string]any{
			"maxUnavailable": 1 + chance.IntN(3), "selector": map[string]any{"matchLabels": map[string]any{"app": "web"}},
		}})
	}
	if chance.IntN(2) > 0 {
		add("networking.k8s.io/v1", "NetworkPolicy", "web", map[string]any{"spec": map[string]any{
			"podSelector": map[string]any{"matchLabels": words(chance, 3)}, "policyTypes": []any{"Egress"}, "egress": []any{map[string]any{}},
		}})
	}
	var text strings.Builder
	for _, o := range objects {
		raw, err := json.Marshal(o) // which is YAML as well
		if err != nil {
			panic(err)
		}
		text.Write(raw)
		text.WriteString("\n---\n")
	}
	return text.String()
}

// words is up to n random values, under few names, so that they come and go.
func words(chance *rand.Rand, n int) map[string]any {
	all := map[string]any{}
	for range chance.IntN(n + 1) {
		all[fmt.Sprintf("word-%d", chance.IntN(5))] = fmt.Sprintf("v%x", chance.Uint32())
	}
	return all
}

func blobs(chance *rand.Rand) map[string]any {
	all := map[string]any{}
	for range chance.IntN(3) {
		blob := make([]byte, chance.IntN(200))
		for i := range blob {
			blob[i] = byte(chance.Uint32())
		}
		all[fmt.Sprintf("blob-%d", chance.IntN(3))] = base64.StdEncoding.EncodeToString(blob)
	}
	return all
}

func environment(chance *rand.Rand) []any {
	all := []any{map[string]any{"name": "GREET", "value": fmt.Sprintf("%x", chance.Uint64())}}
	for i := range 4 {
		if chance.IntN(2) > 0 {
			all = append(all, map[string]any{"name": fmt.Sprintf("VARIABLE_%d", i), "value": fmt.Sprintf("%x", chance.Uint32())})
		}
	}
	return all
}

func ports(chance *rand.Rand) []any {
	all := []any{map[string]any{"name": "http", "port": 80, "targetPort": 3000}}
	for i := range 3 {
		if chance.IntN(2) > 0 {
			all = append(all, map[string]any{"name": fmt.Sprintf("more-%d", i), "port": 8000 + i, "targetPort": 3000 + chance.IntN(2)})
		}
	}
	return all
}

// content is what an environment holds of the service, object by object: all
// but what the server gives anew to every object or change, and releases.
func (p *place) content(environment, namespace string) map[string]string {
	p.t.Helper()
	kinds := []schema.GroupVersionKind{
		{Group: "apps", Version: "v1", Kind: "Deployment"},
		{Version: "v1", Kind: "Service"},
		{Version: "v1", Kind: "ConfigMap"},
		{Version: "v1", Kind: "Secret"},
		{Version: "v1", Kind: "ServiceAccount"},
		{Group: "policy", Version: "v1", Kind: "PodDisruptionBudget"},
		{Group: "networking.k8s.io", Version: "v1", Kind: "NetworkPolicy"},
	}
	live, err := p.Client.Live(p.t.Context(), namespace, map[string]string{"fibership.dev/service": "web", "fibership.dev/environment": environment}, kinds)
	if err != nil {
		p.t.Fatal(err)
	}
	found := map[string]string{}
	for key, u := range live {
		if u.Object["type"] == "fibership.dev/release" || u.GetLabels()[release.VersionedLabel] == "true" {
			continue
		}
		found[key] = plain(p.t, u)
	}
	return found
}

func plain(t *testing.T, u *unstructured.Unstructured) string {
	t.Helper()
	u = u.DeepCopy()
	var ours string
	for _, m := range u.GetManagedFields() {
		if m.Manager == "fibership" && m.Operation == metav1.ManagedFieldsOperationApply {
			ours = m.FieldsV1.GetRawString()
		}
	}
	for _, field := range []string{"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"} {
		unstructured.RemoveNestedField(u.Object, "metadata", field)
	}
	unstructured.RemoveNestedField(u.Object, "metadata", "annotations", "deployment.kubernetes.io/revision")
	unstructured.RemoveNestedField(u.Object, "status")
	raw, err := json.Marshal(u.Object)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw) + "\nowned: " + ours
}

// versioned is the configuration of an environment under names made from content.
func (p *place) versioned(environment, namespace string) map[string]*unstructured.Unstructured {
	p.t.Helper()
	live, err := p.Client.Live(p.t.Context(), namespace, map[string]string{
		"fibership.dev/service": "web", "fibership.dev/environment": environment, release.VersionedLabel: "true",
	}, []schema.GroupVersionKind{{Version: "v1", Kind: "ConfigMap"}, {Version: "v1", Kind: "Secret"}})
	if err != nil {
		p.t.Fatal(err)
	}
	return live
}
