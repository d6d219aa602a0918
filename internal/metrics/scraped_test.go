package metrics

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/progress"
	"github.com/fibership/fibership/internal/testcluster"
)

// process tells metrics as a pod would, to a real Prometheus.
type process struct {
	name string
	at   string // host:port

	mu      sync.Mutex
	started float64
	ok, bad float64
	silent  bool // has no metrics but its start
	gone    bool // answers 500
	extra   string
}

func startProcess(t *testing.T, name string) *process {
	t.Helper()
	p := &process{name: name, started: 1000}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	p.at = u.Host
	return p
}

func (p *process) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	_, _ = fmt.Fprintf(w, "process_start_time_seconds %v\n%s", p.started, p.extra)
	if p.silent {
		return
	}
	_, _ = fmt.Fprintf(w, "http_requests_total{code=\"200\",path=\"/\"} %v\nhttp_requests_total{code=\"200\",path=\"/readyz\"} 77\n", p.ok)
	if p.bad > 0 {
		_, _ = fmt.Fprintf(w, "http_requests_total{code=\"500\",path=\"/\"} %v\n", p.bad)
	}
	all := p.ok + p.bad
	_, _ = fmt.Fprintf(w, `# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{le="0.1"} %v
http_request_duration_seconds_bucket{le="0.5"} %v
http_request_duration_seconds_bucket{le="+Inf"} %v
http_request_duration_seconds_sum 1
http_request_duration_seconds_count %v
`, p.ok, all, all, all)
}

func (p *process) change(edit func(*process)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	edit(p)
}

// pod is the process as the API server would list it.
func (p *process) pod() corev1.Pod {
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: p.name, Namespace: "test", UID: types.UID(p.name), Labels: map[string]string{"pod-template-hash": "7d9f"}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning},
	}
}

// crowd is a list of pods that can grow.
type crowd struct {
	mu  sync.Mutex
	all []corev1.Pod
}

func (c *crowd) join(p *process) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, p.pod())
}

func (c *crowd) list(context.Context) ([]corev1.Pod, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]corev1.Pod(nil), c.all...), nil
}

// scrapes is a configuration that scrapes the processes under the labels.
func scrapes(job string, labels [2]string, processes ...*process) string {
	text := fmt.Sprintf("- job_name: %s\n  static_configs:\n", job)
	for _, p := range processes {
		text += fmt.Sprintf("  - {targets: [%q], labels: {%s: test, %s: %s}}\n", p.at, labels[0], labels[1], p.name)
	}
	return text
}

// scrapedSession waits until Prometheus has scraped the pods, then starts.
func scrapedSession(t *testing.T, config string, log progress.Log, list Lister, want int) (*Server, Session) {
	t.Helper()
	s := serverAt(t, testcluster.StartPrometheus(t, "127.0.0.1", config), "", log)
	testcluster.Eventually(t, 20*time.Second, "scrapes", func(ctx context.Context) bool {
		pods, err := list(ctx)
		if err != nil {
			return false
		}
		for _, labels := range podLabels {
			if told, err := s.samples(ctx, pods, labels, Names{}, lookback, &once{log: progress.Discard}); err == nil && len(told) == want && want > 0 {
				return true
			}
		}
		return want == 0
	})
	return s, s.Source(Names{}).Start(t.Context(), list)
}

