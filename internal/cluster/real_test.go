package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	admission "k8s.io/api/admission/v1"
	registration "k8s.io/api/admissionregistration/v1"
	rbac "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"encoding/pem"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/testcluster"
)

// object decodes a manifest and puts it into the namespace.
func object(t *testing.T, namespace, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	if namespace != "" {
		u.SetNamespace(namespace)
	}
	return u
}

const settings = `{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, labels: {app: web}}, data: {color: blue}}`

const web = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: web, image: IMAGE, ports: [{containerPort: 3000}], readinessProbe: {periodSeconds: 1, httpGet: {path: /readyz, port: 3000}}}]
`

func apply(t *testing.T, c *cluster.Client, u *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	now, err := c.Apply(t.Context(), u, cluster.ApplyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return now
}

func get(t *testing.T, c *cluster.Client, u *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	now, err := c.Get(t.Context(), release.Describe(u))
	if err != nil {
		t.Fatal(err)
	}
	return now
}

// counted is a client whose requests are counted by method and path.
func counted(t *testing.T, c *cluster.Client) (*cluster.Client, *atomic.Int64) {
	t.Helper()
	n := new(atomic.Int64)
	config := rest.CopyConfig(c.REST)
	config.WrapTransport = func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(req *http.Request) (*http.Response, error) {
			n.Add(1)
			return next.RoundTrip(req)
		})
	}
	client, err := cluster.New(config, "test")
	if err != nil {
		t.Fatal(err)
	}
	return client, n
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestApply_changesOnlyWhatIsDifferent(t *testing.T) {
	c := testcluster.New(t)
	client, requests := counted(t, c.Client)
	u := object(t, c.Namespace, settings)
	first := apply(t, client, u)
	again := apply(t, client, u)
	if first.GetResourceVersion() != again.GetResourceVersion() {
		t.Error("the same object applied twice was written twice")
	}
	// Two for discovery, one for each object applied.
	if n := requests.Load(); n != 4 {
		t.Errorf("%d requests for two applies, want 4", n)
	}
	u.Object["data"] = map[string]any{"color": "red"}
	if now := apply(t, client, u); cluster.Seen(now) == cluster.Seen(first) {
		t.Errorf("seen is %s before and after a change", cluster.Seen(now))
	}
}

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

func TestApply_waitsForAKindWhoseCRDWasJustApplied(t *testing.T) {
	c := testcluster.New(t)
	group := strings.TrimPrefix(c.Namespace, "test-") + ".example.com"
	crd := object(t, "", `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: rockets.`+group+`}
spec:
  group: `+group+`
  scope: Namespaced
  names: {plural: rockets, singular: rocket, kind: Rocket}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
