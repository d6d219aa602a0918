package metrics

import (
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/progress"
)

func pods(t *testing.T, p *place, names Names) Session {
	t.Helper()
	s := Pods(p, 3000, "/metrics", names, progress.Discard).Start(t.Context(), p.list)
	t.Cleanup(s.Close)
	return s
}

// tells is an OpenTelemetry histogram of ok and failed requests, all of them
// between 100 and 250 ms, and many of the platform's own.
func tells(ok, failed int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, histogram(ok, failed))
	}
}

func histogram(ok, failed int) string {
	var text strings.Builder
	text.WriteString("# HELP go_goroutines broken on purpose\ngo_goroutines {{{ x\n# TYPE http_server_request_duration_seconds histogram\n")
	series := func(route, status string, n int) {
		labels := fmt.Sprintf(`http_route="%s",http_response_status_code="%s"`, route, status)
		fmt.Fprintf(&text, `http_server_request_duration_seconds_bucket{%s,le="0.1"} 0
http_server_request_duration_seconds_bucket{%s,le="0.25"} %d
http_server_request_duration_seconds_bucket{%s,le="+Inf"} %d
http_server_request_duration_seconds_sum{%s} 1
http_server_request_duration_seconds_count{%s} %d
`, labels, labels, n, labels, n, labels, labels, n)
	}
	series("/orders", "200", ok)
	series("/orders", "503", failed)
	series("/readyz", "503", 999)
	series("/metrics", "200", 999)
	return text.String()
}

func want(t *testing.T, m analysis.Measurement, requests, errors int64) {
	t.Helper()
	if m.Requests != requests || m.Errors != errors {
		t.Errorf("got %d requests, %d errors; want %d, %d", m.Requests, m.Errors, requests, errors)
	}
}

func TestPods_countFromTheStart(t *testing.T) {
	p := newPlace(t)
	p.run("a", tells(1000, 50))
	s := pods(t, p, Names{})
	want(t, measure(t, s), 0, 0)
	p.run("a", tells(1090, 60))
	m := measure(t, s)
	want(t, m, 100, 10)
	p50, ok := m.Latency.Quantile(0.5)
	if !ok || p50 != 175*time.Millisecond || m.Latency.Count() != 100 || !m.Latency.Interpolated() {
		t.Errorf("p50 is %v of %d", p50, m.Latency.Count())
	}
}

func TestPods_comeAndGoAndStartAnew(t *testing.T) {
	p := newPlace(t)
	p.run("a", tells(1000, 0))
	s := pods(t, p, Names{})
	p.run("new", tells(30, 3)) // later than Start: all of it counts
	want(t, measure(t, s), 33, 3)
	p.run("a", tells(40, 0)) // counters fell: a new process
	want(t, measure(t, s), 73, 3)
	p.run("new", tells(60, 6)) // above what it had, but the kubelet restarted it
	p.change("new", func(pod *corev1.Pod) { pod.Status.ContainerStatuses[0].RestartCount = 1 })
	m := measure(t, s)
	want(t, m, 139, 9)
	if m.Restarts != 1 {
		t.Errorf("%d restarts, want 1", m.Restarts)
	}
	p.remove("new")
	want(t, measure(t, s), 139, 9)
	if n := measure(t, s).Latency.Count(); n != 139 {
		t.Errorf("%d latencies, want 139", n)
	}
}

func TestPods_startAnewWhereTheProcessDid(t *testing.T) {
	p := newPlace(t)
	process := func(start float64, ok int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, "# TYPE process_start_time_seconds gauge\nprocess_start_time_seconds %g\n%s", start, histogram(ok, 0))
		}
	}
	p.run("a", process(1.7e9, 100))
	s := pods(t, p, Names{})
	p.run("a", process(1.8e9, 150))
	want(t, measure(t, s), 150, 0)
}

func TestPods_keepWhatWasToldWhereOneFallsSilent(t *testing.T) {
	p := newPlace(t)
	p.run("a", tells(0, 0))
	p.run("b", tells(0, 0))
	s := pods(t, p, Names{})
	p.run("a", tells(10, 0))
	p.run("b", status(http.StatusNotFound))
	want(t, measure(t, s), 10, 0)
	p.run("b", tells(20, 0))
	want(t, measure(t, s), 30, 0)
}

