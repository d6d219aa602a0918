package e2e

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/fibership/fibership/internal/testcluster"
	"github.com/fibership/fibership/test/loadgen"
)

// prometheus runs a real Prometheus that scrapes production every second, and
// gives its URL as a service of the cluster.
func (p *place) prometheus() string {
	p.t.Helper()
	ctx := p.t.Context()
	nodes, err := p.Client.Kube.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil || len(nodes.Items) == 0 {
		p.t.Fatalf("no node: %v", err)
	}
	at, err := url.Parse(testcluster.StartPrometheus(p.t, nodes.Items[0].Status.Addresses[0].Address, p.PodScrapes(p.t, p.production, 8080)))
	if err != nil {
		p.t.Fatal(err)
	}
	_, text, err := net.SplitHostPort(at.Host)
	if err != nil {
		p.t.Fatal(err)
	}
	number, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		p.t.Fatal(err)
	}
	// A pod in the node's network lends it an address that the API server's
	// proxy leads to.
	meta := metav1.ObjectMeta{Name: "prometheus", Labels: map[string]string{"app": "prometheus"}}
	pod := &corev1.Pod{ObjectMeta: meta, Spec: corev1.PodSpec{
		HostNetwork: true, Containers: []corev1.Container{{Name: "pause", Image: p.Registry + "/pause:1"}},
	}}
	if _, err := p.Client.Kube.CoreV1().Pods(p.staging).Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		p.t.Fatal(err)
	}
	service := &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{
		Selector: meta.Labels, Ports: []corev1.ServicePort{{Port: 9090, TargetPort: intstr.FromInt32(int32(number))}},
	}}
	if _, err := p.Client.Kube.CoreV1().Services(p.staging).Create(ctx, service, metav1.CreateOptions{}); err != nil {
		p.t.Fatal(err)
	}
	eventually(p.t, "Prometheus through the API server", func(ctx context.Context) bool {
		return p.Client.Kube.CoreV1().RESTClient().Get().Namespace(p.staging).Resource("services").Name("prometheus:9090").
			SubResource("proxy").Suffix("-/ready").Do(ctx).Error() == nil
	})
	return fmt.Sprintf("http://prometheus.%s.svc:9090", p.staging)
}

// failing is the share of requests that the version answers with an error.
const failing = `(sum(increase(http_requests_total{namespace=\"{{namespace}}\",version=~\"{{version}}\",code=~\"5..\"}[{{window}}])) or vector(0))` +
	` / sum(increase(http_requests_total{namespace=\"{{namespace}}\",pod=~\".+-{{version}}-.+\"}[{{window}}]))`

func TestPromote_isJudgedByPrometheus(t *testing.T) {
	p := newPlace(t)
	one, two, three := p.image("1"), p.image("2"), p.image("3")
	p.deploy(one, nil)
	p.run(0, "promote", map[string]string{"strategy": "rolling", "watch": "0s"})
	inputs := map[string]string{
		"metrics": "prometheus", "prometheus-url": p.prometheus(), "steps": "50%", "step-duration": "8s", "watch": "6s", "on-inconclusive": "hold",
		"analysis": "restarts < 1\nerror-rate < 5%\np95 < 2s\nquery(\"" + failing + "\") < 0.05",
	}
	load := loadgen.Start(p.url(p.production), 50, true)
	defer load.Stop()

	p.deploy(two, nil)
	o := p.run(0, "promote", inputs)
	outputs(t, o, map[string]string{"status": "succeeded", "release": "2", "verdict": "pass", "weight": "100"})
	contains(t, o.Log, "requests, 0.00% errors")

	p.deploy(three, nil)
	bad := with(inputs, "env", "FAIL_RATE=0.5")
	bad["analysis"] = "query(\"" + failing + "\") < 0.05" // by the query alone
	o = p.run(1, "promote", bad)
	outputs(t, o, map[string]string{"status": "rolled-back", "release": "3", "verdict": "fail", "weight": "50"})
	contains(t, o.Log, "query(", "release 2 serves")
	if images := p.images(p.production); len(images) != 1 || images[0] != two {
		t.Errorf("pods run %v, want %s alone", images, two)
	}
}

func TestPromote_beginsNothingWithoutItsPrometheus(t *testing.T) {
	p := newPlace(t)
	p.deploy(p.image("1"), nil)
	o := p.run(1, "promote", map[string]string{"metrics": "prometheus", "prometheus-url": "http://127.0.0.1:9", "analysis": "error-rate < 1%"})
	outputs(t, o, map[string]string{"status": "refused"})
	contains(t, o.Log, "nothing was begun", "connection refused")
	p.run(2, "promote", map[string]string{"analysis": `query("up") > 0`})
	p.run(2, "promote", map[string]string{"prometheus-url": "prometheus:9090"})
	p.nothing(p.production)
}
