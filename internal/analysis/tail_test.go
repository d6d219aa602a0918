package analysis

import (
	"math"
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

func TestTail_givesUpOnCountsThatAreMadeUp(t *testing.T) {
	if got := tail([]table{{1 << 40, 1 << 41, 1 << 40, 1 << 41}}); got != 1 {
		t.Errorf("got %v, want 1", got)
	}
}
