package e2e

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
	rbac "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

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
	p.run(0, "promote", map[string]string{"strategy": "rolling", "flags": "flags.json", "ramp": "new-checkout: 100%", "step-duration": "1s", "watch": "0s"})
	p.kubeconfig = staging
	p.deploy(two, map[string]string{"env": "GREET=again"})
	p.kubeconfig = production
	p.run(0, "promote", map[string]string{
		"steps": "50%", "metrics": "pods", "analysis": "restarts < 1\nerror-rate < 1%", "on-inconclusive": "advance", "step-duration": "1s", "watch": "1s",
	})
	p.run(0, "rollback", nil)
	p.run(0, "promote", blueGreen(map[string]string{"step-duration": "1s", "watch": "1s"}))
	gateway := testcluster.SharedGateway(t)
	p.run(0, "promote", map[string]string{
		"traffic": "gateway", "host": p.production + ".test", "gateway": gateway.Namespace + "/" + gateway.Name, "env": "GREET=routed", "strategy": "rolling", "watch": "0s",
	})
	p.run(0, "promote", map[string]string{
		"traffic": "gateway", "host": p.production + ".test", "gateway": gateway.Namespace + "/" + gateway.Name, "env": "GREET=steered", "steps": "50%", "step-duration": "1s", "watch": "0s",
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
	var roles []rbac.Role
	for _, o := range objects {
		o.SetNamespace(namespace)
		if o.GetKind() == "Role" {
			var role rbac.Role
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &role); err != nil {
				p.t.Fatal(err)
			}
			roles = append(roles, role)
		}
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
	for _, role := range roles {
		first := role.Rules[0]
		p.allowed(cmp.Or(subjects, namespace), true, authorization.ResourceAttributes{
			Namespace: namespace, Verb: first.Verbs[0], Group: first.APIGroups[0], Resource: first.Resources[0],
		})
	}
}

// allowed waits until the API server, which learns of rights from a watch of its
// own, lets the service account of a namespace do something, or does not any more.
func (p *place) allowed(account string, want bool, do authorization.ResourceAttributes) {
	p.t.Helper()
	what := fmt.Sprintf("the right of %s's account to %s %s to be %t", account, do.Verb, do.Resource, want)
	eventually(p.t, what, func(ctx context.Context) bool {
		review := &authorization.SubjectAccessReview{Spec: authorization.SubjectAccessReviewSpec{
			User: "system:serviceaccount:" + account + ":fibership", ResourceAttributes: &do,
		}}
		answer, err := p.Client.Kube.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		return err == nil && answer.Status.Allowed == want
	})
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
