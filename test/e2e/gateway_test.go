package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/testcluster"
	"github.com/fibership/fibership/internal/traffic"
	"github.com/fibership/fibership/test/loadgen"
)

// gated is a place whose production is reached by a gateway.
type gated struct {
	*place
	gateway testcluster.Gateway
	host    string
}

func newGated(t *testing.T, gateway func(testing.TB) testcluster.Gateway) *gated {
	p := newPlace(t)
	return &gated{place: p, gateway: gateway(t), host: p.production + ".test"}
}

// promote runs with what steers by the gateway.
func (g *gated) promote(exit int, inputs map[string]string) string {
	g.t.Helper()
	return g.run(exit, "promote", g.inputs(inputs)).Log
}

func (g *gated) inputs(more map[string]string) map[string]string {
	all := map[string]string{"traffic": "gateway", "host": g.host, "gateway": g.gateway.Namespace + "/" + g.gateway.Name, "steps": "20%,50%"}
	for name, value := range more {
		all[name] = value
	}
	return all
}

// load is a constant load by the gateway, once that knows the host.
func (g *gated) load(rate int) *loadgen.Load {
	g.t.Helper()
	testcluster.Eventually(g.t, time.Minute, "the gateway to know "+g.host, func(ctx context.Context) bool {
		answer, err := g.ask(ctx)
		return err == nil && strings.Contains(answer, `"version"`)
	})
	return loadgen.StartAt(g.gateway.URL+"/", g.host, rate, true)
}

func (g *gated) ask(ctx context.Context) (string, error) {
	return ask(ctx, &http.Client{Transport: hosted(g.host)}, g.gateway.URL+"/")
}

// hosted sends requests for a host.
type hosted string

func (h hosted) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Host = string(h)
	return fresh.Transport.RoundTrip(r)
}

// route is the backends of the route's first rule, "web 100, web-canary 0".
func (g *gated) route() string {
	g.t.Helper()
	u, err := g.Client.Get(g.t.Context(), traffic.RouteObject(g.production, "web"))
	if err != nil || u == nil {
		g.t.Fatalf("route: %v", err)
	}
	rules, _, _ := unstructured.NestedSlice(u.Object, "spec", "rules")
	rule, _ := rules[0].(map[string]any)
	refs, _ := rule["backendRefs"].([]any)
	var told []string
	for _, r := range refs {
		ref, _ := r.(map[string]any)
		told = append(told, fmt.Sprintf("%v %v", ref["name"], ref["weight"]))
	}
	return strings.Join(told, ", ")
}

func (g *gated) home() {
	g.t.Helper()
	if route := g.route(); route != "web 100, web-canary 0" {
		g.t.Errorf("the route leads to %s, want web 100, web-canary 0", route)
	}
}

func TestGateway_walksTheCanaryUnderLoadAndLosesNoRequest(t *testing.T) {
	g := newGated(t, testcluster.SharedGateway)
	one, two := g.image("1"), g.image("2")
	g.deploy(one, nil)
	g.promote(0, map[string]string{"watch": "0s"})
	g.home()
	g.deploy(two, nil)
	load := g.load(100)
	log := g.promote(0, map[string]string{"analysis": "restarts < 1\nerror-rate < 1%", "on-inconclusive": "hold"})
	contains(t, log, "canary at 20%: requests show it", "canary at 50%: requests show it", "no request reached what stands beside for")
	g.plain(two)
	g.home()
	g.run(0, "rollback", nil)
	if counts := load.Stop(); counts.Failed > 0 || counts.Sent < 1000 {
		t.Errorf("requests: %v", counts)
	}
	g.plain(one)
	g.home()
	// Our own patches are no reason to deploy again.
	g.deploy(one, nil)
	contains(t, g.promote(0, nil), "nothing to change")
}

func TestGateway_abortsACanaryThatErrsAndLosesNoRequest(t *testing.T) {
	g := newGated(t, testcluster.SharedGateway)
	one, two := g.image("1"), g.image("2")
	g.deploy(one, nil)
	g.promote(0, map[string]string{"watch": "0s"})
	g.deploy(two, nil)
	load := g.load(100)
	// It does worse than wanted and yet answers, so that every request that
	// fails is one that was lost.
	log := g.promote(1, map[string]string{"env": "LATENCY=300ms", "analysis": "p95 < 200ms", "step-duration": "30s"})
	if counts := load.Stop(); counts.Failed > 0 || counts.Sent < 500 {
		t.Errorf("requests: %v", counts)
	}
	contains(t, log, "p95 < 200ms", "release 1 serves", "no request reached what stands beside for")
	g.plain(one)
	g.home()
	g.deploy(one, nil)
	contains(t, g.promote(0, nil), "nothing to change")
}

