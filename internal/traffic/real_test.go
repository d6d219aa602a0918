package traffic_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/progress"
	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/testcluster"
	"github.com/fibership/fibership/internal/traffic"
)

var httproutes = schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"}

// place is a live version with a route whose gateway is the test.
type place struct {
	*testcluster.T
	t       *testing.T
	objects []*unstructured.Unstructured // of the live release, and of the new one
	front   release.Object
}

const objects = `
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
---
apiVersion: v1
kind: Service
metadata: {name: web, labels: {fibership.dev/service: web, fibership.dev/environment: production}}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 3000}]}
---
apiVersion: v1
kind: Service
metadata: {name: web-canary}
spec: {selector: {app: web, fibership.dev/track: canary}, ports: [{port: 80, targetPort: 3000}]}
`

func newPlace(t *testing.T) *place {
	t.Helper()
	t.Parallel()
	p := &place{T: testcluster.New(t), t: t}
	image := testcluster.PushVersion(t, "traffic/web", "1")
	for text := range strings.SplitSeq(strings.ReplaceAll(objects, "IMAGE", image), "---\n") {
		u := p.decode(text)
		p.apply(u)
		p.objects = append(p.objects, u)
	}
	p.front = release.Object{APIVersion: "v1", Kind: "Service", Namespace: p.Namespace, Name: "web"}
	testcluster.Eventually(t, time.Minute, "the live version", func(ctx context.Context) bool {
		d, err := p.Client.Kube.AppsV1().Deployments(p.Namespace).Get(ctx, "web", metav1.GetOptions{})
		return err == nil && d.Status.AvailableReplicas == 1
	})
	return p
}

func (p *place) decode(text string) *unstructured.Unstructured {
	p.t.Helper()
	u := new(unstructured.Unstructured)
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		p.t.Fatal(err)
	}
	u.SetNamespace(p.Namespace)
	return u
}

func (p *place) apply(u *unstructured.Unstructured) {
	p.t.Helper()
	if _, err := p.Client.Apply(p.t.Context(), u, cluster.ApplyOptions{}); err != nil {
		p.t.Fatal(err)
	}
}

// route makes the route web with the rules, by hands that are not ours.
func (p *place) route(rules, more string) {
	p.t.Helper()
	u := p.decode(fmt.Sprintf(`{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: web%s}, spec: {parentRefs: [{name: nobody}], rules: %s}}`, more, rules))
	if _, err := p.routes().Create(p.t.Context(), u, metav1.CreateOptions{FieldManager: "a person"}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) routes() dynamic.ResourceInterface {
	return p.Client.Dynamic.Resource(httproutes).Namespace(p.Namespace)
}

// observe is the gateway: it tells of every generation that it has accepted it,
// until the test ends.
func (p *place) observe() {
	ctx, cancel := context.WithCancel(p.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				p.tell(ctx)
			}
		}
	}()
	p.t.Cleanup(func() { cancel(); <-done })
}

func (p *place) tell(ctx context.Context) {
	u, err := p.routes().Get(ctx, "web", metav1.GetOptions{})
	if err != nil {
		return
	}
	var conditions []any
	for _, kind := range []string{"Accepted", "ResolvedRefs"} {
		conditions = append(conditions, map[string]any{
			"type": kind, "status": "True", "reason": kind, "message": "", "observedGeneration": u.GetGeneration(), "lastTransitionTime": time.Now().UTC().Format(time.RFC3339),
		})
	}
	u.Object["status"] = map[string]any{"parents": []any{map[string]any{
		"controllerName": "test.example/gateway", "parentRef": map[string]any{"name": "nobody"}, "conditions": conditions,
	}}}
	_, _ = p.routes().UpdateStatus(ctx, u, metav1.UpdateOptions{}) // the next look does it again
}

