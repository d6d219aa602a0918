package cluster_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/manifests"
	"github.com/fibership/fibership/internal/testcluster"
)

// What is generated from inputs alone is taken by the API server and serves.
func TestApply_bringsGeneratedObjectsToServe(t *testing.T) {
	c := testcluster.New(t)
	objs, err := manifests.Generate(manifests.Service{
		Name: "orders", Namespace: c.Namespace, Image: testcluster.Push(t, "cluster-orders"), Port: 3000, Replicas: 1,
		Env: []manifests.Variable{{Name: "VERSION", Value: "7"}}, ReadinessPath: "/readyz", LivenessPath: "/livez", CPU: "10m", Memory: "64Mi",
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objs {
		tried, err := c.Client.Apply(t.Context(), o.Unstructured, cluster.ApplyOptions{DryRun: true})
		if err != nil {
			t.Fatal(err)
		}
		apply(t, c.Client, o.Unstructured)
		if diff := cluster.Diff(get(t, c.Client, o.Unstructured), tried); diff != "" && o.GetKind() != "Service" { // its address is new each time
			t.Errorf("a dry run of %s differs from the object:\n%s", o.GetKind(), diff)
		}
	}
	client, base, err := c.Client.ServiceURL(c.Namespace, "orders", 3000)
	if err != nil {
		t.Fatal(err)
	}
	testcluster.Eventually(t, time.Minute, "the service to answer", func(ctx context.Context) bool {
		code, _ := fetch(ctx, t, client, base.JoinPath("readyz").String())
		return code == http.StatusOK
	})
}