func TestGateway_switchesFromBlueToGreenAndBack(t *testing.T) {
	g := newGated(t, testcluster.SharedGateway)
	one, two := g.image("1"), g.image("2")
	g.deploy(one, nil)
	g.promote(0, map[string]string{"watch": "0s"})
	g.deploy(two, nil)
	load := g.load(100)
	log := g.promote(1, blueGreen(map[string]string{"env": "LATENCY=300ms", "analysis": "p95 < 200ms", "watch": "30s"}))
	contains(t, log, "green at 100%: requests show it", "release 1 serves")
	g.plain(one)
	log = g.promote(0, blueGreen(nil))
	contains(t, log, "green at 100%: requests show it")
	if counts := load.Stop(); counts.Failed > 0 || counts.Sent < 1000 {
		t.Errorf("requests: %v", counts)
	}
	g.plain(two)
	g.home()
}

// patient is manifests of a service that goes on for longer than a slow gateway
// takes to hear.
const patient = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  strategy: {rollingUpdate: {maxUnavailable: 0, maxSurge: 1}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 60
      containers:
        - name: web
          image: IMAGE
          env: [{name: PORT, value: "8080"}, {name: LATENCY, value: "SLOWNESS"}]
          ports: [{containerPort: 8080}]
          readinessProbe: {httpGet: {path: /readyz, port: 8080}, periodSeconds: 1, timeoutSeconds: 5}
          lifecycle: {preStop: {sleep: {seconds: 40}}}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
`

func TestGateway_thatIsSlowLosesNoRequest(t *testing.T) {
	g := newGated(t, testcluster.SlowGateway)
	one, two := g.image("1"), g.image("2")
	// Nobody's release has the route: it is somebody's who looks after gateways.
	g.apply(fmt.Sprintf(`{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: web, namespace: %s}, spec: {
		hostnames: [%s], parentRefs: [{namespace: %s, name: %s}], rules: [{backendRefs: [{name: web, port: 80}]}]}}`,
		g.production, g.host, g.gateway.Namespace, g.gateway.Name))
	steer := func(more map[string]string) map[string]string {
		all := map[string]string{"host": "", "gateway": "", "route": "web", "manifests": "web.yaml", "steps": "50%", "timeout": "3m"}
		for name, value := range more {
			all[name] = value
		}
		return all
	}
	g.file("web.yaml", strings.ReplaceAll(patient, "SLOWNESS", "0s"))
	g.deploy(one, nil)
	g.promote(0, steer(nil))
	g.deploy(two, nil)
	load := g.load(50)
	g.file("web.yaml", strings.ReplaceAll(patient, "SLOWNESS", "300ms"))
	log := g.promote(1, steer(map[string]string{"analysis": "p95 < 200ms", "step-duration": "30s"}))
	contains(t, log, "p95 < 200ms", "release 1 serves", "no request reached what stands beside for")
	g.plain(one)
	if route := g.route(); route != "web 1" {
		t.Errorf("the route leads to %s, want web 1 as it did before", route)
	}
	g.file("web.yaml", strings.ReplaceAll(patient, "SLOWNESS", "1ms"))
	log = g.promote(0, steer(nil))
	contains(t, log, "canary at 50%: requests show it after", "no request reached what stands beside for")
	g.plain(two)
	g.home()
	if counts := load.Stop(); counts.Failed > 0 || counts.Sent < 1000 {
		t.Errorf("requests: %v", counts)
	}
}

// apply applies a manifest that is no release's.
func (p *place) apply(text string) {
	p.t.Helper()
	u := decodeYAML(p.t, text)
	if _, err := p.Client.Apply(p.t.Context(), u, cluster.ApplyOptions{}); err != nil {
		p.t.Fatal(err)
	}
}

func decodeYAML(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := new(unstructured.Unstructured)
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	return u
}

func TestGateway_refusesARouteThatIsNotThere(t *testing.T) {
	g := newGated(t, testcluster.SharedGateway)
	g.deploy(g.image("1"), nil)
	g.run(0, "promote", map[string]string{"strategy": "rolling", "watch": "0s"})
	g.deploy(g.image("2"), nil)
	for _, c := range []struct {
		inputs map[string]string
		exit   int
		says   string
	}{
		{map[string]string{"traffic": "gateway"}, 1, "the manifests have 0 HTTPRoutes, and the input route names none"},
		{map[string]string{"traffic": "gateway", "route": "nowhere"}, 1, "there is no HTTPRoute nowhere"},
		{map[string]string{"traffic": "gateway", "route": "nowhere", "dry-run": "true"}, 1, "there is no HTTPRoute nowhere"},
		{map[string]string{"route": "web"}, 2, "expected traffic: gateway beside it"},
	} {
		o := g.run(c.exit, "promote", c.inputs)
		contains(t, o.Log, c.says)
		if status := o.Outputs["status"]; c.exit == 1 && status != "refused" {
			t.Errorf("%v: status %q, want refused", c.inputs, status)
		}
	}
	if h := g.history("production", g.production); len(h) != 1 {
		t.Errorf("%d releases, want the one before", len(h))
	}
	services, err := g.Client.Kube.CoreV1().Services(g.production).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(services.Items) != 1 {
		t.Errorf("%d services, %v; want web alone", len(services.Items), err)
	}
}
