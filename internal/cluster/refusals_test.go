package cluster_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	admission "k8s.io/api/admission/v1"
	registration "k8s.io/api/admissionregistration/v1"
	rbac "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/testcluster"
)

func TestApply_namesManagerAndFieldOfAConflict(t *testing.T) {
	c := testcluster.New(t)
	u := object(t, c.Namespace, settings)
	apply(t, c.Client, u)
	patch := []byte(`{"data":{"color":"green"}}`)
	_, err := c.Client.Kube.CoreV1().ConfigMaps(c.Namespace).Patch(t.Context(), "settings", types.MergePatchType, patch, metav1.PatchOptions{FieldManager: "somebody"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Client.Apply(t.Context(), u, cluster.ApplyOptions{})
	var conflict *cluster.ConflictError
	if !errors.As(err, &conflict) || len(conflict.Fields) != 1 || conflict.Fields[0] != (cluster.Owned{Manager: "somebody", Path: ".data.color"}) {
		t.Fatalf("error %v, want a conflict with somebody about .data.color", err)
	}
	now, err := c.Client.Apply(t.Context(), u, cluster.ApplyOptions{Force: true})
	if err != nil {
		t.Fatal(err)
	}
	if color, _, _ := unstructured.NestedString(now.Object, "data", "color"); color != "blue" {
		t.Errorf("forced, color is %q", color)
	}
}

func TestApply_saysWhichFieldsAreImmutable(t *testing.T) {
	c := testcluster.New(t)
	for _, test := range []struct {
		name, manifest, field string
		change                func(u *unstructured.Unstructured)
	}{
		{"a Deployment's selector", web, "spec.selector", func(u *unstructured.Unstructured) {
			_ = unstructured.SetNestedField(u.Object, "other", "spec", "selector", "matchLabels", "app")
			_ = unstructured.SetNestedField(u.Object, "other", "spec", "template", "metadata", "labels", "app")
		}},
		{"a Job's template", `{apiVersion: batch/v1, kind: Job, metadata: {name: job}, spec: {suspend: true, template: {spec: {restartPolicy: Never, containers: [{name: c, image: a}]}}}}`, "spec.template", func(u *unstructured.Unstructured) {
			_ = unstructured.SetNestedSlice(u.Object, []any{map[string]any{"name": "c", "image": "b"}}, "spec", "template", "spec", "containers")
		}},
		{"a StatefulSet's service", `{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: set}, spec: {replicas: 0, serviceName: a, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: a}]}}}}`, "spec", func(u *unstructured.Unstructured) {
			_ = unstructured.SetNestedField(u.Object, "b", "spec", "serviceName")
		}},
		{"an immutable ConfigMap", `{apiVersion: v1, kind: ConfigMap, metadata: {name: fixed}, immutable: true, data: {a: b}}`, "data", func(u *unstructured.Unstructured) {
			_ = unstructured.SetNestedField(u.Object, "c", "data", "a")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			u := object(t, c.Namespace, test.manifest)
			apply(t, c.Client, u)
			test.change(u)
			_, err := c.Client.Apply(t.Context(), u, cluster.ApplyOptions{})
			var immutable *cluster.ImmutableError
			if !errors.As(err, &immutable) || len(immutable.Fields) == 0 || immutable.Fields[0] != test.field {
				t.Fatalf("error %v (%+v), want immutable %s", err, immutable, test.field)
			}
		})
	}
}

func TestApply_namesTheMissingRight(t *testing.T) {
	c := testcluster.New(t)
	limited := c.Limited(t, rbac.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get"}})
	_, err := limited.Apply(t.Context(), object(t, c.Namespace, web), cluster.ApplyOptions{})
	var forbidden *cluster.ForbiddenError
	if !errors.As(err, &forbidden) {
		t.Fatalf("error %v, want forbidden", err)
	}
	want := cluster.Access{Verb: "patch", Group: "apps", Resource: "deployments", Namespace: c.Namespace, Name: "web"}
	if forbidden.Access != want {
		t.Errorf("missing %+v, want %+v", forbidden.Access, want)
	}
	// The rule that the error gives is enough.
	var role struct{ Rules []rbac.PolicyRule }
	if err := yaml.Unmarshal([]byte(forbidden.Next()), &role); err != nil {
		t.Fatalf("%v in\n%s", err, forbidden.Next())
	}
	apply(t, c.Limited(t, role.Rules...), object(t, c.Namespace, web))
}

func TestCan_givesTheMissingOnesInOrder(t *testing.T) {
	c := testcluster.New(t)
	limited := c.Limited(t, rbac.PolicyRule{APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "patch"}})
	want := []cluster.Access{
		{Verb: "patch", Group: "apps", Resource: "deployments", Namespace: c.Namespace},
		{Verb: "get", Resource: "configmaps", Namespace: c.Namespace},
		{Verb: "get", Resource: "pods", Subresource: "log", Namespace: c.Namespace},
	}
	missing, err := limited.Can(t.Context(), want)
	if err != nil || len(missing) != 2 || missing[0] != want[0] || missing[1] != want[2] {
		t.Fatalf("missing %v (%v), want the first and the last", missing, err)
	}
}

func TestApply_refusesAnUnknownKind(t *testing.T) {
	c := testcluster.New(t)
	_, err := c.Client.Apply(t.Context(), object(t, c.Namespace, `{apiVersion: acme.example/v1, kind: Rocket, metadata: {name: r}}`), cluster.ApplyOptions{})
	var unknown *cluster.UnknownKindError
	if !errors.As(err, &unknown) || unknown.Kind.Kind != "Rocket" {
		t.Fatalf("error %v, want the unknown kind Rocket", err)
	}
}

func TestApply_saysThatAnObjectIsTooLarge(t *testing.T) {
	c := testcluster.New(t)
	for _, size := range []int{1_100_000, 1_600_000, 3_500_000} {
		u := object(t, c.Namespace, settings)
		u.Object["data"] = map[string]any{"a": strings.Repeat("x", size)}
		_, err := c.Client.Apply(t.Context(), u, cluster.ApplyOptions{})
		var large *cluster.TooLargeError
		if !errors.As(err, &large) || large.Bytes < size {
			t.Errorf("%d bytes: error %.300v, want too large", size, err)
		}
	}
}

func TestApply_showsTheWordsOfAWebhookThatRefuses(t *testing.T) {
	c := testcluster.New(t)
	hook := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review admission.AdmissionReview
		_ = json.NewDecoder(r.Body).Decode(&review)
		review.Response = &admission.AdmissionResponse{UID: review.Request.UID, Result: &metav1.Status{Message: "images must be signed by the platform team"}}
		_ = json.NewEncoder(w).Encode(review)
	}))
	defer hook.Close()
	none, fail := registration.SideEffectClassNone, registration.Fail
	configuration := &registration.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: c.Namespace},
		Webhooks: []registration.ValidatingWebhook{{
			Name: "policy.example.com", SideEffects: &none, FailurePolicy: &fail, AdmissionReviewVersions: []string{"v1"},
			ClientConfig: registration.WebhookClientConfig{
				URL:      &hook.URL,
				CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: hook.Certificate().Raw}),
			},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": c.Namespace}},
			Rules: []registration.RuleWithOperations{{
				Operations: []registration.OperationType{registration.Create},
				Rule:       registration.Rule{APIGroups: []string{"apps"}, APIVersions: []string{"v1"}, Resources: []string{"deployments"}},
			}},
		}},
	}
	hooks := c.Client.Kube.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	if _, err := hooks.Create(t.Context(), configuration, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := hooks.Delete(context.WithoutCancel(t.Context()), c.Namespace, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}()
	var refused *cluster.RefusedError
	// The API server learns of a webhook from a watch.
	testcluster.Eventually(t, 10*time.Second, "the webhook to be asked", func(ctx context.Context) bool {
		_, err := c.Client.Apply(ctx, object(t, c.Namespace, web), cluster.ApplyOptions{DryRun: true})
		return errors.As(err, &refused)
	})
	if refused.By != `webhook "policy.example.com"` || refused.Words != "images must be signed by the platform team" {
		t.Errorf("refused by %s with %q", refused.By, refused.Words)
	}
}

