package deploy

import (
	"testing"
	"testing/synctest"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/release"
)

func TestRestore_keepsTheSizeThatSomebodyGave(t *testing.T) {
	sized := func(n int64, manager string) *unstructured.Unstructured {
		u := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "apps/v1", "kind": "Deployment", "metadata": map[string]any{"name": "web", "namespace": "production"},
			"spec": map[string]any{"replicas": n},
		}}
		if manager != "" {
			u.SetManagedFields([]metav1.ManagedFieldsEntry{{
				Manager: manager, Operation: metav1.ManagedFieldsOperationApply,
				FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:replicas":{}}}`),
			}})
		}
		return u
	}
	for name, c := range map[string]struct {
		live *unstructured.Unstructured
		want float64
	}{
		"larger by hand":  {sized(10, "kubectl"), 10},
		"smaller by hand": {sized(1, "kubectl"), 2},
		"larger by us":    {sized(10, cluster.Manager), 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k, wanted := newKeeper(), sized(2, "")
				a := begin(t, k.session(t, "web"), wanted)
				to := a.Record
				changes := []Change{{Verb: Update, Object: release.Describe(wanted), Wanted: wanted, Live: c.live}}
				if err := a.restore(t.Context(), &to, changes, func(Change) bool { return true }); err != nil {
					t.Fatal(err)
				}
				restored := k.at("/apis/apps/v1/namespaces/production/deployments/web")
				if got, _, _ := unstructured.NestedFloat64(restored, "spec", "replicas"); got != c.want {
					t.Errorf("restored with %v replicas, want %v", got, c.want)
				}
			})
		})
	}
}
