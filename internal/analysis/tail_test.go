package analysis

import (
	"math"
	"slices"
	"testing"
)

func TestTail_isTheExactTestOfOneTable(t *testing.T) {
	for _, c := range []table{{8, 10, 1, 10}, {1, 10, 8, 10}, {3, 20, 9, 180}, {0, 5, 0, 5}, {5, 5, 0, 5}} {
		if got, want := tail([]table{c}), fisher(c); math.Abs(got-want) > 1e-12 {
			t.Errorf("%+v: %v, Fisher's is %v", c, got, want)
		}
	}
}

// Two tables, counted out: of (1 of 1, 1 of 2) each, both bad requests are the
// version's with 1/3·1/3.
func TestTail_addsTablesUp(t *testing.T) {
	one := table{1, 1, 0, 2}
	if got, want := tail([]table{one, one}), 1.0/9; math.Abs(got-want) > 1e-12 {
		t.Errorf("got %v, want %v", got, want)
	}
	half := table{0, 1, 1, 2}
	if got, want := tail([]table{one, half}), 1.0/9+2*2.0/9; math.Abs(got-want) > 1e-12 {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Simpson's paradox: pooled, the version looks worse; hour by hour it is not.
func TestTail_isNotFooledByADriftOfBoth(t *testing.T) {
	night, day := table{0, 10, 5, 900}, table{90, 900, 1, 10}
	if pooled := fisher(table{90, 910, 6, 910}); pooled > 1e-6 {
		t.Fatalf("the example is none: %v", pooled)
	}
	if got := tail([]table{night, day}); got < 0.5 {
		t.Errorf("got %v, want no evidence", got)
	}
}

func TestTail_endsOnCountsThatAreMadeUp(t *testing.T) {
	if got := tail([]table{{1 << 40, 1 << 41, 1 << 40, 1 << 41}}); got < 0.4 {
		t.Errorf("got %v, want no evidence", got)
	}
}

// A minute of 670, 6,700 and 67,000 requests a second, a tenth of them the
// canary's, of which 54 % are slower than half of all.
func TestTail_isHeardHoweverManyRequestsAreSlow(t *testing.T) {
	for _, times := range []int64{1, 10, 100} {
		worse := table{72 * times, 134 * times, 598 * times, 1206 * times}
		if got := tail(slices.Repeat([]table{worse}, 30)); got > 1e-5 {
			t.Errorf("%d times as many: got %v, want evidence", times, got)
		}
		alike := table{67 * times, 134 * times, 603 * times, 1206 * times}
		if got := tail(slices.Repeat([]table{alike}, 30)); got < 0.4 || got > 0.6 {
			t.Errorf("%d times as many, and alike: got %v", times, got)
		}
	}
}

// Right where the one takes over from the other.
func TestNormalTail_isHardlyBelowTheExactOne(t *testing.T) {
	t.Parallel()
	for name, one := range map[string]table{
		"as many of either, half of them bad": {500, 1000, 500, 1000},
		"one in ten, half of them bad":        {100, 200, 900, 1800},
		"one in a hundred, few of them bad":   {10, 1000, 990, 99_000},
		"one in a hundred, most of them bad":  {990, 1000, 98_010, 99_000},
	} {
		mean, variance := one.moments()
		n := int(widest / variance)
		tables := slices.Repeat([]table{one}, n)
		mean, deviation := mean*float64(n), math.Sqrt(variance*float64(n))
		for _, z := range []float64{-1, 0, 1, 2, 3, 3.5, 4} {
			seen := int64(math.Round(mean + z*deviation))
			exact, got := exactTail(tables, seen), normalTail(float64(seen)-mean, deviation)
			if got < 0.98*exact || got > 1.3*exact {
				t.Errorf("%s, %g deviations above: %v, exactly it is %v", name, z, got, exact)
			}
		}
	}
}
