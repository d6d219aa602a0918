package e2e

import (
	mathrand "math/rand/v2"
	"net/http"
	"testing"

	"github.com/fibership/fibership/internal/deploy"
	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/test/kill"
)

// under promotes both services to a version by way of a proxy, which kills the
// run at the point, and gives how many requests it made.
func (p *pair) under(at kill.Point) int {
	p.t.Helper()
	proxy, err := kill.StartProxy(p.Client.REST, at)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = proxy.Close() }()
	step := p.step("promote", p.together("step-duration", "1s"))
	if step.Inputs["kubeconfig"], err = proxy.Kubeconfig(); err != nil {
		p.t.Fatal(err)
	}
	process, err := step.Start(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	proxy.Kills(process.Kill)
	o, err := process.Wait()
	if err != nil {
		p.t.Fatal(err)
	}
	line, _, err := proxy.Killed()
	if err != nil || line == "" && o.Exit != 0 {
		p.t.Fatalf("promote ended by itself with %d (%v); its log:\n%s", o.Exit, err, o.Log)
	}
	p.t.Logf("%v: %q", at, line)
	return proxy.Requests()
}

// decided says whether the leader's record holds that both have passed.
func (p *pair) decided(image string) bool {
	p.t.Helper()
	newest := p.records(pairs[0])[0]
	return newest.Image == image && (newest.Status == release.Succeeded || newest.Status == release.Underway && newest.Step == deploy.StepFinish)
}

// A promotion of both dies at requests that are spread over it. Whichever of
// them is settled next, both end on the version that the leader's record
// decides.
func TestServices_killedAtAnyRequestEndOnOneVersion(t *testing.T) {
	p := newPair(t)
	live := 0
	turn := func() {
		t.Helper()
		live = 1 - live
		for _, service := range pairs {
			p.pass(service, 1-live)
		}
	}
	requests := p.under(kill.Point{})
	p.whole(2)
	turn()
	chance := mathrand.New(mathrand.NewPCG(*killSeed, 7))
	points := 2 * *killSample
	if points == 0 {
		points = requests
	}
	for i := range points {
		from, to := i*requests/points, (i+1)*requests/points
		at := kill.Point{Request: 1 + from + chance.IntN(to-from), Moment: []kill.Moment{kill.Sent, kill.Answered}[i%2]}
		p.under(at)
		passed := p.decided(p.images[pairs[0]][1-live])
		want := live
		if passed {
			want = 1 - live
		}
		o := p.run(0, "rollback", map[string]string{"service": pairs[i/2%2], "to": "live"})
		p.whole(want + 1)
		if t.Failed() {
			t.Fatalf("killed at %v; the log of the run that settled it:\n%s", at, o.Log)
		}
		if passed {
			turn()
		}
	}
	t.Logf("%d points of %d requests", points, requests)
}

// The leader's record says that both have passed, and neither the answer to
// that nor anything of the record comes through any more: nobody knows, so the
// other one is not taken back either, and both go forwards with the next run.
func TestServices_theLeadersLostAnswerTakesNobodyBack(t *testing.T) {
	p := newPair(t)
	direct := p.kubeconfig
	g := p.gated()
	g.written = func(r release.Record) func(*http.Request) {
		if r.Service != pairs[0] || r.Status != release.Underway || r.Step != deploy.StepFinish {
			return nil
		}
		return func(request *http.Request) {
			g.refuse(request.URL.Path)
			panic(http.ErrAbortHandler)
		}
	}
	o := p.run(1, "promote", p.together("step-duration", "1s"))
	contains(t, o.Log, "is left under way: whether orders has passed")
	p.kubeconfig = direct
	o = p.run(0, "rollback", map[string]string{"service": pairs[1], "to": "live"})
	p.whole(2)
	if t.Failed() {
		t.Log(o.Log)
	}
}
