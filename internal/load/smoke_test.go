package load

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/progress"
)

func run(ctx context.Context, t *testing.T, line string, handler http.HandlerFunc) analysis.Result {
	t.Helper()
	server := httptest.NewServer(handler)
	defer server.Close()
	return ask(ctx, t, line, server.URL)
}

func ask(ctx context.Context, t *testing.T, line, at string) analysis.Result {
	t.Helper()
	s, err := ParseSmoke(line)
	if err != nil {
		t.Fatal(err)
	}
	base, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	return s.Run(ctx, &http.Client{}, base.JoinPath("proxy"), progress.Hide([]string{"pl4nted value"}))
}

func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestRun_judgesAsWritten(t *testing.T) {
	for _, c := range []struct {
		line    string
		handler http.HandlerFunc
		verdict analysis.Verdict
		detail  string
	}{
		{"GET / => 200", says(200, ""), analysis.Pass, ""},
		{"GET / => 404", says(404, ""), analysis.Pass, ""},
		{"GET / => 503", says(503, "draining"), analysis.Pass, ""},
		{"GET / => 200", says(404, "no such thing"), analysis.Fail, "status 404 instead of 200: no such thing"},
		{"GET / => 200", says(503, "draining"), analysis.Fail, "status 503 instead of 200: draining"},
		{"GET / => 200", says(500, ""), analysis.Fail, "status 500 instead of 200, with an empty body"},
		{`GET / => 200 contains "cup"`, says(200, "a cup"), analysis.Pass, ""},
		{`GET / => 200 contains "cup"`, says(200, "a mug"), analysis.Fail, `status 200, but the body does not contain "cup": a mug`},
		{"GET / => 200 json .n == 3", says(200, `{"n":3.0}`), analysis.Pass, ""},
		{"GET / => 200 json .n == 3", says(200, `{"n":4}`), analysis.Fail, `json .n is 4 instead of 3: {"n":4}`},
		{"GET / => 200 json .n == 3", says(200, `{"m":4}`), analysis.Fail, "json .n: there is no .n"},
		{"GET / => 200 json .n == 3", says(200, "<html>"), analysis.Fail, "json .n: the body is no JSON: <html>"},
		{"GET / => 200", says(200, strings.Repeat("x", 1<<20+1)), analysis.Fail, "a body of more than 1 MiB"},
	} {
		got := run(t.Context(), t, c.line, c.handler)
		if got.Verdict != c.verdict || !strings.HasPrefix(got.Detail, c.detail) || (c.detail == "") != (got.Detail == "") || got.Check != c.line {
			t.Errorf("%s: got %+v, want %v, %q", c.line, got, c.verdict, c.detail)
		}
	}
}

func TestRun_sendsWhatIsWritten(t *testing.T) {
	got := run(t.Context(), t, "PUT /a%2Fb/?c=d&e => 200", func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPut || r.RequestURI != "/proxy/a%2Fb/?c=d&e" {
			w.WriteHeader(http.StatusTeapot)
			_, _ = io.WriteString(w, r.Method+" "+r.RequestURI)
		}
	})
	if got.Verdict != analysis.Pass {
		t.Errorf("got %+v", got)
	}
}

const (
	notWritten  = `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"services \"orders\" not found","reason":"NotFound","details":{"name":"orders","kind":"services"},"code":404}`
	noEndpoints = `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no endpoints available for service \"orders\"","reason":"ServiceUnavailable","code":503}`
	unreachable = `{"kind":"Status","apiVersion":"v1","status":"Failure","message":"error trying to reach service: dial tcp 10.0.0.1:3000: connect: connection refused","reason":"ServiceUnavailable","code":503}`
)

func TestRun_waitsForTheServiceToComeUp(t *testing.T) {
	for body, status := range map[string]int{
		notWritten:  http.StatusNotFound,
		noEndpoints: http.StatusServiceUnavailable,
		unreachable: http.StatusServiceUnavailable,
	} {
		var asked atomic.Int64
		got := run(t.Context(), t, "GET / => 200", func(w http.ResponseWriter, r *http.Request) {
			if asked.Add(1) < 3 {
				says(status, body)(w, r)
			}
		})
		if got.Verdict != analysis.Pass || asked.Load() != 3 {
			t.Errorf("got %+v after %d requests", got, asked.Load())
		}
	}
}

