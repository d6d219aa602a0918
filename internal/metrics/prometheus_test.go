package metrics

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fibership/fibership/internal/progress"
)

// lines is a log that a test can read.
type lines struct {
	progress.Log
	text strings.Builder
}

func newLines() *lines { return &lines{Log: progress.Discard} }

func (l *lines) Linef(format string, args ...any) { fmt.Fprintf(&l.text, format+"\n", args...) }

// asked is a Server that the handler answers for.
func asked(t *testing.T, token string, handler http.HandlerFunc) *Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return serverAt(t, server.URL, token, progress.Discard)
}

func serverAt(t *testing.T, address, token string, log progress.Log) *Server {
	t.Helper()
	at, err := ParseServerURL(address)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewServer(at, token, nowhere{}, time.Minute, log)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// nowhere has no services.
type nowhere struct{}

func (nowhere) ServiceURL(string, string, int) (*http.Client, *url.URL, error) {
	return nil, nil, errors.New("there are no services here")
}

// answers writes what Prometheus answers to an instant query.
func answers(kind, result string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"status":"success","data":{"resultType":%q,"result":%s}}`, kind, result)
	}
}

func TestServer_tellsWhatIsWrongWithAnAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		says    string
	}{
		"HTML":            {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>sign in</html>")) }, "bad_response"},
		"other JSON":      {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`[1, 2]`)) }, "bad_response"},
		"nothing":         {func(http.ResponseWriter, *http.Request) {}, "bad_response"},
		"an unknown kind": {answers("ship", `[]`), "none of Prometheus'"},
		"an error": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = w.Write([]byte(`{"status":"error","errorType":"execution","error":"too many samples"}`))
		}, "too many samples"},
		"a gateway's error": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			_, _ = w.Write([]byte("upstream " + strings.Repeat("x", 5000)))
		}, "server error: 502"},
		"no entrance": {status(http.StatusUnauthorized), "prometheus-token"},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://elsewhere.test/", http.StatusFound)
		}, "elsewhere.test"},
		"a flood": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(strings.Repeat("x", mostBytes+10)))
		}, "longer than 8 MiB"},
		"the API server's refusal": {refuse(http.StatusForbidden, "services is forbidden"), "services is forbidden"},
		"an end in the middle": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte(`{"status":`))
		}, "read the answer"},
	} {
		t.Run(name, func(t *testing.T) {
			err := asked(t, "", c.handler).Check(t.Context(), nil)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
			if err != nil && len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
}

func TestServer_givesUpOnOneThatIsSlowOrDown(t *testing.T) {
	slow := asked(t, "", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	slow.patience = 50 * time.Millisecond
	if err := slow.Check(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "deadline") && !strings.Contains(err.Error(), "in time") {
		t.Errorf("slow: %v", err)
	}
	down := httptest.NewServer(status(http.StatusOK))
	down.Close()
	if err := serverAt(t, down.URL, "", progress.Discard).Check(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("down: %v", err)
	}
}

func TestServer_givesItsTokenToNobodyElse(t *testing.T) {
	const token = "s3cr3t-t0ken"
	leaked := atomic.Bool{}
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		leaked.Store(leaked.Load() || r.Header.Get("Authorization") != "")
	}))
	t.Cleanup(other.Close)
	s := asked(t, token, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token || r.Method != http.MethodGet {
			t.Errorf("%s with %q", r.Method, r.Header.Get("Authorization"))
		}
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	err := s.Check(t.Context(), nil)
	if err == nil || strings.Contains(err.Error(), token) || leaked.Load() {
		t.Errorf("got %v, leaked %v", err, leaked.Load())
	}
}

func TestParseServerURL_takesAnAddressAndNothingElse(t *testing.T) {
	for text, ok := range map[string]bool{
		"http://prometheus.monitoring.svc:9090": true,
		"https://prom.example.test/tenant":      true,
		"prometheus:9090":                       false,
		"ftp://prom.test":                       false,
		"http://user:password@prom.test":        false,
		"http://prom.test?x=1":                  false,
		"":                                      false,
	} {
		if _, err := ParseServerURL(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		} else if err != nil && strings.Contains(err.Error(), "password") {
			t.Errorf("%q: the error holds the password", text)
		}
	}
}

// through notes which service was asked for.
type through struct{ asked string }

func (s *through) ServiceURL(namespace, service string, port int) (*http.Client, *url.URL, error) {
	s.asked = fmt.Sprintf("%s/%s:%d", namespace, service, port)
	return http.DefaultClient, &url.URL{Scheme: "https", Host: "api.test"}, nil
}

func TestNewServer_reachesServicesThroughTheAPIServer(t *testing.T) {
	for _, c := range []struct{ address, token, want string }{
		{"http://prometheus.monitoring.svc:9090", "", "monitoring/prometheus:9090"},
		{"http://prometheus.monitoring.svc.cluster.local/prom", "", "monitoring/prometheus:80"},
		{"http://prometheus.monitoring.svc:9090", "token", ""}, // the API server would keep it
		{"https://prometheus.monitoring.svc:9090", "", ""},
		{"http://prometheus.example.test", "", ""},
	} {
		at, err := ParseServerURL(c.address)
		if err != nil {
			t.Fatal(err)
		}
		way := &through{}
		if _, err := NewServer(at, c.token, way, time.Minute, progress.Discard); err != nil || way.asked != c.want {
			t.Errorf("%s: %q, %v; want %q", c.address, way.asked, err, c.want)
		}
	}
}

func TestCheck_refusesAQueryThatIsNone(t *testing.T) {
	s := asked(t, "", func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.FormValue("query"), "((") {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"status":"error","errorType":"bad_data","error":"parse error: unclosed"}`))
			return
		}
		answers("vector", `[]`)(w, r)
	})
	if err := s.Check(t.Context(), []string{"sum(x)"}); err != nil {
		t.Errorf("a good one: %v", err)
	}
	if err := s.Check(t.Context(), []string{"sum((x"}); err == nil || !strings.Contains(err.Error(), "parse error") {
		t.Errorf("a broken one: %v", err)
	}
	if err := s.Check(t.Context(), []string{"sum(x{v=\"{{wersion}}\"})"}); err == nil || !strings.Contains(err.Error(), "{{wersion}}") {
		t.Errorf("an unknown placeholder: %v", err)
	}
}

