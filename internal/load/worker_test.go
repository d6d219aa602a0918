package load

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fibership/fibership/internal/analysis"
)

func TestSpec_readsWhatItWrites(t *testing.T) {
	for _, line := range []string{
		"rate=200 duration=30s path=/orders?page=1", "rate=100000 duration=1h warm-up=0s workers=100 method=POST timeout=1ms",
	} {
		s, err := ParseSpec(line)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []Spec{s, s.Share()} {
			if again, err := ParseSpec(want.String()); err != nil || again != want {
				t.Errorf("%s reads as %+v, %v; want %+v", want, again, err, want)
			}
		}
	}
	odd := Spec{Rate: 100, Workers: 3, Duration: time.Second, Timeout: time.Second, Method: "GET", Path: "/"}.Share()
	if again, err := ParseSpec(odd.String()); err != nil || again.Rate != 100.0/3 {
		t.Errorf("%s reads as %v, %v", odd, again.Rate, err)
	}
	if _, err := ParseSpec("rate=3 duration=1s workers=4"); err == nil {
		t.Error("four workers may share three requests a second")
	}
}

func TestWork_reportsWhatItMeasured(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	defer server.Close()
	s, err := ParseSpec("rate=100 duration=1s warm-up=0s")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Work(t.Context(), server.URL, s, false, &out); err != nil {
		t.Fatal(err)
	}
	r, is, err := ParseReport(strings.TrimSpace(out.String()))
	if !is || err != nil || r.Requests != 100 || r.Statuses[http.StatusTeapot] != r.Requests || r.Latency.Count() != r.Requests || r.Began.IsZero() {
		t.Errorf("report of %d requests, %v, %v", r.Requests, is, err)
	}
	for _, address := range []string{"", "orders:80", "file:///etc/passwd", "http://"} {
		if err := Work(t.Context(), address, s, false, &out); err == nil {
			t.Errorf("address %q was taken", address)
		}
	}
}

func TestParseReport_refusesWhatCannotBe(t *testing.T) {
	good := Report{Measurement: analysis.Measurement{Window: time.Second, Requests: 2, Errors: 1}, Statuses: map[int]int64{200: 1, 0: 1}, Problems: map[string]int64{"refused\n::error::x": 1}}
	good.Latency.Add(time.Millisecond)
	good.Latency.Add(time.Second)
	line := func(change func(*Report)) string {
		r := good
		r.Statuses = map[int]int64{200: 1, 0: 1}
		change(&r)
		raw, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return reported + string(raw)
	}
	r, is, err := ParseReport(line(func(*Report) {}))
	if !is || err != nil || r.Requests != 2 {
		t.Fatalf("a good report: %+v, %v, %v", r, is, err)
	}
	for problem := range r.Problems {
		if strings.Contains(problem, "\n") {
			t.Errorf("problem %q has two lines", problem)
		}
	}
	for name, bad := range map[string]string{
		"more errors than requests":   line(func(r *Report) { r.Errors = 3 }),
		"more requests than measured": line(func(r *Report) { r.Requests = 3 }),
		"a status too often":          line(func(r *Report) { r.Statuses[200] = 7 }),
		"a count below zero":          line(func(r *Report) { r.Statuses[200], r.Statuses[500] = 2, -1 }),
		"a window without end":        line(func(r *Report) { r.Window = 1000 * time.Hour }),
		"no JSON":                     reported + "{",
	} {
		if _, is, err := ParseReport(bad); !is || err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if _, is, err := ParseReport("listening on :8080"); is || err != nil {
		t.Errorf("another line: %v, %v", is, err)
	}
}

func TestMerge_tellsWhetherWorkersSentTogether(t *testing.T) {
	at := time.Date(2026, 1, 2, 10, 0, 0, 0, time.UTC)
	worker := func(after time.Duration) Report {
		return Report{Measurement: analysis.Measurement{Window: 10 * time.Second, Requests: 100}, Began: at.Add(after)}
	}
	for name, c := range map[string]struct {
		after []time.Duration
		want  time.Duration
	}{
		"together":        {[]time.Duration{0, 0, 0}, 10 * time.Second},
		"nearly together": {[]time.Duration{0, 20 * time.Millisecond, 90 * time.Millisecond}, 10 * time.Second},
		"apart":           {[]time.Duration{4 * time.Second, 0, time.Second}, 14 * time.Second},
		"one by one":      {[]time.Duration{0, 20 * time.Second}, 30 * time.Second},
	} {
		var sum Report
		for _, after := range c.after {
			sum = sum.Merge(worker(after))
		}
		if sum.Window != c.want || !sum.Began.Equal(at) || sum.Requests != int64(100*len(c.after)) {
			t.Errorf("%s: window %v from %v, want %v", name, sum.Window, sum.Began, c.want)
		}
	}
}
