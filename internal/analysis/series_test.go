package analysis

import "testing"

func TestSeries_startsAnewWithEachStep(t *testing.T) {
	s := NewSeries([]Check{parse(t, "error-rate < 5%")}, Rules{})
	first := requests(1000, 0, 0)
	if v := Together(s.End(first, nil)); v != Pass {
		t.Fatalf("first step: %v", v)
	}
	s.Next()
	second := requests(1100, 50, 0) // half of the new hundred failed
	if got := s.Look(second, nil)[0]; got.Verdict != Fail || got.Samples != 100 {
		t.Errorf("second step: got %+v, want a failure over 100 requests", got)
	}
}

func TestSeries_waitsForMoreBeforeChanceFails(t *testing.T) {
	s := NewSeries([]Check{parse(t, "error-rate < 1%"), parse(t, "rate > 50/s"), parse(t, "restarts < 1")}, Rules{})
	m := requests(100, 1, 0)
	m.HasRestarts = true
	looked := s.Look(m, nil)
	if looked[0].Verdict != Inconclusive || looked[1].Verdict != Inconclusive || looked[2].Verdict != Pass {
		t.Errorf("in the middle: %+v", looked)
	}
	m.Restarts = 1
	if got := s.Look(m, nil)[2]; got.Verdict != Fail {
		t.Errorf("a restart: %+v", got)
	}
	if ended := s.End(m, nil); ended[0].Verdict != Fail || ended[1].Verdict != Fail {
		t.Errorf("at the end: %+v", ended)
	}
}

func TestSeries_keepsComparingWhereTheBaselineWasAwayOnce(t *testing.T) {
	s := NewSeries([]Check{parse(t, "error-rate worse-than baseline by 1%")}, Rules{})
	base := requests(1000, 0, 0)
	if v := s.Look(requests(100, 0, 0), &base)[0].Verdict; v != Pass {
		t.Errorf("at first: %v", v)
	}
	if v := s.Look(requests(110, 3, 0), nil)[0].Verdict; v != Inconclusive {
		t.Errorf("without a baseline: %v", v)
	}
	base = requests(1100, 0, 0)
	if got := s.Look(requests(200, 30, 0), &base)[0]; got.Verdict != Fail {
		t.Errorf("back again: %+v", got)
	}
}
