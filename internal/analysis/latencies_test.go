package analysis

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestLatencies_areWithinOnePercentOfTheSamples(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var l Latencies
	var all []time.Duration
	for range 20_000 {
		d := time.Duration(float64(time.Millisecond) * math.Exp(3*random.NormFloat64()))
		all = append(all, d)
		l.Add(d)
	}
	slices.Sort(all)
	for _, q := range []float64{0, 0.001, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1} {
		want := all[max(0, int(math.Ceil(q*float64(len(all))))-1)]
		got, ok := l.Quantile(q)
		if !ok || math.Abs(float64(got-want)) > 0.0101*float64(want)+1 {
			t.Errorf("q=%v: got %v, want %v", q, got, want)
		}
	}
	if got, _ := l.Quantile(1); got != all[len(all)-1] {
		t.Errorf("the most is not exact: %v, want %v", got, all[len(all)-1])
	}
	if l.Interpolated() {
		t.Error("samples are called interpolated")
	}
}

func TestLatencies_holdAnyDuration(t *testing.T) {
	for _, d := range []time.Duration{math.MinInt64, -1, 0, 1, 2, 99, 100, 101, time.Hour, math.MaxInt64 - 1, math.MaxInt64} {
		var l Latencies
		l.Add(d)
		want := min(max(0, d), open-1)
		if got, ok := l.Quantile(0.5); !ok || got != want {
			t.Errorf("%v: got %v, %v", d, got, ok)
		}
		for b := range l.bins {
			if want < open && (b.lo >= want || b.hi < want) {
				t.Errorf("%v lies in (%d, %d]", d, b.lo, b.hi)
			}
		}
	}
}

func TestLatencies_interpolateWithinBuckets(t *testing.T) {
	l, err := FromBuckets([]Bucket{{math.Inf(1), 100}, {0.1, 50}, {0.2, 90}})
	if err != nil {
		t.Fatal(err)
	}
	for q, want := range map[float64]time.Duration{
		0.25: 50 * time.Millisecond, 0.5: 100 * time.Millisecond, 0.7: 150 * time.Millisecond,
		0.95: 200 * time.Millisecond, // beyond the last bound nothing is known
	} {
		if got, ok := l.Quantile(q); !ok || got != want {
			t.Errorf("q=%v: got %v, want %v", q, got, want)
		}
	}
	if !l.Interpolated() {
		t.Error("not called interpolated")
	}
	if got := l.Above(150 * time.Millisecond); got != 10 {
		t.Errorf("above 150ms: got %d, want the 10 that surely are", got)
	}
}

func TestFromBuckets_refusesWhatIsNoHistogram(t *testing.T) {
	for _, buckets := range [][]Bucket{
		{{0.1, 5}, {0.2, 4}},
		{{0.1, -1}},
		{{0.1, math.NaN()}},
		{{math.NaN(), 1}},
		{{0.1, math.Inf(1)}},
		make([]Bucket, mostBins+1),
	} {
		if l, err := FromBuckets(buckets); err == nil {
			t.Errorf("%.3v: taken as %v", buckets, l)
		}
	}
}

func TestLatencies_mergeAndSubtract(t *testing.T) {
	var early, late, both Latencies
	for i := range 100 {
		early.Add(time.Duration(i) * time.Millisecond)
		both.Add(time.Duration(i) * time.Millisecond)
		late.Add(time.Duration(i) * time.Second)
		both.Add(time.Duration(i) * time.Second)
	}
	merged := early.Merge(late)
	if got, want := merged.Count(), both.Count(); got != want {
		t.Errorf("merged: %d, want %d", got, want)
	}
	for _, q := range []float64{0, 0.3, 0.5, 0.9, 1} {
		got, _ := merged.Quantile(q)
		if want, _ := both.Quantile(q); got != want {
			t.Errorf("merged q=%v: got %v, want %v", q, got, want)
		}
		got, _ = both.Sub(early).Quantile(q)
		want, _ := late.Quantile(q)
		if math.Abs(float64(got-want)) > 0.0101*float64(want)+1 {
			t.Errorf("difference q=%v: got %v, want %v", q, got, want)
		}
	}
	if early.Count() != 100 || !both.Sub(both).IsZero() {
		t.Error("the operands changed")
	}
	merged.Add(time.Hour)
	if early.Count() != 100 {
		t.Error("the result shares with the operand")
	}
}

func TestLatencies_surviveJSON(t *testing.T) {
	var sampled Latencies
	for i := range 50 {
		sampled.Add(time.Duration(i*i) * time.Microsecond)
	}
	bucketed, err := FromBuckets([]Bucket{{0.1, 50}, {math.Inf(1), 51}})
	if err != nil {
		t.Fatal(err)
	}
	for name, l := range map[string]Latencies{"empty": {}, "sampled": sampled, "bucketed": bucketed} {
		raw, err := json.Marshal(l)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var back Latencies
		if err := json.Unmarshal(raw, &back); err != nil {
			t.Fatalf("%s: %v in %s", name, err, raw)
		}
		for _, q := range []float64{0, 0.5, 0.99, 1} {
			want, _ := l.Quantile(q)
			if got, _ := back.Quantile(q); got != want {
				t.Errorf("%s: q=%v is %v after %s, was %v", name, q, got, raw, want)
			}
		}
	}
}

func FuzzLatenciesJSON(f *testing.F) {
	f.Add([]byte(`{"min":1,"max":5,"bins":[[0,1,1],[1,-1,7]]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var l Latencies
		if json.Unmarshal(raw, &l) != nil {
			return
		}
		for _, q := range []float64{0, 0.5, 1} {
			if d, ok := l.Quantile(q); ok != (l.Count() > 0) || d < 0 {
				t.Errorf("q=%v is %v, %v", q, d, ok)
			}
		}
		again, err := json.Marshal(l)
		if err != nil || json.Unmarshal(again, new(Latencies)) != nil {
			t.Errorf("%s became %s: %v", raw, again, err)
		}
	})
}