func TestFill_putsInWhatIsSafe(t *testing.T) {
	with := placeholders{service: "orders", namespace: "production", version: "(7d9f|5c4b)", window: 36100 * time.Millisecond}
	got, err := fill(`sum(rate(x{ns="{{namespace}}",s="{{ service }}",pod=~".+-{{version}}-.+"}[{{window}}]))`, with)
	if want := `sum(rate(x{ns="production",s="orders",pod=~".+-(7d9f|5c4b)-.+"}[37s]))`; err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	with.version = `x"} or vector(0) #`
	if got, err := fill("{{version}}", with); err == nil {
		t.Errorf("got %s", got)
	}
}

func TestQueried_takesOneNumberAndNothingElse(t *testing.T) {
	one := func(value string) string { return fmt.Sprintf(`[{"metric":{},"value":[1,%q]}]`, value) }
	for name, c := range map[string]struct {
		kind, result string
		want         float64
		says         string
	}{
		"a vector of one":  {"vector", one("0.25"), 0.25, ""},
		"a scalar":         {"scalar", `[1,"3"]`, 3, ""},
		"nothing":          {"vector", `[]`, 0, "no data"},
		"NaN":              {"vector", one("NaN"), 0, "NaN"},
		"infinity":         {"vector", one("+Inf"), 0, "Inf"},
		"many series":      {"vector", `[{"metric":{"a":"1"},"value":[1,"1"]},{"metric":{"a":"2"},"value":[1,"2"]},{"metric":{"a":"3"},"value":[1,"2"]}]`, 0, "3 series"},
		"text":             {"string", `[1,"x"]`, 0, "string"},
		"a whole range":    {"matrix", `[{"metric":{},"values":[[1,"1"]]}]`, 0, "matrix"},
		"a broken number":  {"vector", `[{"metric":{},"value":[1,"x"]}]`, 0, "none of Prometheus'"},
		"half a pair":      {"vector", `[{"metric":{},"value":[1]}]`, 0, "none of Prometheus'"},
		"another's result": {"vector", `{"a":1}`, 0, "none of Prometheus'"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.run("a", status(http.StatusOK))
			p.change("a", func(pod *corev1.Pod) { pod.Labels = map[string]string{"pod-template-hash": "7d9f"} })
			s := asked(t, "", answers(c.kind, c.result))
			const query = `x{v="{{version}}"}`
			session := s.Queried(RestartsOnly{}, []string{query}, "orders", "production").Start(t.Context(), p.list)
			m := measure(t, session)
			got, has := m.Queries[query]
			if has != (c.says == "") || got != c.want || !strings.Contains(m.Unanswered[query], c.says) {
				t.Errorf("got %v (%v), %q; want %v, %q", got, has, m.Unanswered[query], c.want, c.says)
			}
			if !m.HasRestarts {
				t.Error("the other source is not heard")
			}
		})
	}
}

