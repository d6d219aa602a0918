package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/fibership/fibership/test/bench/stage"
	"github.com/fibership/fibership/test/loadgen"
)

// scenario is one way to change what serves, under constant load.
type scenario struct {
	name    string
	inputs  map[string]string // of promote
	gateway gateway           // zero: users come by the Service
	fault   string            // the new version's environment; it must be aborted then. Empty: it must be promoted.
	back    bool              // a promotion that passed is rolled back, and only that is measured
	drain   int               // seconds that an ending pod serves on; 0: usual
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
	gatewayed := func(strategy string, more ...string) map[string]string {
		return with(append(more, "strategy", strategy, "traffic", "gateway", "route", "web")...)
	}
	return []scenario{
		{name: "rolling", inputs: with("strategy", "rolling", "watch", pause.String())},
		{name: "canary by replicas", inputs: with("strategy", "canary", "watch", pause.String())},
		{name: "blue-green", inputs: with("strategy", "blue-green", "watch", pause.String())},
		{name: "canary by gateway", inputs: gatewayed("canary"), gateway: shared},
		{name: "blue-green by gateway", inputs: gatewayed("blue-green"), gateway: shared},
		{name: "rolling, aborted in its watch", inputs: with("strategy", "rolling", "watch", "30s"), fault: slower},
		{name: "canary by replicas, aborted", inputs: with("strategy", "canary"), fault: slower},
		{name: "canary by gateway, aborted", inputs: gatewayed("canary"), gateway: shared, fault: slower},
		{name: "blue-green, aborted", inputs: with("strategy", "blue-green", "watch", "30s"), fault: slower},
		{name: "blue-green by gateway, aborted", inputs: gatewayed("blue-green", "watch", "30s"), gateway: shared, fault: slower},
		{name: "rollback", inputs: with("strategy", "rolling"), back: true},
		{name: "rollback by gateway", inputs: gatewayed("blue-green"), gateway: shared, back: true},
		{name: "canary by a gateway that is 20 s late", inputs: gatewayed("canary"), gateway: slow, drain: 25, rounds: 2},
		{name: "blue-green by a gateway that is 20 s late", inputs: gatewayed("blue-green"), gateway: slow, drain: 25, rounds: 2},
	}
}

// lost is what a scenario cost users.
type lost struct {
	name         string
	runs         int
	sent, failed int
	kinds        map[string]int
	took         []time.Duration
	err          error // of the run after the last that is counted
}

// run plays the scenario again and again.
func (s scenario) run(ctx context.Context, ground *stage.Stage, rounds int) lost {
	l := lost{name: s.name, kinds: map[string]int{}}
	if s.rounds > 0 {
		rounds = min(rounds, s.rounds)
	}
	l.err = s.play(ctx, ground, rounds, &l)
	return l
}

func (s scenario) play(ctx context.Context, ground *stage.Stage, rounds int, l *lost) (err error) {
	p, err := newPlace(ctx, ground)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Remove(ctx)) }()
	url, err := s.begin(ctx, p)
	if err != nil {
		return err
	}
	for range rounds {
		if err := s.round(ctx, p, url, l); err != nil {
			return err
		}
	}
	return nil
}

// begin brings the first version to production and gives the URL of users.
func (s scenario) begin(ctx context.Context, p *place) (string, error) {
	if err := p.Production.Write(stage.Web{Drain: s.drains()}.Manifests() + s.route(p)); err != nil {
		return "", err
	}
	if err := p.Pass(ctx, 0); err != nil {
		return "", err
	}
	if _, err := p.Promote(ctx, 0, map[string]string{"strategy": "rolling"}); err != nil {
		return "", err
	}
	if s.gateway.url == "" {
		return p.Production.URL(ctx)
	}
	url := s.gateway.url + "/"
	return url, answers(ctx, url, p.host())
}

// usual is what generated manifests have, and the README asks of all others.
const usual = 5

func (s scenario) drains() int { return cmp.Or(s.drain, usual) }

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

// answers waits until the URL leads to the service.
func answers(ctx context.Context, url, host string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err := stage.Every(ctx, func(ctx context.Context) (bool, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return false, err
		}
		request.Host = host
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return false, nil // not yet
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK, nil
	})
	if err != nil {
		return fmt.Errorf("wait until %s leads to the service: %w", url, err)
	}
	return nil
}

func (s scenario) round(ctx context.Context, p *place, url string, l *lost) error {
	to := 1 - p.live
	if err := p.Pass(ctx, to); err != nil {
		return err
	}
	if err := p.Production.Write(stage.Web{Env: s.fault, Drain: s.drains()}.Manifests() + s.route(p)); err != nil {
		return err
	}
	exit := 0
	if s.fault != "" {
		exit = 1
	}
	if s.back {
		if _, err := p.Promote(ctx, exit, s.inputs); err != nil {
			return err
		}
	}
	if err := p.Production.Quiet(ctx); err != nil {
		return err
	}
	users := s.users(p, url)
	began := time.Now()
	var err error
	if s.back {
		_, err = p.Production.Action(ctx, "rollback", 0, map[string]string{"environment": "production"})
	} else {
		_, err = p.Promote(ctx, exit, s.inputs)
	}
	took := time.Since(began)
	if err == nil {
		err = p.Production.Quiet(ctx) // whatever still ends, ends under load
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
