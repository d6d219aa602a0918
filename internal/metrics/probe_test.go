package metrics

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/progress"
)

func probe(t *testing.T, p *place) Session {
	t.Helper()
	s := Probe(p, 3000, "/orders?page=1", 200, progress.Discard).Start(t.Context(), p.list)
	t.Cleanup(s.Close)
	return s
}

func TestProbe_asksEveryPodAndTellsErrors(t *testing.T) {
	p := newPlace(t)
	p.run("good", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/orders" || r.URL.RawQuery != "page=1" {
			http.Error(w, "wrong path", http.StatusInternalServerError)
		}
	})
	p.run("bad", status(http.StatusBadGateway))
	m := until(t, probe(t, p), "requests", func(m analysis.Measurement) bool { return m.Requests >= 100 })
	if rate, _ := m.ErrorRate(); rate < 0.4 || rate > 0.6 {
		t.Errorf("%d of %d failed, want half", m.Errors, m.Requests)
	}
	if m.Latency.Count() != m.Requests || !m.HasRestarts || m.Window <= 0 {
		t.Errorf("got %+v", m)
	}
}

func TestProbe_takesClientErrorsForAnswers(t *testing.T) {
	p := newPlace(t)
	p.run("a", status(http.StatusNotFound))
	if m := until(t, probe(t, p), "requests", func(m analysis.Measurement) bool { return m.Requests >= 20 }); m.Errors != 0 {
		t.Errorf("%d errors", m.Errors)
	}
}

func TestProbe_countsAPodThatIsNotReached(t *testing.T) {
	p := newPlace(t)
	p.run("a", refuse(http.StatusServiceUnavailable, "error trying to reach service: dial tcp 10.0.0.1:3000: connect: connection refused"))
	m := until(t, probe(t, p), "requests", func(m analysis.Measurement) bool { return m.Requests >= 20 })
	if m.Errors != m.Requests {
		t.Errorf("%d of %d failed, want all", m.Errors, m.Requests)
	}
}

func TestProbe_countsAnAnswerThatDoesNotCome(t *testing.T) {
	p := newPlace(t)
	p.run("a", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	m := until(t, probe(t, p), "a request", func(m analysis.Measurement) bool { return m.Requests >= 1 })
	if least, _ := m.Latency.Quantile(0); m.Errors != m.Requests || least < probeTimeout {
		t.Errorf("%d of %d failed, the fastest after %v", m.Errors, m.Requests, least)
	}
}

func TestProbe_doesNotCountWhatIsNoFaultOfTheVersion(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"the pod is gone":            refuse(http.StatusNotFound, `pods "a" not found`),
		"we have no right":           refuse(http.StatusForbidden, "pods is forbidden"),
		"the API server is busy":     refuse(http.StatusTooManyRequests, "too many requests"),
		"the API server is ill":      refuse(http.StatusServiceUnavailable, "apiserver is shutting down"),
		"the API server hangs up":    func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"the API server is ill, 500": refuse(http.StatusInternalServerError, "etcdserver: request timed out"),
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			asked := atomic.Int64{}
			p.run("a", func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				handler(w, r)
			})
			m := until(t, probe(t, p), "twenty probes", func(analysis.Measurement) bool { return asked.Load() > 20 })
			if m.Requests != 0 {
				t.Errorf("%d requests counted, %d errors", m.Requests, m.Errors)
			}
		})
	}
}

