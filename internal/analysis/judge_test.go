package analysis

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
)

func parse(t testing.TB, line string) Check {
	t.Helper()
	c, err := Parse(line)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// requests is a measurement of n requests, failed of them failed and slow of
// them taking a second instead of ten milliseconds, within ten seconds.
func requests(n, failed, slow int64) Measurement {
	m := Measurement{Window: 10 * time.Second, Requests: n, Errors: failed}
	for i := range n {
		if i < slow {
			m.Latency.Add(time.Second)
		} else {
			m.Latency.Add(10 * time.Millisecond)
		}
	}
	return m
}

func TestJudge_limits(t *testing.T) {
	restarted := Measurement{Restarts: 1, HasRestarts: true}
	calm := Measurement{HasRestarts: true}
	queried := Measurement{Queries: map[string]float64{"up": 3, "nan": math.NaN()}}
	for _, c := range []struct {
		check   string
		now     Measurement
		verdict Verdict
		detail  string
	}{
		{"error-rate < 1%", Measurement{}, Inconclusive, "nothing was measured"},
		{"p95 < 1s", Measurement{Requests: 500}, Inconclusive, "nothing was measured"},
		{"rate > 1/s", Measurement{Window: time.Minute}, Inconclusive, "nothing was measured"},
		{"restarts < 1", requests(1000, 0, 0), Inconclusive, "nothing was measured"},
		{`query("up") > 1`, requests(1000, 0, 0), Inconclusive, "nothing was measured"},
		{`query("nan") > 1`, queried, Inconclusive, "nothing was measured"},

		{"error-rate < 1%", requests(1000, 9, 0), Pass, "0.9% over 1000 requests"},
		{"error-rate < 1%", requests(1000, 10, 0), Fail, "1% over 1000 requests"},
		{"error-rate <= 1%", requests(1000, 10, 0), Pass, "1% over"},
		{"error-rate < 1%", requests(20, 0, 0), Inconclusive, "at least 100 are needed"},
		{"error-rate < 1%", requests(99, 1, 0), Inconclusive, "at least 100 are needed"},
		{"error-rate < 1%", requests(100, 0, 0), Pass, ""},
		{"error-rate < 1%", requests(20, 20, 0), Fail, "100% over 20 requests"},
		{"error-rate < 1%", requests(20, 1, 0), Inconclusive, "at least 100"},
		{"error-rate < 10%", requests(19, 0, 0), Inconclusive, "at least 20"},
		{"error-rate < 10%", requests(20, 0, 0), Pass, ""},
		{"error-rate <= 0%", requests(50, 0, 0), Pass, ""},
		{"error-rate <= 0%", requests(5, 1, 0), Fail, ""},

		{"p95 < 500ms", requests(100, 0, 4), Pass, "10.01ms over 100 requests"},
		{"p95 < 500ms", requests(100, 0, 6), Fail, "995ms over"},
		{"p99 < 500ms", requests(50, 0, 0), Inconclusive, "at least 100"},
		{"p50 < 500ms", requests(19, 0, 1), Inconclusive, "at least 20"},
		{"max < 500ms", requests(100, 0, 1), Fail, "1s"},
		{"max < 500ms", requests(100, 0, 0), Pass, "10ms"},
		{"rate > 50/s", requests(600, 0, 0), Pass, "60/s"},
		{"rate > 70/s", requests(600, 0, 0), Fail, "60/s"},

		{"restarts < 1", calm, Pass, "0"},
		{"restarts < 1", restarted, Fail, "1"},
		{`query("up") > 2.5`, queried, Pass, "3"},
		{`query("up") > 3`, queried, Fail, "3"},
	} {
		got := Judge(parse(t, c.check), c.now, nil)
		if got.Verdict != c.verdict || !strings.Contains(got.Detail, c.detail) || got.Check != c.check {
			t.Errorf("%s of %d requests: got %+v, want %v, %q", c.check, c.now.Requests, got, c.verdict, c.detail)
		}
	}
}

func TestJudge_comparisons(t *testing.T) {
	base := requests(1000, 5, 30)
	for _, c := range []struct {
		check   string
		now     Measurement
		verdict Verdict
		detail  string
	}{
		{"error-rate worse-than baseline by 1%", Measurement{}, Inconclusive, "nothing was measured"},
		{"error-rate worse-than baseline by 1%", requests(1000, 5, 0), Pass, "0.5% against the baseline's 0.5%"},
		{"error-rate worse-than baseline by 1%", requests(1000, 40, 0), Fail, "4% against the baseline's 0.5%"},
		{"error-rate worse-than baseline by 5%", requests(1000, 40, 0), Pass, ""},
		{"error-rate worse-than baseline by 1%", requests(100, 2, 0), Pass, "chance explains"},
		{"error-rate worse-than baseline by 1%", requests(30, 0, 0), Inconclusive, "at least 100 of each"},
		{"error-rate worse-than baseline by 1%", requests(30, 10, 0), Fail, "33.3% against"},
		{"p95 worse-than baseline by 20%", requests(1000, 0, 30), Pass, "10.01ms against the baseline's 10.01ms"},
		{"p95 worse-than baseline by 20%", requests(1000, 0, 120), Fail, "999.14ms against the baseline's 10.01ms"},
		{"p95 worse-than baseline by 2s", requests(1000, 0, 120), Pass, ""},
		{"p95 worse-than baseline by 20%", requests(40, 0, 3), Pass, "chance explains"},
		{"max worse-than baseline by 20%", requests(1000, 0, 30), Pass, ""},
		{"rate worse-than baseline by 10%", requests(1000, 0, 0), Pass, ""},
		{"rate worse-than baseline by 10%", requests(800, 0, 0), Fail, "80/s against the baseline's 100/s"},
		{"rate worse-than baseline by 10/s", requests(1200, 0, 0), Pass, ""},
	} {
		got := Judge(parse(t, c.check), c.now, &base)
		if got.Verdict != c.verdict || !strings.Contains(got.Detail, c.detail) {
			t.Errorf("%s, %d/%d: got %+v, want %v, %q", c.check, c.now.Errors, c.now.Requests, got, c.verdict, c.detail)
		}
	}
	check := parse(t, "error-rate worse-than baseline by 1%")
	for _, missing := range []*Measurement{nil, {}} {
		if got := Judge(check, requests(1000, 0, 0), missing); got.Verdict != Inconclusive {
			t.Errorf("without a baseline: got %+v", got)
		}
	}
}

func TestJudge_comparesRestartsInTime(t *testing.T) {
	minute := func(n int) Measurement {
		return Measurement{Window: time.Minute, Restarts: n, HasRestarts: true}
	}
	check, base := parse(t, "restarts worse-than baseline by 1"), minute(1)
	for n, want := range map[int]Verdict{1: Pass, 2: Pass, 5: Pass, 20: Fail} {
		if got := Judge(check, minute(n), &base); got.Verdict != want {
			t.Errorf("%d restarts against 1: got %+v, want %v", n, got, want)
		}
	}
}

// One beside nine, nine beside one: what counts is how often a pod restarts.
func TestJudge_comparesRestartsPodByPod(t *testing.T) {
	pods := func(pods, n int) Measurement {
		return Measurement{Window: time.Minute, PodTime: time.Duration(pods) * time.Minute, Restarts: n, HasRestarts: true}
	}
	check := parse(t, "restarts worse-than baseline by 1")
	for _, c := range []struct {
		now, base Measurement
		want      Verdict
	}{
		{pods(1, 3), pods(9, 0), Fail},
		{pods(1, 9), pods(9, 9), Fail},
		{pods(1, 1), pods(9, 9), Pass},
		{pods(18, 18), pods(2, 2), Pass},
		{pods(9, 9), pods(1, 1), Pass},
		{pods(18, 60), pods(2, 0), Fail},
	} {
		if got := Judge(check, c.now, &c.base); got.Verdict != c.want {
			t.Errorf("%d in %v against %d in %v: got %+v, want %v", c.now.Restarts, c.now.PodTime, c.base.Restarts, c.base.PodTime, got, c.want)
		}
	}
}

func TestTogether_takesTheWorst(t *testing.T) {
	for _, c := range []struct {
		in   []Verdict
		want Verdict
	}{
		{nil, Pass},
		{[]Verdict{Pass, Pass}, Pass},
		{[]Verdict{Pass, Inconclusive}, Inconclusive},
		{[]Verdict{Inconclusive, Fail, Pass}, Fail},
	} {
		var results []Result
		for _, v := range c.in {
			results = append(results, Result{Verdict: v})
		}
		if got := Together(results); got != c.want {
			t.Errorf("%v: got %v, want %v", c.in, got, c.want)
		}
	}
}

func TestResult_survivesJSON(t *testing.T) {
	for _, v := range []Verdict{Inconclusive, Pass, Fail} {
		raw, err := json.Marshal(Result{Check: "restarts < 1", Verdict: v})
		if err != nil || !strings.Contains(string(raw), `"verdict":"`+v.String()+`"`) {
			t.Errorf("%v: got %s, %v", v, raw, err)
		}
		var back Result
		if err := json.Unmarshal(raw, &back); err != nil || back.Verdict != v {
			t.Errorf("%v: read back as %v, %v", v, back.Verdict, err)
		}
	}
	if err := json.Unmarshal([]byte(`{"verdict":"passed"}`), new(Result)); err == nil {
		t.Error("an unknown verdict was taken")
	}
}

func TestFisher_isExact(t *testing.T) {
	for _, c := range []struct {
		table table
		want  float64
	}{
		{table{3, 4, 1, 4}, 17.0 / 70}, // the lady tasting tea
		{table{4, 4, 0, 4}, 1.0 / 70},
		{table{0, 4, 4, 4}, 1},
		{table{0, 10, 0, 10}, 1},
		{table{5, 5, 0, 0}, 1},
	} {
		if got := fisher(c.table); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%v: got %v, want %v", c.table, got, c.want)
		}
	}
}