`)
	rocket := object(t, c.Namespace, `{apiVersion: `+group+`/v1, kind: Rocket, metadata: {name: r}, spec: {}}`)
	c.Client.Learn(crd)
	if namespaced, err := c.Client.Scoped(t.Context(), rocket); err != nil || !namespaced {
		t.Fatalf("a learnt kind: namespaced %v, %v", namespaced, err)
	}
	if _, err := c.Client.Apply(t.Context(), rocket, cluster.ApplyOptions{DryRun: true}); !errors.Is(err, cluster.ErrNoDryRun) {
		t.Errorf("dry run before the CRD: %v, want ErrNoDryRun", err)
	}
	apply(t, c.Client, crd)
	t.Cleanup(func() {
		if err := c.Client.Delete(context.WithoutCancel(t.Context()), release.Describe(crd), false); err != nil {
			t.Error(err)
		}
	})
	apply(t, c.Client, rocket)
}

func TestApply_dryRunKeepsNothing(t *testing.T) {
	c := testcluster.New(t)
	u := object(t, c.Namespace, web)
	tried, err := c.Client.Apply(t.Context(), u, cluster.ApplyOptions{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, defaulted, _ := unstructured.NestedFieldNoCopy(tried.Object, "spec", "strategy"); !defaulted {
		t.Error("the server did not fill in its defaults")
	}
	if now := get(t, c.Client, u); now != nil {
		t.Error("the object is there after a dry run")
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

func TestDelete_waitsUntilTheObjectIsGoneAndTakesOnlyTheOneMeant(t *testing.T) {
	c := testcluster.New(t)
	u := apply(t, c.Client, object(t, c.Namespace, settings))
	o := release.Describe(u)
	o.UID = "00000000-0000-0000-0000-000000000000"
	if err := c.Client.Delete(t.Context(), o, true); err != nil {
		t.Fatal(err)
	}
	if get(t, c.Client, u) == nil {
		t.Fatal("an object with another UID was deleted")
	}
	o.UID = string(u.GetUID())
	for range 2 { // gone already is no error
		if err := c.Client.Delete(t.Context(), o, true); err != nil {
			t.Fatal(err)
		}
		if get(t, c.Client, u) != nil {
			t.Fatal("the object is there after it was deleted")
		}
	}
	o = release.Object{APIVersion: "acme.example/v1", Kind: "Rocket", Namespace: c.Namespace, Name: "r"}
	if err := c.Client.Delete(t.Context(), o, true); err != nil {
		t.Errorf("of a kind that is not there: %v", err)
	}
}

func TestLive_listsEachKindOnceAndOnlyWhatBearsTheLabels(t *testing.T) {
	c := testcluster.New(t)
	mine := apply(t, c.Client, object(t, c.Namespace, settings))
	other := object(t, c.Namespace, settings)
	other.SetName("other")
	other.SetLabels(map[string]string{"app": "api"})
	apply(t, c.Client, other)
	client, requests := counted(t, c.Client)
	kinds := []schema.GroupVersionKind{
		{Version: "v1", Kind: "ConfigMap"}, {Version: "v1", Kind: "ConfigMap"},
		{Group: "apps", Version: "v1", Kind: "Deployment"}, {Group: "acme.example", Version: "v1", Kind: "Rocket"},
	}
	live, err := client.Live(t.Context(), c.Namespace, map[string]string{"app": "web"}, kinds)
	if err != nil {
		t.Fatal(err)
	}
	found := live[release.Describe(mine).Key()]
	if len(live) != 1 || found == nil || cluster.Seen(found) != cluster.Seen(mine) {
		t.Errorf("live are %v", live)
	}
	if n := requests.Load(); n != 4 { // two for discovery
		t.Errorf("%d requests, want 4", n)
	}
}

func TestFenced_stopsWritesAndNothingElse(t *testing.T) {
	c := testcluster.New(t)
	lost := errors.New("the lock is lost")
	fenced := c.Client.Fenced(func(context.Context) error { return lost })
	u := object(t, c.Namespace, settings)
	if _, err := fenced.Apply(t.Context(), u, cluster.ApplyOptions{}); !errors.Is(err, lost) {
		t.Errorf("apply: %v, want the fence's error", err)
	}
	if get(t, fenced, u) != nil {
		t.Error("a write went through the fence")
	}
	apply(t, c.Client, u)
	if err := fenced.Delete(t.Context(), release.Describe(u), false); !errors.Is(err, lost) {
		t.Errorf("delete: %v, want the fence's error", err)
	}
	if _, err := fenced.Apply(t.Context(), u, cluster.ApplyOptions{DryRun: true}); err != nil {
		t.Errorf("dry run: %v", err)
	}
	if missing, err := fenced.Can(t.Context(), []cluster.Access{{Verb: "get", Resource: "pods"}}); err != nil || len(missing) > 0 {
		t.Errorf("asking for rights: %v, %v", missing, err)
	}
	if get(t, fenced, u) == nil {
		t.Error("the object is gone")
	}
}

func TestServiceURL_reachesServiceAndPodThroughTheAPIServer(t *testing.T) {
	c := testcluster.New(t)
	u := object(t, c.Namespace, strings.ReplaceAll(web, "IMAGE", testcluster.Push(t, "cluster-web")))
	apply(t, c.Client, u)
	apply(t, c.Client, object(t, c.Namespace, `{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{port: 80, targetPort: 3000}]}}`))
	client, base, err := c.Client.ServiceURL(c.Namespace, "web", 80)
	if err != nil {
		t.Fatal(err)
	}
	var body string
	testcluster.Eventually(t, time.Minute, "the service to answer", func(ctx context.Context) bool {
		code, text := fetch(ctx, t, client, base.JoinPath("/hello").String())
		body = text
		return code == http.StatusOK
	})
	var answer struct {
		Path          string
		Authorization bool
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Path != "/hello" || answer.Authorization {
		t.Errorf("answer %s (%v): want path /hello and no credentials", body, err)
	}
	if code, _ := fetch(t.Context(), t, client, base.JoinPath("redirect").String()); code != http.StatusFound {
		t.Errorf("a redirect gives %d, want it unfollowed", code)
	}
	outside := base.JoinPath("/")
	outside.Path = "/api/v1/namespaces"
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, outside.String(), nil)
	if resp, err := client.Do(req); err == nil {
		resp.Body.Close()
		t.Error("the service's client reaches the API itself")
	}
	pods, err := c.Client.Kube.CoreV1().Pods(c.Namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app=web"})
	if err != nil || len(pods.Items) != 1 {
		t.Fatalf("pods: %v", err)
	}
	client, base, err = c.Client.PodURL(c.Namespace, pods.Items[0].Name, 3000)
	if err != nil {
		t.Fatal(err)
	}
	if code, _ := fetch(t.Context(), t, client, base.JoinPath("livez").String()); code != http.StatusOK {
		t.Errorf("the pod answers %d", code)
	}
	// A workload is gone when its pods are.
	if err := c.Client.Delete(t.Context(), release.Describe(u), true); err != nil {
		t.Fatal(err)
	}
	pods, err = c.Client.Kube.CoreV1().Pods(c.Namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app=web"})
	if err != nil || len(pods.Items) != 0 {
		t.Errorf("%d pods are left (%v)", len(pods.Items), err)
	}
}

func fetch(ctx context.Context, t *testing.T, client *http.Client, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	return resp.StatusCode, string(body)
}