// backends is the route's rules, "web 1 | other 1".
func (p *place) backends() string {
	p.t.Helper()
	u, err := p.routes().Get(p.t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	rules, _, _ := unstructured.NestedSlice(u.Object, "spec", "rules")
	var all []string
	for _, r := range rules {
		rule, _ := r.(map[string]any)
		refs, _ := rule["backendRefs"].([]any)
		var told []string
		for _, b := range refs {
			ref, _ := b.(map[string]any)
			told = append(told, fmt.Sprintf("%v %v", ref["name"], ref["weight"]))
		}
		all = append(all, strings.Join(told, ", "))
	}
	return strings.Join(all, " | ")
}

func (p *place) gateway(route string) (*traffic.Gateway, error) {
	return traffic.NewGateway(p.t.Context(), p.Client, p.objects, p.objects, p.front, route)
}

func TestGateway_refusesWhatItCannotSteer(t *testing.T) {
	for name, c := range map[string]struct {
		rules, more string // of the route; empty: there is none
		silent      bool   // no gateway knows it
		route       string
		err         string
	}{
		"no route":             {route: "web", err: "there is no HTTPRoute web"},
		"none named":           {err: "0 HTTPRoutes, and the input route names none"},
		"other backends":       {rules: "[{backendRefs: [{name: web, port: 80}, {name: old, port: 80}]}]", route: "web", err: "rule 1 of HTTPRoute web has the backends Service web, Service old"},
		"not the service's":    {rules: "[{backendRefs: [{name: old, port: 80}]}]", route: "web", err: "no rule of HTTPRoute web has service web"},
		"another service's":    {rules: "[{backendRefs: [{name: web, port: 80}]}]", more: ", labels: {fibership.dev/service: shop}", route: "web", err: "its label fibership.dev/service is shop"},
		"a controller's":       {rules: "[{backendRefs: [{name: web, port: 80}]}]", more: ", ownerReferences: [{apiVersion: flagger.app/v1, kind: Canary, name: web, uid: 1-2, controller: true}]", route: "web", err: "owned by Canary web"},
		"known to no gateway":  {rules: "[{backendRefs: [{name: web, port: 80}]}]", silent: true, route: "web", err: "gateway nobody has not taken it"},
		"in another namespace": {rules: "[{backendRefs: [{name: web, port: 80}]}]", route: "default/web", err: "no HTTPRoute web in namespace default"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			if c.rules != "" {
				p.route(c.rules, c.more)
			}
			if !c.silent {
				p.observe()
			}
			if _, err := p.gateway(c.route); err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%v, want %q", err, c.err)
			}
		})
	}
}

// notes keeps what was noted, and what the route was at that moment.
type notes struct {
	p      *place
	last   release.Steered
	before []string
}

func (n *notes) note(_ context.Context, s release.Steered) error {
	n.last = s
	n.before = append(n.before, n.p.backends())
	return nil
}

func TestGateway_shiftsAndLeadsBackAndTouchesNobodyElsesRules(t *testing.T) {
	p := newPlace(t)
	p.route("[{backendRefs: [{name: other, port: 80}]}, {backendRefs: [{name: web, port: 80}]}]", "")
	p.observe()
	g, err := p.gateway("web")
	if err != nil {
		t.Fatal(err)
	}
	n := &notes{p: p}
	ctx := t.Context()
	if err := g.Hold(ctx, n.note); err != nil {
		t.Fatal(err)
	}
	if s, err := p.Client.Kube.CoreV1().Services(p.Namespace).Get(ctx, "web", metav1.GetOptions{}); err != nil || s.Spec.Selector["pod-template-hash"] == "" || s.Spec.Selector["app"] != "web" {
		t.Errorf("the held service selects %v, %v", s.Spec.Selector, err)
	}
	if reached, err := g.Shift(ctx, 30, n.note); err != nil || reached != 30 {
		t.Fatalf("shifted to %v, %v", reached, err)
	}
	if got := p.backends(); got != "other 1 | web 70, web-canary 30" {
		t.Errorf("the route leads to %s", got)
	}
	// Somebody puts a rule before ours: it is found again.
	p.patch(`[{"op":"add","path":"/spec/rules/0","value":{"backendRefs":[{"name":"third","port":80}]}}]`)
	if _, err := g.Shift(ctx, 60, n.note); err != nil {
		t.Fatal(err)
	}
	if got := p.backends(); got != "third 1 | other 1 | web 40, web-canary 60" {
		t.Errorf("the route leads to %s", got)
	}
	if got := n.before[len(n.before)-1]; got != "third 1 | other 1 | web 70, web-canary 30" {
		t.Errorf("the shift was noted when the route led to %s", got)
	}
	var again release.Steered // as the next run reads it
	raw, err := json.Marshal(n.last)
	if err == nil {
		err = json.Unmarshal(raw, &again)
	}
	if err != nil || again.Route.Weight != 60 || again.Away() {
		t.Fatalf("noted: %s, %v", raw, err)
	}
	if err := traffic.Back(ctx, p.Client, *again.Route, false, progress.Discard); err != nil {
		t.Fatal(err)
	}
	if got := p.backends(); got != "third 1 | other 1 | web 1" {
		t.Errorf("led back, the route leads to %s", got)
	}
	if err := traffic.Observed(ctx, p.Client, *again.Route); err != nil {
		t.Error(err)
	}
}

