package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/test/loadgen"
)

// scenario is one way to change what serves, under constant load.
type scenario struct {
	name    string
	inputs  map[string]string // of promote
	gateway gateway           // zero: users come by the Service
	fault   string            // the new version's environment; it must be aborted then. Empty: it must be promoted.
	back    bool              // a promotion that passed is rolled back, and only that is measured
	drain   int               // seconds; 0: the usual
	rounds  int               // 0: as asked for
}

// gateway is a Gateway of the cluster: namespace/name@URL.
type gateway struct{ parent, url string }

func parseGateway(text string) (gateway, error) {
	parent, url, ok := strings.Cut(text, "@")
	if !ok || !strings.Contains(parent, "/") {
		return gateway{}, fmt.Errorf("%q is no gateway, namespace/name@URL", text)
	}
	return gateway{parent, url}, nil
}

// slower is a new version that fails no request and is too slow all the same.
const slower = `{name: LATENCY, value: 300ms}`

func scenarios(shared, slow gateway) []scenario {
	pace := map[string]string{"step-duration": pause.String(), "analysis": "error-rate < 1%\np50 < 200ms", "metrics": "pods"}
	with := func(more ...string) map[string]string {
		inputs := maps.Clone(pace)
		for i := 0; i < len(more); i += 2 {
			inputs[more[i]] = more[i+1]
		}
		return inputs
	}
	gatewayed := func(strategy string) map[string]string {
		return with("strategy", strategy, "traffic", "gateway", "route", "web")
	}
	return []scenario{
		{name: "rolling", inputs: with("strategy", "rolling", "watch", pause.String())},
		{name: "canary by replicas", inputs: with("strategy", "canary", "watch", pause.String())},
		{name: "blue-green", inputs: with("strategy", "blue-green", "watch", pause.String())},
		{name: "canary by gateway", inputs: gatewayed("canary"), gateway: shared},
		{name: "blue-green by gateway", inputs: gatewayed("blue-green"), gateway: shared},
		{name: "canary by replicas, aborted", inputs: with("strategy", "canary"), fault: slower},
		{name: "canary by gateway, aborted", inputs: gatewayed("canary"), gateway: shared, fault: slower},
		{name: "blue-green, aborted", inputs: with("strategy", "blue-green", "watch", "30s"), fault: slower},
		{name: "rollback", inputs: with("strategy", "rolling"), back: true},
		{name: "canary by a gateway that is 20 s late", inputs: gatewayed("canary"), gateway: slow, drain: 25, rounds: 2},
	}
}

// lost is what a scenario cost users.
type lost struct {
	name         string
	runs         int
	sent, failed int
	kinds        map[string]int
	took         []time.Duration
}

// run plays the scenario again and again.
func (s scenario) run(ctx context.Context, client *cluster.Client, bin string, images [2]string, rounds int) (l lost, err error) {
	l = lost{name: s.name, kinds: map[string]int{}}
	if s.rounds > 0 {
		rounds = min(rounds, s.rounds)
	}
	if s.drain > 0 {
		defer func(usual int) { drain = usual }(drain)
		drain = s.drain
	}
	p, err := newPlace(ctx, client, bin, images)
	defer func() { err = errors.Join(err, p.remove(ctx)) }()
	if err != nil {
		return l, err
	}
	url, err := s.begin(ctx, p)
	if err != nil {
		return l, err
	}
	for range rounds {
		if err := s.round(ctx, p, url, &l); err != nil {
			return l, fmt.Errorf("run %d: %w", l.runs+1, err)
		}
	}
	return l, nil
}

