package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/test/loadgen"
	"github.com/fibership/fibership/test/runner"
)

// oracle answers queries as a Prometheus would, or as one that has a fault:
// real ones have theirs when they like.
type oracle struct {
	*httptest.Server
	answer atomic.Value // a key of answers
}

// answers is the result of a query that gives one number, but for those that
// are no result: down and slow.
var answers = map[string]string{
	"good":     `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"0"]}]}}`,
	"bad":      `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"1"]}]}}`,
	"many":     `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"pod":"a"},"value":[1,"0"]},{"metric":{"pod":"b"},"value":[1,"0"]}]}}`,
	"nonsense": `<html><body>Welcome</body></html>`,
	"down":     "",
	"slow":     "",
}

func newOracle(t *testing.T) *oracle {
	t.Helper()
	o := &oracle{}
	o.says("good")()
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch answer, _ := o.answer.Load().(string); answer {
		case "down":
			panic(http.ErrAbortHandler)
		case "slow":
			<-r.Context().Done()
		default:
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprint(w, answers[answer])
		}
	}))
	t.Cleanup(o.Close)
	return o
}

// says makes it answer so from then on.
func (o *oracle) says(answer string) func() { return func() { o.answer.Store(answer) } }

// asked are the inputs of a promotion that it alone judges.
func (o *oracle) asked(more ...string) map[string]string {
	inputs := map[string]string{"prometheus-url": o.URL, "analysis": `query("sick") < 1`, "steps": "50%", "step-duration": "2s", "watch": "20s"}
	for i := 0; i < len(more); i += 2 {
		inputs[more[i]] = more[i+1]
	}
	return inputs
}

// once promotes, and does what is to be done as soon as the log says the word.
func (p *place) once(word string, do func(), exit int, inputs map[string]string) runner.Outcome {
	p.t.Helper()
	step := p.step("promote", inputs)
	step.Log = &killer{word: word, kill: do}
	o, err := step.Run(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	if o.Exit != exit {
		p.t.Fatalf("promote ended with exit code %d, want %d; its log:\n%s", o.Exit, exit, o.Log)
	}
	if !strings.Contains(o.Log, word) {
		p.t.Fatalf("promote never said %q; its log:\n%s", word, o.Log)
	}
	return o
}

// A Prometheus that goes in the middle of a promotion is no pass: the version
// before serves on, and the log says what was wrong.
func TestPromote_abortsWhenItsPrometheusGoesInTheMiddle(t *testing.T) {
	p := newPlace(t)
	one, two := p.image("1"), p.image("2")
	p.deploy(one, nil)
	p.run(0, "promote", map[string]string{"strategy": "rolling", "watch": "0s"})
	p.deploy(two, nil)
	for answer, why := range map[string]string{
		"down":     "EOF",
		"slow":     "deadline exceeded",
		"nonsense": "bad_response",
		"many":     "it gives 2 series where one number is needed",
	} {
		prometheus := newOracle(t)
		o := p.once("canary at 50%: 50.0% reached", prometheus.says(answer), 1, prometheus.asked())
		outputs(t, o, map[string]string{"status": "rolled-back", "verdict": "inconclusive"})
		contains(t, o.Log, why, "release 1 serves", "on-inconclusive")
		p.settled(one)
		if live, _ := p.history("production", p.production).Live(); live.Revision != 1 {
			t.Errorf("%s: release %d is live, want 1", answer, live.Revision)
		}
	}
}

// What serves comes back before anything of the new version goes, whichever way
// it had come and however far it was.
func TestPromote_takenBackLosesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		strategy, word string
		applied        bool // the new version had taken over already
	}{
		"rolling in its watch":    {"rolling", "all traffic is on the new version", true},
		"canary in its watch":     {"canary", "all traffic is on the new version", true},
		"canary in a step":        {"canary", "canary at 50%: 50.0% reached", false},
		"blue-green in its watch": {"blue-green", "green at 100%: 100.0% reached", false},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			one, two := p.image("1"), p.image("2")
			p.deploy(one, nil)
			p.run(0, "promote", map[string]string{"strategy": "rolling", "watch": "0s"})
			p.deploy(two, nil)
			p.answers(p.production, `"version":"1"`)
			prometheus := newOracle(t)
			least, load := p.least(), loadgen.Start(p.url(p.production), 100, true)
			o := p.once(c.word, prometheus.says("bad"), 1, prometheus.asked("strategy", c.strategy))
			p.answers(p.production, `"version":"1"`)
			counts, fewest := load.Stop(), least()
			if counts.Failed > 0 || counts.Sent < 200 || fewest < 2 { // two seconds of it at the least
				t.Errorf("requests: %v; at times only %d pods were ready, there were 2 before; the log:\n%s", counts, fewest, o.Log)
			}
			outputs(t, o, map[string]string{"status": "rolled-back", "verdict": "fail", "release": "2", "image": two, "previous-image": one})
			contains(t, o.Log, `query(\"sick\") < 1`, "release 2 was undone: release 1 serves")
			p.plain(one)
			h := p.history("production", p.production)
			failed := func(r analysis.Result) bool { return r.Verdict == analysis.Fail && strings.Contains(r.Check, "sick") }
			if live, _ := h.Live(); live.Revision != 1 || h[0].Status != release.RolledBack || h[0].TookBack != c.applied || h[0].Steered != nil ||
				!slices.ContainsFunc(h[0].Checks, failed) || !strings.Contains(h[0].Failure, "sick") {
				t.Errorf("release %d is live; release 2 is %+v", live.Revision, h[0])
			}
			p.deploy(one, nil)
			outputs(t, p.run(0, "promote", map[string]string{"strategy": c.strategy}), map[string]string{"status": "unchanged"})
		})
	}
}
