package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	authentication "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/manifests"
	"github.com/fibership/fibership/internal/testcluster"
)

// The rights that the README hands out are enough for a whole life: deploys,
// a canary, a rollback, and the evidence of a failure.
func TestRights_ofTheREADMEAreEnough(t *testing.T) {
	p := newPlace(t)
	p.grant("staging.yaml", p.staging, "")
	p.grant("production.yaml", p.production, "")
	p.grant("passed.yaml", p.staging, p.production)
	staging, production := p.account(p.staging), p.account(p.production)

	one, two := p.image("1"), p.image("2")
	p.kubeconfig = staging
	p.deploy(one, nil)
	p.kubeconfig = production
	p.file("flags.json", flagFile)
	p.run(0, "promote", map[string]string{"strategy": "rolling", "flags": "flags.json", "ramp": "new-checkout: 100%"})
	p.kubeconfig = staging
	p.deploy(two, map[string]string{"env": "GREET=again"})
	p.kubeconfig = production
	p.run(0, "promote", map[string]string{"steps": "50%", "metrics": "pods", "analysis": "restarts < 1\nerror-rate < 1%", "on-inconclusive": "advance"})
	p.run(0, "rollback", nil)
	p.run(0, "promote", blueGreen(nil))
	gateway := testcluster.SharedGateway(t)
	p.run(0, "promote", map[string]string{
		"traffic": "gateway", "host": p.production + ".test", "gateway": gateway.Namespace + "/" + gateway.Name, "env": "GREET=routed", "strategy": "rolling",
	})
	p.run(0, "promote", map[string]string{
		"traffic": "gateway", "host": p.production + ".test", "gateway": gateway.Namespace + "/" + gateway.Name, "env": "GREET=steered", "steps": "50%",
	})
	o := p.run(1, "promote", map[string]string{"env": "CRASH_AFTER=0s", "strategy": "rolling"})
	contains(t, o.Log, "crashing after 0s as CRASH_AFTER says")
	if strings.Contains(o.Log, "forbidden") {
		t.Errorf("something was forbidden:\n%s", o.Log)
	}
}

// grant applies one of the README's manifests to a namespace.
func (p *place) grant(file, namespace, subjects string) {
	p.t.Helper()
	objects, err := manifests.Load(p.t.Context(), filepath.Join("..", "..", "docs", "rbac"), []string{file})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, o := range objects {
		o.SetNamespace(namespace)
		if all, ok, _ := unstructured.NestedSlice(o.Object, "subjects"); ok {
			for _, s := range all {
				if subject, ok := s.(map[string]any); ok && subjects != "" {
					subject["namespace"] = subjects
				}
			}
			if err := unstructured.SetNestedSlice(o.Object, all, "subjects"); err != nil {
				p.t.Fatal(err)
			}
		}
		if _, err := p.Client.Apply(p.t.Context(), o.Unstructured, cluster.ApplyOptions{}); err != nil {
			p.t.Fatal(err)
		}
	}
}

// account is the kubeconfig of the service account that the manifests make.
func (p *place) account(namespace string) string {
	p.t.Helper()
	token, err := p.Client.Kube.CoreV1().ServiceAccounts(namespace).CreateToken(p.t.Context(), "fibership", &authentication.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	return kubeconfig(p.t, p.Client, token.Status.Token)
}