func TestNamespace_tellsMissingAndTerminatingApart(t *testing.T) {
	c := testcluster.New(t)
	if err := c.Client.Namespace(t.Context(), c.Namespace); err != nil {
		t.Errorf("one that is there: %v", err)
	}
	var problem *cluster.NamespaceError
	if err := c.Client.Namespace(t.Context(), "no-such-namespace"); !errors.As(err, &problem) || problem.Terminating {
		t.Errorf("one that is not there: %v", err)
	}
	held := c.AddNamespace(t)
	u := object(t, held, settings)
	u.SetFinalizers([]string{"example.com/held"})
	apply(t, c.Client, u)
	if err := c.Client.Kube.CoreV1().Namespaces().Delete(t.Context(), held, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_, err := c.Client.Kube.CoreV1().ConfigMaps(held).Patch(context.WithoutCancel(t.Context()), "settings", types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
		if err != nil {
			t.Error(err)
		}
	}()
	if err := c.Client.Namespace(t.Context(), held); !errors.As(err, &problem) || !problem.Terminating {
		t.Errorf("one that is being deleted: %v", err)
	}
	other := object(t, held, settings)
	other.SetName("other")
	if _, err := c.Client.Apply(t.Context(), other, cluster.ApplyOptions{}); !errors.As(err, &problem) || !problem.Terminating || problem.Name != held {
		t.Errorf("apply where all is being deleted: %v", err)
	}
	other.SetNamespace("no-such-namespace")
	if _, err := c.Client.Apply(t.Context(), other, cluster.ApplyOptions{}); !errors.As(err, &problem) || problem.Terminating || problem.Name != "no-such-namespace" {
		t.Errorf("apply where nothing is: %v", err)
	}
}
