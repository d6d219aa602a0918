package release

import "testing"

func TestShares_areWhatTheLastRampDecided(t *testing.T) {
	t.Parallel()
	r := Record{Revision: 7, Ramp: []Ramp{
		{Flag: "a", Variant: "on", Reached: 100, Outcome: Taken, Release: 3},
		{Flag: "b", Variant: "on", Reached: 25, Outcome: Taken, Release: 3},
		{Flag: "b", Variant: "on", Reached: 100, Outcome: Open},
		{Flag: "c", Variant: "on", Reached: 25, Outcome: Taken, Release: 4},
		{Flag: "c", Variant: "new", Reached: 100, Outcome: Returned},
		{Flag: "d", Variant: "on", Reached: 5, Outcome: Closed},
		{Flag: "e", Variant: "on", Reached: 0},
	}}
	want := map[string]Ramp{
		"a": {Variant: "on", Reached: 100, Release: 3},
		"b": {Variant: "on", Reached: 100, Release: 7},
		"c": {Variant: "on", Reached: 25, Release: 4},
		"d": {Variant: "on", Reached: 0, Release: 7},
	}
	shares := r.Shares()
	for flag, w := range want {
		if got := shares[flag]; got.Variant != w.Variant || got.Reached != w.Reached || got.Release != w.Release || got.Outcome != Taken {
			t.Errorf("%s: %+v, want %+v", flag, got, w)
		}
	}
	if len(shares) != len(want) {
		t.Errorf("%v", shares)
	}
}
