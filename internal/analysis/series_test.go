package analysis

import (
	"testing"
	"time"
)

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

// The live version has been measured since before the canary was made.
func TestSeries_comparesFromWhereBothHaveTraffic(t *testing.T) {
	const errors = "error-rate worse-than baseline by 1%"
	calm, incident := requests(40_000, 0, 0), requests(40_000, 20_000, 0)
	for name, c := range map[string]struct {
		check        string
		before, base Measurement // of the live version, up to the start and up to the look
		want         Verdict
	}{
		"what both need fails once both serve":       {errors, calm, requests(40_900, 180, 0), Pass},
		"the live version failed before":             {errors, incident, requests(40_900, 20_000, 0), Fail},
		"what the version fails counts from before":  {"error-rate < 15%", calm, requests(40_900, 180, 0), Fail},
		"it is slow, and so is what both need":       {"p50 worse-than baseline by 20%", calm, requests(40_900, 0, 700), Pass},
		"it is slow, and the live version was, once": {"p50 worse-than baseline by 20%", requests(40_000, 0, 40_000), requests(40_900, 0, 40_000), Fail},
	} {
		s := NewSeries([]Check{parse(t, c.check)}, Rules{})
		s.Start(requests(20, 20, 20), &c.before) // while it was coming up
		if got := s.Look(requests(120, 40, 120), &c.base)[0]; got.Verdict != c.want {
			t.Errorf("%s: %+v, want %v", name, got, c.want)
		}
	}
}

func TestSeries_comparesWithNothingUntilTheFirstRequest(t *testing.T) {
	s := NewSeries([]Check{parse(t, "error-rate worse-than baseline by 1%")}, Rules{})
	base := requests(1000, 0, 0)
	s.Start(Measurement{}, &base)
	base = requests(41_000, 0, 0) // the gateway is late
	s.Look(Measurement{}, &base)
	base = requests(41_900, 180, 0)
	if got := s.Look(requests(100, 20, 0), &base)[0]; got.Verdict != Pass {
		t.Errorf("got %+v, want no difference", got)
	}
}

func TestSeries_countsRatesFromTheStartAndRestartsFromBefore(t *testing.T) {
	s := NewSeries([]Check{parse(t, "rate > 5/s"), parse(t, "restarts < 1"), parse(t, "restarts worse-than baseline by 1")}, Rules{})
	ran := func(long time.Duration, pods, restarts int, requests int64) Measurement {
		return Measurement{Window: long, PodTime: time.Duration(pods) * long, Restarts: restarts, HasRestarts: true, Requests: requests}
	}
	base := ran(90*time.Second, 9, 0, 9000)
	s.Start(ran(90*time.Second, 1, 3, 0), &base)
	base = ran(150*time.Second, 9, 0, 15_000)
	for i, got := range s.End(ran(150*time.Second, 1, 3, 600), &base) {
		if want := []Verdict{Pass, Fail, Fail}[i]; got.Verdict != want {
			t.Errorf("%+v, want %v", got, want)
		}
	}
}

func TestSeries_judgesRestartsWhereRequestsAreNotMeasured(t *testing.T) {
	s := NewSeries([]Check{parse(t, "restarts < 1"), parse(t, "error-rate < 1%")}, Rules{})
	for _, c := range []struct {
		now  Measurement
		want Verdict
	}{
		{Measurement{HasRestarts: true}, Pass},
		{Measurement{HasRestarts: true, Restarts: 1}, Fail},
		{Measurement{Restarts: 1}, Inconclusive}, // nor could the pods be listed
	} {
		got := s.Unmeasured(c.now, "not measured: it is away")
		if got[0].Verdict != c.want || got[1].Verdict != Inconclusive || got[1].Detail != "not measured: it is away" {
			t.Errorf("%+v: got %+v", c.now, got)
		}
	}
	s.End(Measurement{HasRestarts: true, Restarts: 1}, nil)
	s.Next()
	if got := s.Unmeasured(Measurement{HasRestarts: true, Restarts: 1}, "")[0]; got.Verdict != Pass {
		t.Errorf("in the next step: %+v", got)
	}
}