func TestPods_areAnErrorOnceAllAreSilent(t *testing.T) {
	p := newPlace(t)
	p.run("a", tells(5, 0))
	s := pods(t, p, Names{})
	p.run("a", status(http.StatusInternalServerError))
	want(t, measure(t, s), 0, 0) // for a moment nothing is wrong
	scraping, ok := s.(*scraping)
	if !ok {
		t.Fatal("another session")
	}
	scraping.ledger.answered = time.Now().Add(-2 * stale)
	if _, err := s.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "status 500") {
		t.Errorf("got %v", err)
	}
}

func TestPods_withoutMetricsAreNoData(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"no endpoint":    status(http.StatusNotFound),
		"nothing known":  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") },
		"no text":        func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte{0xff, 0, 7}) },
		"an endless one": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(strings.Repeat("up 1\n", 2<<20))) },
		"an endless line": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("http_requests_total{code=\"" + strings.Repeat("1", 1<<20) + "\"} 1\n"))
		},
		"endless series": func(w http.ResponseWriter, _ *http.Request) {
			for i := range mostSeries + 1 {
				_, _ = fmt.Fprintf(w, "http_requests_total{code=\"200\",x=\"%d\"} 1\n", i)
			}
		},
		"broken": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "http_requests_total{code=\"200\" 7\n")
		},
		"no status": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "http_requests_total{method=\"GET\"} 700\nhttp_requests_total{method=\"GET\",code=\"200\"} 700\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			s := pods(t, p, Names{})
			p.run("a", handler)
			want(t, measure(t, s), 0, 0)
		})
	}
}

func TestRead_recognisesNames(t *testing.T) {
	for name, c := range map[string]struct {
		text             string
		names            Names
		requests, errors float64
		latencies        float64
	}{
		"a counter and a histogram": {
			text: `# TYPE http_requests_total counter
http_requests_total{code="200"} 90
http_requests_total{code="404"} 5
http_requests_total{code="500"} 4
http_requests_total{code="503"} 1
# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{le="0.1"} 60
http_request_duration_seconds_bucket{le="+Inf"} 100
http_request_duration_seconds_sum 3
http_request_duration_seconds_count 100
`,
			requests: 100, errors: 5, latencies: 100,
		},
		"without types": {text: "http_requests_total{status=\"500\"} 7\n", requests: 7, errors: 7},
		"status_code":   {text: "http_requests_total{status_code=\"500\"} 7\n", requests: 7, errors: 7},
		"the long one":  {text: "http_requests_total{http_response_status_code=\"500\"} 7\n", requests: 7, errors: 7},
		"a class":       {text: "http_requests_total{code=\"5xx\"} 7\n", requests: 7, errors: 7},
		"its own name":  {text: "shop_total{code=\"500\"} 7\nhttp_requests_total{code=\"200\"} 1\n", names: Names{Requests: "shop_total"}, requests: 7, errors: 7},
		"a histogram of its own": {
			text: `# TYPE shop_seconds histogram
shop_seconds_bucket{code="200",le="1"} 8
shop_seconds_bucket{code="200",le="+Inf"} 9
shop_seconds_sum{code="200"} 3
shop_seconds_count{code="200"} 9
`,
			names: Names{Requests: "shop_seconds_count", Latency: "shop_seconds_bucket"}, requests: 9, latencies: 9,
		},
		"none yet, told by a histogram without a status": {
			text: "# TYPE http_requests_total counter\n# TYPE http_request_duration_seconds histogram\nhttp_request_duration_seconds_bucket{le=\"+Inf\"} 0\nhttp_request_duration_seconds_count 0\n",
		},
		"nonsense": {text: "http_requests_total{code=\"200\"} NaN\nhttp_requests_total{code=\"201\"} -4\nhttp_requests_total{code=\"202\"} +Inf\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := read(strings.NewReader(c.text), c.names, "/metrics")
			if err != nil {
				t.Fatal(err)
			}
			if got.unknownStatus || got.requests != c.requests || got.errors != c.errors || got.buckets[math.Inf(1)] != c.latencies {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	f.Add(histogram(3, 4))
	f.Add("# TYPE http_requests_total counter\nhttp_requests_total{code=\"500\"} 1e300\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := read(strings.NewReader(text), Names{}, "/metrics")
		if err == nil && (c.errors > c.requests || c.requests < 0 || math.IsNaN(c.requests)) {
			t.Errorf("%q: %+v", text, c)
		}
	})
}