func TestRun_waitsForSomebodyToListen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := taken.Addr().String()
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: says(http.StatusOK, ""), ReadHeaderTimeout: time.Second}
	defer func() { _ = server.Close() }()
	listening := make(chan error, 1)
	time.AfterFunc(600*time.Millisecond, func() {
		listener, err := listenAt(address)
		listening <- err
		if err == nil {
			_ = server.Serve(listener)
		}
	})
	got := ask(t.Context(), t, "GET / => 200", "http://"+address)
	if err := <-listening; err != nil {
		t.Fatalf("nobody could listen again: %v", err)
	}
	if got.Verdict != analysis.Pass {
		t.Errorf("got %+v", got)
	}
}

// listenAt tries for five seconds: for a moment somebody else's connection may
// have the port.
func listenAt(address string) (net.Listener, error) {
	for begun := time.Now(); ; <-time.After(50 * time.Millisecond) {
		listener, err := net.Listen("tcp", address)
		if err == nil || time.Since(begun) > 5*time.Second {
			return listener, err
		}
	}
}

func TestRun_takesTheServicesOwnAnswerAtOnce(t *testing.T) {
	for body, status := range map[string]int{
		"not ready": http.StatusServiceUnavailable,
		`{"kind":"Status","apiVersion":"v1","message":"apiserver is shutting down","code":503}`: http.StatusServiceUnavailable,
		"no such page": http.StatusNotFound,
		`{"kind":"Status","apiVersion":"v1","reason":"NotFound","details":{"name":"7","kind":"orders"},"code":404}`: http.StatusNotFound,
	} {
		var asked atomic.Int64
		got := run(t.Context(), t, "GET / => 200", func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			says(status, body)(w, r)
		})
		if got.Verdict != analysis.Fail || asked.Load() != 1 {
			t.Errorf("got %+v after %d requests", got, asked.Load())
		}
	}
}

func TestRun_neverTakesTheProxysAnswerForTheServices(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	got := run(ctx, t, "GET / => 503", says(http.StatusServiceUnavailable, noEndpoints))
	if got.Verdict != analysis.Inconclusive || !strings.Contains(got.Detail, "cancelled") {
		t.Errorf("got %+v", got)
	}
}

func TestRun_givesUpAfterTenSeconds(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	began := time.Now()
	got := run(t.Context(), t, "GET / => 200", says(http.StatusServiceUnavailable, noEndpoints))
	if took := time.Since(began); took < 9*time.Second || took > 13*time.Second {
		t.Errorf("gave up after %v", took)
	}
	if got.Verdict != analysis.Fail || !strings.Contains(got.Detail, "no endpoints available") {
		t.Errorf("got %+v", got)
	}
}

func TestRun_failsWhereTheBodyBreaksOff(t *testing.T) {
	got := run(t.Context(), t, "GET / => 200", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half")
	})
	if got.Verdict != analysis.Fail || !strings.Contains(got.Detail, "broke off after 4 bytes") {
		t.Errorf("got %+v", got)
	}
}

func TestRun_tellsAnAnswerWithoutWhatIsHidden(t *testing.T) {
	for line, body := range map[string]string{
		"GET / => 200":                               "is pl4nted value here",
		`GET / => 500 contains "cup"`:                strings.Repeat("x", shownRunes-8) + "pl4nted value",
		`GET / => 500 json .a == "b"`:                `{"a": "pl4nted value"}`,
		`GET / => 500 json .a[0] == "b"`:             `{"a": {"pl4nted value": 1}}`,
		`GET / => 500 contains "pl4nted value here"`: "pl4nted value",
	} {
		got := run(t.Context(), t, line, says(500, body))
		if detail := strings.ReplaceAll(got.Detail, `contain "pl4nted value here"`, ""); strings.Contains(detail, "pl4n") || got.Verdict != analysis.Fail {
			t.Errorf("%s: got %+v", line, got)
		}
	}
	if got := run(t.Context(), t, `GET / => 500 contains "pl4nted value"`, says(500, "a pl4nted value")); got.Verdict != analysis.Pass {
		t.Errorf("what is hidden is not judged: got %+v", got)
	}
}

func TestRun_cleansWhatTheServerSent(t *testing.T) {
	got := run(t.Context(), t, "GET / => 200", says(500, "\x1b[31m::error::\r\n::x\x00\xff\u202e"+strings.Repeat("ü", 400)))
	if !utf8.ValidString(got.Detail) || strings.ContainsFunc(got.Detail, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("got %q", got.Detail)
	}
	if n := utf8.RuneCountInString(got.Detail); n > shownRunes+60 {
		t.Errorf("%d characters", n)
	}
}
