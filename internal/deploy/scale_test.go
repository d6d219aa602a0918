package deploy

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/fibership/fibership/internal/cluster"
)

func TestAutoscaled_takesOnlyForbiddenAndUnknownForNone(t *testing.T) {
	t.Parallel()
	for status, known := range map[int]bool{http.StatusForbidden: true, http.StatusNotFound: true, http.StatusBadRequest: false} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": %d, "reason": %q}`, status,
				map[int]string{http.StatusForbidden: "Forbidden", http.StatusNotFound: "NotFound", http.StatusBadRequest: "BadRequest"}[status])
		}))
		t.Cleanup(server.Close)
		client, err := cluster.New(&rest.Config{Host: server.URL}, "test")
		if err != nil {
			t.Fatal(err)
		}
		s := &Session{Target: Target{Namespace: "staging", Cluster: client}}
		found, err := s.autoscaled(t.Context())
		if known != (err == nil) || len(found) != 0 {
			t.Errorf("status %d: %v, %v", status, found, err)
		}
	}
}

func TestNotSmaller_keepsWhatSomebodyAdded(t *testing.T) {
	t.Parallel()
	sized := func(n int64, manager string) *unstructured.Unstructured {
		u := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"replicas": n}}}
		u.SetManagedFields([]metav1.ManagedFieldsEntry{{
			Manager: manager, Operation: metav1.ManagedFieldsOperationApply,
			FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:replicas":{}}}`),
		}})
		return u
	}
	wanted := sized(2, "")
	for name, c := range map[string]struct {
		live *unstructured.Unstructured
		want int64
	}{
		"nothing is there":            {nil, 2},
		"ours, larger":                {sized(9, cluster.Manager), 2},
		"somebody made it larger":     {sized(9, "kubectl"), 9},
		"somebody made it smaller":    {sized(1, "kubectl"), 2},
		"it has no size of any kind":  {&unstructured.Unstructured{Object: map[string]any{}}, 2},
		"somebody made it just right": {sized(2, "kubectl"), 2},
	} {
		got, _, _ := unstructured.NestedInt64(notSmaller(wanted, c.live).Object, "spec", "replicas")
		if kept, _, _ := unstructured.NestedInt64(wanted.Object, "spec", "replicas"); got != c.want || kept != 2 {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