func TestProbe_doesNotCountTheEndOfAPod(t *testing.T) {
	p := newPlace(t)
	draining := atomic.Bool{}
	p.run("a", func(w http.ResponseWriter, _ *http.Request) {
		if draining.CompareAndSwap(false, false) {
			return
		}
		// The pod began to end before it says so: the list shows it from now on.
		p.change("a", func(pod *corev1.Pod) { pod.DeletionTimestamp = &metav1.Time{Time: time.Now()} })
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	p.run("b", status(http.StatusOK))
	s := probe(t, p)
	until(t, s, "requests", func(m analysis.Measurement) bool { return m.Requests >= 20 })
	draining.Store(true)
	before := measure(t, s).Requests
	m := until(t, s, "more requests", func(m analysis.Measurement) bool { return m.Requests >= before+50 })
	if m.Errors != 0 {
		t.Errorf("%d errors of a pod that ended", m.Errors)
	}
}

func TestProbe_goesOnAskingAPodThatFellIll(t *testing.T) {
	p := newPlace(t)
	p.run("a", status(http.StatusOK))
	s := probe(t, p)
	until(t, s, "requests", func(m analysis.Measurement) bool { return m.Requests > 0 })
	p.change("a", func(pod *corev1.Pod) { pod.Status.Conditions[0].Status = corev1.ConditionFalse })
	p.run("a", status(http.StatusInternalServerError))
	until(t, s, "errors", func(m analysis.Measurement) bool { return m.Errors > 10 })
}

func TestProbe_waitsForAPodToBeReady(t *testing.T) {
	p := newPlace(t)
	p.run("a", status(http.StatusInternalServerError))
	p.change("a", func(pod *corev1.Pod) { pod.Status.Conditions[0].Status = corev1.ConditionFalse })
	p.run("b", status(http.StatusOK))
	m := until(t, probe(t, p), "requests", func(m analysis.Measurement) bool { return m.Requests >= 20 })
	if m.Errors != 0 {
		t.Errorf("%d errors of a pod that was never ready", m.Errors)
	}
}

func TestProbe_countsNothingAfterClose(t *testing.T) {
	p := newPlace(t)
	p.run("a", status(http.StatusOK))
	s := probe(t, p)
	until(t, s, "requests", func(m analysis.Measurement) bool { return m.Requests > 0 })
	s.Close()
	before := measure(t, s).Requests
	p.breakLists(true)
	m, err := s.Read(t.Context())
	if err == nil || m.Requests != before {
		t.Errorf("got %d requests, %v; want %d and the list's error", m.Requests, err, before)
	}
}

func TestRestarts_countsFromTheStartAndKeepsWhatWent(t *testing.T) {
	p := newPlace(t)
	restart := func(n int32) func(*corev1.Pod) {
		return func(pod *corev1.Pod) { pod.Status.ContainerStatuses[0].RestartCount = n }
	}
	p.run("old", status(http.StatusOK))
	p.change("old", restart(7))
	s := RestartsOnly{}.Start(t.Context(), p.list)
	if m := measure(t, s); m.Restarts != 0 || !m.HasRestarts {
		t.Errorf("at first: %+v", m)
	}
	p.change("old", restart(8))
	p.run("new", status(http.StatusOK))
	p.change("new", restart(2))
	if m := measure(t, s); m.Restarts != 3 {
		t.Errorf("then: %d restarts, want 3", m.Restarts)
	}
	p.remove("new")
	if m := measure(t, s); m.Restarts != 3 {
		t.Errorf("after one went: %d restarts, want 3", m.Restarts)
	}
}

func TestRestarts_addsUpTheTimeOfAllPods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pods []corev1.Pod
		start := func(name string) {
			meta := metav1.ObjectMeta{Name: name, UID: types.UID(name), CreationTimestamp: metav1.Now()}
			pods = append(pods, corev1.Pod{ObjectMeta: meta})
		}
		start("one")
		start("two")
		s := RestartsOnly{}.Start(t.Context(), func(context.Context) ([]corev1.Pod, error) { return pods, nil })
		time.Sleep(time.Minute)
		start("three")
		time.Sleep(time.Minute)
		if m := measure(t, s); m.PodTime != 5*time.Minute {
			t.Errorf("three pods ran %v, want two for two minutes and one for one", m.PodTime)
		}
		pods = pods[:1]
		time.Sleep(time.Minute)
		if m := measure(t, s); m.PodTime != 6*time.Minute {
			t.Errorf("after two went: %v, want a minute more", m.PodTime)
		}
	})
}