func TestScraped_countsFromTheStartAndOverARestart(t *testing.T) {
	t.Parallel()
	a, b, pods := startProcess(t, "a"), startProcess(t, "b"), &crowd{}
	a.change(func(p *process) { p.ok, p.bad = 1000, 50 })
	b.change(func(p *process) { p.ok = 5 })
	pods.join(a)
	server, s := scrapedSession(t, scrapes("pods", podLabels[0], a, b), progress.Discard, pods.list, 1)
	if m := measure(t, s); m.Requests != 0 || m.Errors != 0 {
		t.Fatalf("at the start: %+v", m)
	}
	a.change(func(p *process) { p.ok, p.bad = 1040, 60 })
	until(t, s, "40 more and 10 errors", func(m analysis.Measurement) bool {
		return m.Requests == 50 && m.Errors == 10 && m.Latency.Count() == 50
	})
	// A new process whose counters are already beyond the old ones'.
	a.change(func(p *process) { p.started, p.ok, p.bad = 2000, 1100, 70 })
	until(t, s, "all that the new process counted", func(m analysis.Measurement) bool {
		return m.Requests == 50+1170 && m.Errors == 10+70
	})
	// Counters that fell.
	a.change(func(p *process) { p.ok, p.bad = 7, 0 })
	until(t, s, "all since they fell", func(m analysis.Measurement) bool { return m.Requests == 50+1170+7 && m.Errors == 80 })
	// A pod that comes later counts from zero.
	pods.join(b)
	m := until(t, s, "the new pod's", func(m analysis.Measurement) bool { return m.Requests == 50+1170+7+5 })
	if m.Latency.Count() != m.Requests || m.Window <= 0 {
		t.Errorf("got %d latencies of %d requests in %v", m.Latency.Count(), m.Requests, m.Window)
	}
	if got := server.pace.interval(); got != time.Second {
		t.Errorf("a scrape every %v, want 1s", got)
	}
}

func TestScraped_keepsBackAStepUntilItWasScrapedTwice(t *testing.T) {
	t.Parallel()
	a, pods := startProcess(t, "a"), &crowd{}
	pods.join(a)
	log := newLines()
	server, s := scrapedSession(t, scrapes("pods", podLabels[0], a), log, pods.list, 1)
	server.step = 2 * time.Second
	a.change(func(p *process) { p.ok = 100 })
	until(t, s, "100 requests", func(m analysis.Measurement) bool { return m.Requests == 100 })
	stepper, ok := s.(Stepper)
	if !ok {
		t.Fatal("no steps")
	}
	stepper.Step()
	a.change(func(p *process) { p.ok = 300 })
	session, ok := s.(*scraped)
	if !ok {
		t.Fatal("another session")
	}
	testcluster.Eventually(t, 20*time.Second, "two scrapes", func(context.Context) bool {
		m := measure(t, s)
		scraped := session.seen[teller{pod: "a", instance: a.at}]
		if scraped < leastScrapes && m.Requests != 100 {
			t.Fatalf("%d requests after %d scrapes", m.Requests, scraped)
		}
		return scraped >= leastScrapes
	})
	if m := measure(t, s); m.Requests != 300 {
		t.Errorf("%d requests, want 300", m.Requests)
	}
	if !strings.Contains(log.text.String(), "Prometheus scrapes these pods every 1s: to judge by, a step must last 3s") {
		t.Errorf("said %q", log.text.String())
	}
}

func TestScraped_isAnErrorOnceTheMetricsVanish(t *testing.T) {
	t.Parallel()
	for name, vanish := range map[string]func(*process){
		"the process tells nothing":   func(p *process) { p.gone = true },
		"it tells only that it lives": func(p *process) { p.silent = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, pods := startProcess(t, "a"), &crowd{}
			pods.join(a)
			_, s := scrapedSession(t, scrapes("pods", podLabels[0], a), progress.Discard, pods.list, 1)
			a.change(func(p *process) { p.ok = 30 })
			until(t, s, "30 requests", func(m analysis.Measurement) bool { return m.Requests == 30 })
			a.change(vanish)
			var err error
			testcluster.Eventually(t, 3*stale, "an error", func(ctx context.Context) bool {
				var m analysis.Measurement
				if m, err = s.Read(ctx); m.Requests != 30 {
					t.Fatalf("%d requests, want 30", m.Requests)
				}
				return err != nil
			})
			if !strings.Contains(err.Error(), "no new samples") {
				t.Errorf("got %v", err)
			}
			// And when they are back, nothing is counted twice.
			a.change(func(p *process) { p.gone, p.silent, p.ok = false, false, 45 })
			until(t, s, "15 more", func(m analysis.Measurement) bool { return m.Requests == 45 })
		})
	}
}

func TestScraped_findsPodsUnderTheOlderLabels(t *testing.T) {
	t.Parallel()
	a, pods := startProcess(t, "a"), &crowd{}
	pods.join(a)
	_, s := scrapedSession(t, scrapes("pods", podLabels[1], a), progress.Discard, pods.list, 1)
	a.change(func(p *process) { p.ok = 3 })
	until(t, s, "3 requests", func(m analysis.Measurement) bool { return m.Requests == 3 })
}