func TestGateway_stopsWhereSomebodyElseSteers(t *testing.T) {
	p := newPlace(t)
	p.route("[{backendRefs: [{name: web, port: 80}]}]", "")
	p.observe()
	g, err := p.gateway("web")
	if err != nil {
		t.Fatal(err)
	}
	n := &notes{p: p}
	if _, err := g.Shift(t.Context(), 30, n.note); err != nil {
		t.Fatal(err)
	}
	p.patch(`[{"op":"add","path":"/spec/rules/0/backendRefs/-","value":{"name":"theirs","port":80,"weight":10}}]`)
	if _, err := g.Shift(t.Context(), 60, n.note); err == nil || !strings.Contains(err.Error(), "changed by somebody else") {
		t.Errorf("shifted over somebody's change: %v", err)
	}
	if got := p.backends(); got != "web 70, web-canary 30, theirs 10" {
		t.Errorf("the route leads to %s", got)
	}
	if err := traffic.Back(t.Context(), p.Client, *n.last.Route, false, progress.Discard); err != nil {
		t.Fatal(err)
	}
	if got := p.backends(); got != "web 100, web-canary 0, theirs 10" {
		t.Errorf("led back, the route leads to %s", got)
	}
	if err := p.routes().Delete(t.Context(), "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := traffic.Back(t.Context(), p.Client, *n.last.Route, false, progress.Discard); err != nil {
		t.Errorf("a route that is gone: %v", err)
	}
}

// What is applied conflicts with others' changes, not with our own patches.
func TestApply_goesOverOurOwnPatches(t *testing.T) {
	p := newPlace(t)
	ours := p.decode(`{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: web}, spec: {parentRefs: [{name: nobody}],
		rules: [{backendRefs: [{name: web, port: 80, weight: 100}, {name: web-canary, port: 80, weight: 0}]}]}}`)
	p.apply(ours)
	p.observe()
	g, err := p.gateway("web")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.Shift(t.Context(), 30, (&notes{p: p}).note); err != nil {
		t.Fatal(err)
	}
	p.apply(ours)
	if got := p.backends(); got != "web 100, web-canary 0" {
		t.Errorf("applied, the route leads to %s", got)
	}
	p.patch(`[{"op":"replace","path":"/spec/rules/0/backendRefs/0/weight","value":50}]`)
	if _, err := p.Client.Apply(t.Context(), ours, cluster.ApplyOptions{}); err == nil || !strings.Contains(err.Error(), "a person holds") {
		t.Errorf("applied over a person's change: %v", err)
	}
}

// patch is somebody else's.
func (p *place) patch(operations string) {
	p.t.Helper()
	if _, err := p.routes().Patch(p.t.Context(), "web", types.JSONPatchType, []byte(operations), metav1.PatchOptions{FieldManager: "a person"}); err != nil {
		p.t.Fatal(err)
	}
}