// begin brings the first version to production and gives the URL of users.
func (s scenario) begin(ctx context.Context, p *place) (string, error) {
	if err := p.write("production.yaml", manifests(replicas, "")+s.route(p)); err != nil {
		return "", err
	}
	if err := p.pass(ctx, 0); err != nil {
		return "", err
	}
	if _, err := p.promote(ctx, 0, map[string]string{"strategy": "rolling"}); err != nil {
		return "", err
	}
	p.live = 0
	if s.gateway.url != "" {
		return s.gateway.url + "/", s.answers(ctx, p)
	}
	svc, err := p.client.Kube.CoreV1().Services(p.production).Get(ctx, "web", metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("http://%s/", svc.Spec.ClusterIP), nil
}

// host tells this place's requests from those of others at the same Gateway.
func (p *place) host() string { return p.production + ".test" }

func (s scenario) route(p *place) string {
	if s.gateway.parent == "" {
		return ""
	}
	namespace, name, _ := strings.Cut(s.gateway.parent, "/")
	return fmt.Sprintf(`---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web}
spec:
  hostnames: [%[3]s]
  parentRefs: [{namespace: %[1]s, name: %[2]s}]
  rules:
    - matches: [{path: {type: PathPrefix, value: /}}]
      backendRefs: [{name: web, port: 80}]
`, namespace, name, p.host())
}

// answers waits until the Gateway leads to the service.
func (s scenario) answers(ctx context.Context, p *place) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.gateway.url+"/", nil)
		if err != nil {
			return err
		}
		request.Host = p.host()
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("gateway %s does not lead to the service: %w", s.gateway.parent, context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (s scenario) round(ctx context.Context, p *place, url string, l *lost) error {
	to := 1 - p.live
	if err := p.pass(ctx, to); err != nil {
		return err
	}
	if err := p.write("production.yaml", manifests(replicas, s.fault)+s.route(p)); err != nil {
		return err
	}
	exit := 0
	if s.fault != "" {
		exit = 1
	}
	if s.back {
		if _, err := p.promote(ctx, exit, s.inputs); err != nil {
			return err
		}
	}
	if err := p.quiet(ctx); err != nil {
		return err
	}
	users := s.users(p, url)
	began := time.Now()
	var err error
	if s.back {
		_, err = p.action(ctx, "rollback", 0, map[string]string{"environment": "production", "namespace": p.production})
	} else {
		_, err = p.promote(ctx, exit, s.inputs)
	}
	took := time.Since(began)
	if err == nil {
		err = p.quiet(ctx) // whatever still ends, ends under load
	}
	counts := users.stop()
	if err != nil {
		return err
	}
	if !s.back && s.fault == "" {
		p.live = to
	}
	l.runs++
	l.took = append(l.took, took)
	l.sent, l.failed = l.sent+counts.Sent, l.failed+counts.Failed
	for kind, n := range counts.Kinds {
		l.kinds[kind] += n
	}
	fmt.Fprintf(os.Stderr, "%s, run %d: %v, %v\n", s.name, l.runs, took.Round(10*time.Millisecond), counts)
	return nil
}

// quiet waits until no pod ends any more.
func (p *place) quiet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		pods, err := p.client.Kube.CoreV1().Pods(p.production).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		if still(pods.Items) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until no pod of production ends any more: %w", context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func still(pods []corev1.Pod) bool {
	for _, pod := range pods {
		if pod.DeletionTimestamp != nil {
			return false
		}
	}
	return len(pods) == replicas
}

// users are half of those whose connections are kept, half of those who open
// one for each request.
type users [2]*loadgen.Load

func (s scenario) users(p *place, url string) users {
	if s.gateway.url == "" {
		return start(url)
	}
	return users{loadgen.StartAt(url, p.host(), *rate/2, true), loadgen.StartAt(url, p.host(), *rate-*rate/2, false)}
}

func start(url string) users {
	return users{loadgen.Start(url, *rate/2, true), loadgen.Start(url, *rate-*rate/2, false)}
}

func (u users) stop() loadgen.Counts {
	a, b := u[0].Stop(), u[1].Stop()
	a.Sent += b.Sent
	a.Failed += b.Failed
	if a.Kinds == nil {
		a.Kinds = map[string]int{}
	}
	for kind, n := range b.Kinds {
		a.Kinds[kind] += n
	}
	if !b.First.IsZero() && (a.First.IsZero() || b.First.Before(a.First)) {
		a.First = b.First
	}
	if b.Last.After(a.Last) {
		a.Last = b.Last
	}
	return a
}