func TestScraped_countsAPodOnceThatTwoJobsScrape(t *testing.T) {
	t.Parallel()
	a, pods := startProcess(t, "a"), &crowd{}
	pods.join(a)
	log := newLines()
	_, s := scrapedSession(t, scrapes("one", podLabels[0], a)+scrapes("two", podLabels[0], a), log, pods.list, 1)
	a.change(func(p *process) { p.ok = 10 })
	until(t, s, "10 requests", func(m analysis.Measurement) bool { return m.Requests == 10 })
	if !strings.Contains(log.text.String(), "2 jobs") {
		t.Errorf("said %q", log.text.String())
	}
}

func TestScraped_withoutTrafficHasNoRequests(t *testing.T) {
	t.Parallel()
	a, pods := startProcess(t, "a"), &crowd{}
	a.change(func(p *process) { p.silent = true })
	pods.join(a)
	_, s := scrapedSession(t, scrapes("pods", podLabels[0], a), progress.Discard, pods.list, 1)
	if m := measure(t, s); m.Requests != 0 || m.Latency.Count() != 0 {
		t.Errorf("got %+v", m)
	}
	// The first request ever makes the series: it is ours.
	a.change(func(p *process) { p.silent, p.ok = false, 1 })
	until(t, s, "one request", func(m analysis.Measurement) bool { return m.Requests == 1 })
}

func TestQueried_asksARealPrometheus(t *testing.T) {
	t.Parallel()
	a, pods := startProcess(t, "a"), &crowd{}
	a.change(func(p *process) { p.extra = "odd NaN\n" })
	pods.join(a)
	server, _ := scrapedSession(t, scrapes("pods", podLabels[0], a), progress.Discard, pods.list, 1)
	const (
		failed = `sum(increase(http_requests_total{namespace="{{namespace}}",code=~"5.."}[{{window}}])) / sum(increase(http_requests_total{namespace="{{namespace}}"}[{{window}}]))`
		odd    = `odd`
		many   = `http_requests_total`
		none   = `no_such_metric`
	)
	s := server.Queried(RestartsOnly{}, []string{failed, odd, many, none}, "orders", "test").Start(t.Context(), pods.list)
	go func() {
		for tick := time.NewTicker(100 * time.Millisecond); t.Context().Err() == nil; <-tick.C {
			a.change(func(p *process) { p.ok += 3; p.bad++ })
		}
	}()
	m := until(t, s, "a share of errors", func(m analysis.Measurement) bool { _, ok := m.Queries[failed]; return ok && m.Queries[failed] > 0.1 })
	for query, why := range map[string]string{odd: "NaN", many: "3 series", none: "no data"} {
		if !strings.Contains(m.Unanswered[query], why) {
			t.Errorf("%s: %v, %q; want %q", query, m.Queries[query], m.Unanswered[query], why)
		}
	}
}

func TestServer_showsItsTokenAtTheDoorOfARealPrometheus(t *testing.T) {
	t.Parallel()
	at, err := url.Parse(testcluster.StartPrometheus(t, "127.0.0.1", scrapes("pods", podLabels[0], startProcess(t, "a"))))
	if err != nil {
		t.Fatal(err)
	}
	behind := httputil.NewSingleHostReverseProxy(at)
	guard := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer right" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		behind.ServeHTTP(w, r)
	}))
	t.Cleanup(guard.Close)
	if err := serverAt(t, guard.URL, "right", progress.Discard).Check(t.Context(), []string{"sum(up)"}); err != nil {
		t.Errorf("with the token: %v", err)
	}
	err = serverAt(t, guard.URL, "wrong", progress.Discard).Check(t.Context(), nil)
	if err == nil || !strings.Contains(err.Error(), "401") || strings.Contains(err.Error(), "wrong") {
		t.Errorf("with another: %v", err)
	}
	err = serverAt(t, guard.URL, "right", progress.Discard).Check(t.Context(), []string{"sum(("})
	if err == nil || !strings.Contains(err.Error(), "parse error") {
		t.Errorf("a query that is none: %v", err)
	}
}
