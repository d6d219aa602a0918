package load

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestParseSpec_readsSettings(t *testing.T) {
	for line, want := range map[string]Spec{
		"rate=200 duration=30s path=/orders": {
			Rate: 200, Duration: 30 * time.Second, WarmUp: 3 * time.Second, Timeout: 10 * time.Second, Method: "GET", Path: "/orders", Workers: 1,
		},
		" duration=2m  rate=4.5/s workers=4 warm-up=0s timeout=500ms method=POST path=/a?b=c": {
			Rate: 4.5, Duration: 2 * time.Minute, Timeout: 500 * time.Millisecond, Method: "POST", Path: "/a?b=c", Workers: 4,
		},
	} {
		if got, err := ParseSpec(line); err != nil || got != want {
			t.Errorf("%s: got %+v, %v; want %+v", line, got, err, want)
		}
	}
	for line, want := range map[string]string{
		"":                                "rate is missing",
		"rate=5":                          "duration is missing",
		"rate 5 duration=3s":              "expected name=value",
		"rate=0 duration=3s":              "expected rate=1",
		"rate=NaN duration=3s":            "expected rate=1",
		"rate=5 rate=6 duration=3s":       "given twice",
		"rate=5 duration=30":              "expected duration=1s",
		"rate=5 duration=2h":              "expected duration=1s",
		"rate=5 duration=3s path=x":       "expected path=/",
		"rate=5 duration=3s path=/../x":   "expected path=/",
		"rate=5 duration=3s method=TRACE": "expected method=",
		"rate=5 duration=3s workers=0":    "expected workers=1",
		"rate=5 duration=3s users=7":      "expected rate, duration, path",
	} {
		if _, err := ParseSpec(line); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", line, err, want)
		}
	}
}

func put(ctx context.Context, t *testing.T, s Spec, handler http.HandlerFunc) (Report, error) {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	base, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	s.Method, s.Path = "GET", "/orders"
	return s.Run(ctx, server.Client(), base)
}

func TestSpec_sendsAtItsRateAndLeavesOutTheWarmUp(t *testing.T) {
	var asked atomic.Int64
	report, err := put(t.Context(), t, Spec{Rate: 100, Duration: time.Second, WarmUp: 500 * time.Millisecond, Timeout: time.Second},
		func(w http.ResponseWriter, r *http.Request) {
			if asked.Add(1)%10 == 0 {
				w.WriteHeader(http.StatusInternalServerError)
			}
			if r.URL.Path != "/orders" {
				w.WriteHeader(http.StatusNotFound)
			}
		})
	if err != nil {
		t.Fatal(err)
	}
	if report.Requests < 98 || report.Requests > 102 || asked.Load() < 148 {
		t.Errorf("%d measured of %d sent, want 100 of 150", report.Requests, asked.Load())
	}
	if report.Errors < 9 || report.Errors > 11 || report.Statuses[http.StatusInternalServerError] != report.Errors {
		t.Errorf("%d errors, statuses %v", report.Errors, report.Statuses)
	}
	if report.Latency.Count() != report.Requests || report.Window < time.Second {
		t.Errorf("%d latencies in %v", report.Latency.Count(), report.Window)
	}
	raw, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(raw, &back); err != nil || back.Requests != report.Requests || back.Latency.Count() != report.Latency.Count() {
		t.Errorf("%s read back as %+v, %v", raw, back, err)
	}
}

func TestSpec_keepsItsRateWhereTheServiceStalls(t *testing.T) {
	var first sync.Once
	var began time.Time // when the first request came
	report, err := put(t.Context(), t, Spec{Rate: 100, Duration: time.Second, Timeout: 5 * time.Second},
		func(_ http.ResponseWriter, r *http.Request) {
			first.Do(func() { began = time.Now() })
			select { // the first half second's requests are all answered together
			case <-time.After(500*time.Millisecond - time.Since(began)):
			case <-r.Context().Done():
			}
		})
	if err != nil {
		t.Fatal(err)
	}
	p75, _ := report.Latency.Quantile(0.75) // half of them came during the stall, and waited 250 ms on average
	if report.Requests != 100 || p75 < 150*time.Millisecond {
		t.Errorf("%d requests, p75 %v: the stall is not seen by those who came during it", report.Requests, p75)
	}
	if slowest, _ := report.Latency.Quantile(1); slowest < 400*time.Millisecond {
		t.Errorf("the slowest took %v", slowest)
	}
}

func TestSpec_countsNoIntervalAsLatency(t *testing.T) {
	report, err := put(t.Context(), t, Spec{Rate: 2, Duration: 2 * time.Second, Timeout: 5 * time.Second}, func(http.ResponseWriter, *http.Request) {})
	if err != nil {
		t.Fatal(err)
	}
	if least, _ := report.Latency.Quantile(0); report.Requests != 4 || least > 250*time.Millisecond {
		t.Errorf("%d requests, the fastest in %v", report.Requests, least)
	}
}

func TestSpec_tellsWhyThereIsNoAnswer(t *testing.T) {
	report, err := put(t.Context(), t, Spec{Rate: 20, Duration: time.Second, Timeout: 100 * time.Millisecond},
		func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	if err != nil {
		t.Fatal(err)
	}
	if report.Errors != report.Requests || report.Statuses[0] != report.Requests || len(report.Problems) == 0 {
		t.Errorf("%d of %d failed, statuses %v, problems %v", report.Errors, report.Requests, report.Statuses, report.Problems)
	}
}

func TestSpec_returnsAtOnceWhenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var asked atomic.Int64
	var cancelled time.Time
	began := time.Now()
	report, err := put(ctx, t, Spec{Rate: 100, Duration: time.Minute, Timeout: 30 * time.Second}, func(http.ResponseWriter, *http.Request) {
		if asked.Add(1) == 30 { // the first of them are answered by then
			cancelled = time.Now()
			cancel(errors.New("enough"))
		}
	})
	if err == nil || err.Error() != "enough" || time.Since(cancelled) > 3*time.Second {
		t.Errorf("got %v, %v after the cancel", err, time.Since(cancelled))
	}
	if report.Requests == 0 || report.Window > time.Since(began) {
		t.Errorf("%d requests in %v", report.Requests, report.Window)
	}
	both := report.Merge(report)
	if both.Requests != 2*report.Requests || both.Latency.Count() != 2*report.Latency.Count() || both.Window != report.Window {
		t.Errorf("merged: %+v", both)
	}
}
