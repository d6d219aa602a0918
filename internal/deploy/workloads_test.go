package deploy

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/progress"
	"github.com/fibership/fibership/internal/release"
)

func TestTakesRequests_isSelectedByAServiceOfTheRelease(t *testing.T) {
	t.Parallel()
	object := func(version, kind, name string, spec map[string]any) *unstructured.Unstructured {
		u := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
		u.SetAPIVersion(version)
		u.SetKind(kind)
		u.SetNamespace("production")
		u.SetName(name)
		return u
	}
	runs := func(app string) *unstructured.Unstructured {
		meta := map[string]any{"labels": map[string]any{"app": app}}
		return object("apps/v1", "Deployment", app, map[string]any{"template": map[string]any{"metadata": meta}})
	}
	leads := func(app string) *unstructured.Unstructured {
		return object("v1", "Service", app, map[string]any{"selector": map[string]any{"app": app}})
	}
	pod := func(namespace, app string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Labels: map[string]string{"app": app, "pod-template-hash": "7d9f"}}}
	}
	web, worker, elsewhere := pod("production", "web"), pod("production", "worker"), pod("staging", "web")
	for name, c := range map[string]struct {
		objects                []*unstructured.Unstructured
		web, worker, elsewhere bool
	}{
		"a worker beside":           {[]*unstructured.Unstructured{leads("web"), runs("worker"), runs("web")}, true, false, false},
		"no Service":                {[]*unstructured.Unstructured{runs("worker"), runs("web")}, true, true, true},
		"a Service of nothing here": {[]*unstructured.Unstructured{leads("db"), runs("worker")}, true, true, true},
		"a Service of anything":     {[]*unstructured.Unstructured{object("v1", "Service", "all", map[string]any{}), runs("web")}, true, true, true},
	} {
		takes := takesRequests(c.objects)
		if takes(web) != c.web || takes(worker) != c.worker || takes(elsewhere) != c.elsewhere {
			t.Errorf("%s: web %t, worker %t, in another namespace %t", name, takes(web), takes(worker), takes(elsewhere))
		}
	}
}

func TestHealthy_waitsForNoListThatDoesNotCome(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/version" {
			<-r.Context().Done()
		}
	}))
	t.Cleanup(server.Close)
	client, err := cluster.New(&rest.Config{Host: server.URL}, "test")
	if err != nil {
		t.Fatal(err)
	}
	a := &Attempt{
		Session: &Session{Target: Target{Cluster: client, Log: progress.Discard}},
		Record:  release.Record{Objects: []release.Object{{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "production", Name: "web"}}},
	}
	ctx, cancel := context.WithTimeout(t.Context(), 6*lookWithin)
	defer cancel()
	began := time.Now()
	if err := a.Healthy(ctx); err != nil {
		t.Errorf("what cannot be seen is a verdict: %v", err)
	}
	if took := time.Since(began); took > 3*lookWithin {
		t.Errorf("it looked for %v", took)
	}
}
