package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

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

func TestApply_takesAwayATextThatASecretHasNoMore(t *testing.T) {
	c := testcluster.New(t)
	apply(t, c.Client, object(t, c.Namespace, `{apiVersion: v1, kind: Secret, metadata: {name: key}, data: {a: QQ==}, stringData: {b: B, c: C}}`))
	apply(t, c.Client, object(t, c.Namespace, `{apiVersion: v1, kind: Secret, metadata: {name: key}, data: {a: QQ==}, stringData: {b: new}}`))
	now := get(t, c.Client, object(t, c.Namespace, `{apiVersion: v1, kind: Secret, metadata: {name: key}}`))
	data, _, err := unstructured.NestedStringMap(now.Object, "data")
	if want := map[string]string{"a": "QQ==", "b": "bmV3"}; err != nil || !maps.Equal(data, want) {
		t.Errorf("data = %v, want %v (%v)", data, want, err)
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
		{Version: "v1", Kind: "ConfigMap"},
		{Version: "v1", Kind: "ConfigMap"},
		{Group: "apps", Version: "v1", Kind: "Deployment"},
		{Group: "acme.example", Version: "v1", Kind: "Rocket"},
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
	fenced := c.Client.Fenced(func(context.Context) (time.Time, error) { return time.Time{}, lost })
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
