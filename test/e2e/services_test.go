package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fibership/fibership/internal/history"
	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/testcluster"
	"github.com/fibership/fibership/test/loadgen"
)

// pair is two services in one namespace that belong together.
type pair struct {
	*place
	images map[string][2]string // by service
}

var pairs = []string{"orders", "cart"}

// newPair has version 1 of both in production, and version 2 passed in staging.
func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{place: newPlace(t), images: map[string][2]string{}}
	for _, service := range pairs {
		p.images[service] = [2]string{testcluster.PushVersion(t, "e2e/"+service, "1"), testcluster.PushVersion(t, "e2e/"+service, "2")}
		p.write(service, "")
		p.pass(service, 0)
	}
	p.run(0, "promote", p.together("strategy", "rolling", "watch", "0s"))
	for _, service := range pairs {
		p.pass(service, 1)
	}
	return p
}

// write puts a service's manifests into its own folder; env is more of its
// environment.
func (p *pair) write(service, env string) {
	p.t.Helper()
	p.file("deploy/"+service+"/web.yaml", fmt.Sprintf(member, service, env))
}

func (p *pair) pass(service string, version int) {
	p.t.Helper()
	p.deploy(p.images[service][version], map[string]string{"service": service, "manifests": "deploy/" + service})
}

func (p *pair) together(more ...string) map[string]string {
	inputs := map[string]string{"service": "", "services": strings.Join(pairs, "\n"), "manifests": "deploy", "steps": "50%"}
	for i := 0; i < len(more); i += 2 {
		inputs[more[i]] = more[i+1]
	}
	return inputs
}

// member is one of the two. A busy machine makes no pod of it unready, and loses
// no request while the network learns of a pod's end.
const member = `apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s}
spec:
  replicas: 1
  selector: {matchLabels: {app: %[1]s}}
  strategy: {rollingUpdate: {maxUnavailable: 0}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      containers:
        - name: web
          image: IMAGE
          env: [%[2]s]
          ports: [{containerPort: 3000}]
          readinessProbe: {httpGet: {path: /readyz, port: 3000}, periodSeconds: 1, timeoutSeconds: 5}
          lifecycle: {preStop: {sleep: {seconds: 5}}}
---
apiVersion: v1
kind: Service
metadata: {name: %[1]s}
spec:
  selector: {app: %[1]s}
  ports: [{port: 80, targetPort: 3000}]
`

// versions is what each service runs in production, 1 or 2; a service that
// runs more than one fails the test.
func (p *pair) versions() map[string]int {
	p.t.Helper()
	found := map[string]int{}
	for _, service := range pairs {
		pods, err := p.Client.Kube.CoreV1().Pods(p.production).List(p.t.Context(), metav1.ListOptions{LabelSelector: "app=" + service})
		if err != nil {
			p.t.Fatal(err)
		}
		for _, pod := range pods.Items {
			if pod.DeletionTimestamp != nil {
				continue
			}
			version := 1
			if pod.Spec.Containers[0].Image == p.images[service][1] {
				version = 2
			}
			if was := found[service]; was != 0 && was != version {
				p.t.Errorf("%s runs both versions", service)
			}
			found[service] = version
		}
	}
	return found
}

func (p *pair) records(service string) release.History {
	p.t.Helper()
	h, err := history.Open(p.Client, service, "production", p.production).List(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	return h
}

func TestServices_arePromotedTogetherAndLoseNoRequest(t *testing.T) {
	p := newPair(t)
	url := p.clusterURL("orders")
	load := loadgen.Start(url, 50, true)
	o := p.run(0, "promote", p.together("analysis", "restarts < 1"))
	counts := load.Stop()
	if counts.Failed > 0 || counts.Sent < 100 {
		t.Errorf("requests: %v", counts)
	}
	var told []struct {
		Service, Status, Verdict string
		Release, Weight          int
	}
	if err := json.Unmarshal([]byte(o.Outputs["services"]), &told); err != nil {
		t.Fatalf("output services: %v: %s", err, o.Outputs["services"])
	}
	for i, service := range pairs {
		if s := told[i]; s.Service != service || s.Status != "succeeded" || s.Verdict != "pass" || s.Release != 2 || s.Weight != 100 {
			t.Errorf("output services: %+v", s)
		}
		live, _ := p.records(service).Live()
		if live.Revision != 2 || live.Group == nil || live.Group.Leader() != "orders" {
			t.Errorf("%s: release %d is live, of group %+v", service, live.Revision, live.Group)
		}
	}
	if v := p.versions(); v["orders"] != 2 || v["cart"] != 2 {
		t.Errorf("production runs %v", v)
	}
	contains(t, o.Log, "orders: canary at 50%", "cart: canary at 50%")
}

func TestServices_allReturnWhenOneFails(t *testing.T) {
	p := newPair(t)
	p.write("cart", `{name: CRASH_AFTER, value: "2s"}`)
	o := p.run(1, "promote", p.together("step-duration", "30s"))
	if v := p.versions(); v["orders"] != 1 || v["cart"] != 1 {
		t.Errorf("production runs %v, want what was there before", v)
	}
	orders, cart := p.records("orders")[0], p.records("cart")[0]
	if orders.Status != release.RolledBack || cart.Status != release.RolledBack {
		t.Errorf("orders is %s, cart is %s; want both rolled back", orders.Status, cart.Status)
	}
	if !strings.Contains(orders.Failure, "cart, which it is promoted together with, failed") {
		t.Errorf("orders says %q", orders.Failure)
	}
	contains(t, o.Log, "failed: canary at 50%") // by its restarts, or by its pod, whichever is seen first
	contains(t, o.Summary, "orders", "cart")
}

func TestServices_refusesWhatSaysSomethingOfOne(t *testing.T) {
	p := newPlace(t)
	o := p.run(2, "promote", map[string]string{"services": "orders\ncart", "service": "web", "image": "127.0.0.1:5000/e2e/web:1"})
	contains(t, o.Log, "service", "image", "beside services")
	p.nothing(p.production)
}

func (p *pair) clusterURL(service string) string {
	p.t.Helper()
	s, err := p.Client.Kube.CoreV1().Services(p.production).Get(p.t.Context(), service, metav1.GetOptions{})
	if err != nil {
		p.t.Fatal(err)
	}
	return fmt.Sprintf("http://%s:%d/", s.Spec.ClusterIP, s.Spec.Ports[0].Port)
}
