package testcluster

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
)

var routes = schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"}

// version runs one pod of a version behind a Service of the same name.
func version(t *testing.T, c *T, name string) {
	t.Helper()
	labels := map[string]string{"version": name}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "web", Image: PushVersion(t, "gateway-web", name),
			ReadinessProbe: &corev1.Probe{
				PeriodSeconds: 1, TimeoutSeconds: 5, // a busy machine makes no pod unready
				ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/readyz", Port: intstr.FromInt32(3000)}},
			},
		}}},
	}
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.ServiceSpec{Selector: labels, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(3000)}}},
	}
	if _, err := c.Client.Kube.CoreV1().Pods(c.Namespace).Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Client.Kube.CoreV1().Services(c.Namespace).Create(t.Context(), service, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// route leads the host to both versions.
func route(t *testing.T, c *T, to Gateway, host string, blue, green int64) {
	t.Helper()
	backend := func(name string, weight int64) any {
		return map[string]any{"name": name, "port": int64(80), "weight": weight}
	}
	_, err := c.Client.Dynamic.Resource(routes).Namespace(c.Namespace).Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": routes.GroupVersion().String(), "kind": "HTTPRoute",
		"metadata": map[string]any{"name": "web"},
		"spec": map[string]any{
			"hostnames":  []any{host},
			"parentRefs": []any{map[string]any{"name": to.Name, "namespace": to.Namespace}},
			"rules":      []any{map[string]any{"backendRefs": []any{backend("blue", blue), backend("green", green)}}},
		},
	}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// answers counts the versions that answer n requests, one after the other;
// empty is one that could not be had.
func answers(ctx context.Context, t *testing.T, to Gateway, host string, n int) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for range n {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var told struct{ Version string }
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err == nil && resp.StatusCode == http.StatusOK {
			err = json.Unmarshal(body, &told)
		}
		if err != nil {
			t.Fatalf("%v in %q", err, body)
		}
		counts[told.Version]++
	}
	return counts
}

func TestSharedGateway_sharesByWeight(t *testing.T) {
	t.Parallel()
	c, to := New(t), SharedGateway(t)
	version(t, c, "blue")
	version(t, c, "green")
	host := c.Namespace + ".test"
	route(t, c, to, host, 3, 1)
	Eventually(t, time.Minute, "both versions behind the gateway", func(ctx context.Context) bool {
		got := answers(ctx, t, to, host, 4)
		return got["blue"] > 0 && got["green"] > 0
	})
	got := answers(t.Context(), t, to, host, 100)
	// In turns, not by chance; each change of the configuration begins them anew.
	if got["blue"] < 72 || got["blue"] > 78 || got["blue"]+got["green"] != 100 {
		t.Errorf("of 100 requests: %v, want 75 blue and 25 green", got)
	}
}

func TestSlowGateway_takesItsTimeThoughTheStatusDoesNot(t *testing.T) {
	t.Parallel()
	c, to := New(t), SlowGateway(t)
	version(t, c, "blue")
	version(t, c, "green")
	host := c.Namespace + ".test"
	route(t, c, to, host, 1, 0)
	// Endpoints first, then the 20 s in which their news is held back.
	Eventually(t, 60*time.Second, "the first version behind the gateway", func(ctx context.Context) bool {
		return answers(ctx, t, to, host, 1)["blue"] > 0
	})
	patch := `[{"op":"replace","path":"/spec/rules/0/backendRefs/0/weight","value":0},{"op":"replace","path":"/spec/rules/0/backendRefs/1/weight","value":1}]`
	began := time.Now()
	changed, err := c.Client.Dynamic.Resource(routes).Namespace(c.Namespace).Patch(t.Context(), "web", types.JSONPatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	Eventually(t, time.Minute, "the route's status", func(ctx context.Context) bool {
		u, err := c.Client.Dynamic.Resource(routes).Namespace(c.Namespace).Get(ctx, "web", metav1.GetOptions{})
		return err == nil && observed(u) == changed.GetGeneration()
	})
	told := time.Since(began)
	Eventually(t, 60*time.Second, "the second version behind the gateway", func(ctx context.Context) bool {
		return answers(ctx, t, to, host, 1)["green"] > 0
	})
	if took := time.Since(began); took < told+5*time.Second {
		t.Errorf("the status changed after %v, the traffic after %v: that is not slow", told, took)
	}
}

// observed is the generation that the route's first parent has seen.
func observed(u *unstructured.Unstructured) int64 {
	parents, _, _ := unstructured.NestedSlice(u.Object, "status", "parents")
	if len(parents) == 0 {
		return 0
	}
	parent, _ := parents[0].(map[string]any)
	conditions, _ := parent["conditions"].([]any)
	if len(conditions) == 0 {
		return 0
	}
	condition, _ := conditions[0].(map[string]any)
	generation, _ := condition["observedGeneration"].(int64)
	return generation
}