func TestOverLimit_isExact(t *testing.T) {
	if got, want := overLimit(2, 3, 0.5), 0.5; math.Abs(got-want) > 1e-9 {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := overLimit(20, 20, 0.01), math.Pow(0.01, 20); math.Abs(got/want-1) > 1e-6 {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestFisher_endsOnMadeUpCounts(t *testing.T) {
	huge := table{1 << 52, 1 << 53, 1 << 51, 1 << 53}
	if p := fisher(huge); p > 1e-9 || math.IsNaN(p) {
		t.Errorf("got %v", p)
	}
	var e evidence
	e.step()
	e.compare(huge)
	if !e.sound(0.001) {
		t.Error("the evidence is lost")
	}
	fisher(table{7, 3, -2, 5}) // impossible, and must not hang
}

func TestSlower_cutsOnlyWhereBothCan(t *testing.T) {
	ours, err := FromBuckets([]Bucket{{0.1, 90}, {0.5, 100}})
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := FromBuckets([]Bucket{{0.1, 99}, {1, 100}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := slower(ours, theirs, 0.95), (table{10, 100, 1, 100}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	apart, err := FromBuckets([]Bucket{{0.07, 50}, {2, 100}})
	if err != nil {
		t.Fatal(err)
	}
	if got := slower(ours, apart, 0.95); !got.empty() {
		t.Errorf("no common bound, got %v", got)
	}
}

func TestJudge_comparesQueriesAsTheyAre(t *testing.T) {
	check, err := Parse(`query("failed") worse-than baseline by 50%`)
	if err != nil {
		t.Fatal(err)
	}
	value := func(v float64) Measurement { return Measurement{Queries: map[string]float64{"failed": v}} }
	base, nothing, silent := value(10), value(0), Measurement{Unanswered: map[string]string{"failed": "it gives no data"}}
	for name, c := range map[string]struct {
		now      Measurement
		baseline *Measurement
		ended    bool
		want     Verdict
		says     string
	}{
		"a little worse":              {value(15), &base, true, Pass, "15 against the baseline's 10"},
		"much worse":                  {value(16), &base, true, Fail, "16 against the baseline's 10"},
		"much worse in the middle":    {value(16), &base, false, Inconclusive, "so far"},
		"without data":                {silent, &base, true, Inconclusive, "it gives no data"},
		"without the baseline's":      {value(1), &silent, true, Inconclusive, "of the baseline"},
		"without a baseline at all":   {value(1), nil, true, Inconclusive, "no baseline"},
		"the same as a baseline of 0": {value(0), &nothing, true, Pass, ""},
	} {
		s := NewSeries([]Check{check}, Rules{})
		look := s.Look
		if c.ended {
			look = s.End
		}
		if got := look(c.now, c.baseline)[0]; got.Verdict != c.want || !strings.Contains(got.Detail, c.says) {
			t.Errorf("%s: %v, %q; want %v, %q", name, got.Verdict, got.Detail, c.want, c.says)
		}
	}
}
