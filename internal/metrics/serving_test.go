package metrics

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/progress"
)

// webAndWorker is a version of two workloads, of which one answers nothing.
func webAndWorker(t *testing.T) (*place, func(*corev1.Pod) bool) {
	t.Helper()
	p := newPlace(t)
	p.run("web", status(http.StatusOK))
	p.run("worker", refuse(http.StatusServiceUnavailable, "error trying to reach service: dial tcp 10.0.0.1:3000: connect: connection refused"))
	for name, hash := range map[string]string{"web": "7d9f", "worker": "5c4b"} {
		p.change(name, func(pod *corev1.Pod) { pod.Labels = map[string]string{"pod-template-hash": hash} })
	}
	return p, func(pod *corev1.Pod) bool { return pod.Name == "web" }
}

func TestServing_asksNoPodThatTakesNoRequests(t *testing.T) {
	p, serves := webAndWorker(t)
	s := Serving(Probe(p, 3000, "/readyz", 200, progress.Discard), serves).Start(t.Context(), p.list)
	t.Cleanup(s.Close)
	m := until(t, s, "requests", func(m analysis.Measurement) bool { return m.Requests >= 50 })
	if m.Errors != 0 {
		t.Errorf("%d of %d failed: a worker was asked", m.Errors, m.Requests)
	}
	p.change("worker", func(pod *corev1.Pod) { pod.Status.ContainerStatuses[0].RestartCount = 1 })
	if m := measure(t, s); m.Restarts != 1 || !m.HasRestarts || m.PodTime <= 0 {
		t.Errorf("after a worker's restart: %+v", m)
	}
}

func TestServing_letsQueriesBeOfTheWholeVersion(t *testing.T) {
	p, serves := webAndWorker(t)
	var last atomic.Value
	server := asked(t, "", func(w http.ResponseWriter, r *http.Request) {
		if q := r.FormValue("query"); strings.HasPrefix(q, "x") {
			last.Store(q)
		}
		answers("scalar", `[1,"1"]`)(w, r)
	})
	source := server.Queried(RestartsOnly{}, []string{`x{v=~"{{version}}"}`}, "orders", "production")
	s := Serving(source, serves).Start(t.Context(), p.list)
	t.Cleanup(s.Close)
	if m := measure(t, s); len(m.Queries) != 1 {
		t.Errorf("got %v, %v", m.Queries, m.Unanswered)
	}
	if want := `x{v=~"(5c4b|7d9f)"}`; last.Load() != want {
		t.Errorf("asked %v, want %s", last.Load(), want)
	}
}

func TestServing_tellsTheSessionOfItsSteps(t *testing.T) {
	p, serves := webAndWorker(t)
	source := asked(t, "", answers("matrix", `[]`)).Source(Names{})
	s := Serving(source, serves).Start(t.Context(), p.list)
	t.Cleanup(s.Close)
	stepper, ok := s.(Stepper)
	if !ok {
		t.Fatal("no steps")
	}
	stepper.Step()
	if inner, ok := s.(*narrowedSession).Session.(*scraped); !ok || inner.began.IsZero() {
		t.Error("the session knows of no step")
	}
}

// What cannot be listed has no restarts, and those of what fell silent are
// known.
func TestRead_tellsWhetherRestartsAreKnown(t *testing.T) {
	for name, source := range map[string]func(*testing.T, *place) Source{
		"restarts alone": func(*testing.T, *place) Source { return RestartsOnly{} },
		"probe":          func(_ *testing.T, p *place) Source { return Probe(p, 3000, "/", 100, progress.Discard) },
		"pods":           func(_ *testing.T, p *place) Source { return Pods(p, 3000, "/metrics", Names{}, progress.Discard) },
		"prometheus":     func(t *testing.T, _ *place) Source { return asked(t, "", answers("matrix", `[]`)).Source(Names{}) },
		"those that serve": func(_ *testing.T, p *place) Source {
			return Serving(Probe(p, 3000, "/", 100, progress.Discard), func(*corev1.Pod) bool { return true })
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.run("a", status(http.StatusOK))
			s := source(t, p).Start(t.Context(), p.list)
			t.Cleanup(s.Close)
			if m := measure(t, s); !m.HasRestarts {
				t.Errorf("at first: %+v", m)
			}
			p.breakLists(true)
			if m, err := s.Read(t.Context()); err == nil || m.HasRestarts {
				t.Errorf("without a list: %v, restarts known: %v", err, m.HasRestarts)
			}
		})
	}
	p := newPlace(t)
	p.run("a", status(http.StatusOK))
	s := asked(t, "", status(http.StatusBadGateway)).Source(Names{}).Start(t.Context(), p.list)
	if m, err := s.Read(t.Context()); err == nil || !m.HasRestarts {
		t.Errorf("without Prometheus: %v, restarts known: %v", err, m.HasRestarts)
	}
}