func TestQueried_asksForTheVersionsPods(t *testing.T) {
	p := newPlace(t)
	for name, hash := range map[string]string{"a": "7d9f", "b": "5c4b", "c": "7d9f"} {
		p.run(name, status(http.StatusOK))
		p.change(name, func(pod *corev1.Pod) { pod.Labels = map[string]string{"pod-template-hash": hash} })
	}
	var last atomic.Value
	s := asked(t, "", func(w http.ResponseWriter, r *http.Request) {
		if q := r.FormValue("query"); strings.HasPrefix(q, "x") {
			last.Store(q)
			answers("scalar", `[1,"1"]`)(w, r)
			return
		}
		answers("matrix", `[{"metric":{},"values":[[1,"1"],[2,"1"],[3,"1"]]}]`)(w, r) // up, every second
	})
	const query = `x{v=~"{{version}}"}[{{window}}]`
	session := s.Queried(RestartsOnly{}, []string{query}, "orders", "production").Start(t.Context(), p.list)
	if m := measure(t, session); !strings.Contains(m.Unanswered[query], "two scrapes") {
		t.Errorf("before there are two scrapes: %v, %v", m.Queries, m.Unanswered)
	}
	asking, ok := session.(*asking)
	if !ok {
		t.Fatal("another session")
	}
	asking.began = time.Now().Add(-4500 * time.Millisecond)
	if m := measure(t, session); m.Queries[query] != 1 {
		t.Errorf("got %v, %v", m.Queries, m.Unanswered)
	}
	if want := `x{v=~"(5c4b|7d9f)"}[5s]`; last.Load() != want {
		t.Errorf("asked %v, want %s", last.Load(), want)
	}
	if s, ok := session.(Stepper); ok {
		s.Step()
	}
	if m := measure(t, session); len(m.Queries) > 0 {
		t.Errorf("in the next step: %v", m.Queries)
	}
}

func TestServer_refusesMoreSeriesThanItReads(t *testing.T) {
	var all []any
	for i := range mostSeries + 1 {
		all = append(all, map[string]any{"metric": map[string]string{"a": fmt.Sprint(i)}, "values": []any{[]any{1, "1"}}})
	}
	result, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	p := newPlace(t)
	p.run("a", status(http.StatusOK))
	session := asked(t, "", answers("matrix", string(result))).Source(Names{}).Start(t.Context(), p.list)
	if _, err := session.Read(t.Context()); err == nil || !strings.Contains(err.Error(), "series") {
		t.Errorf("got %v", err)
	}
}
