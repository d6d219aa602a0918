package release_test

import (
	"testing"
	"time"

	"github.com/fibership/fibership/internal/release"
)

var noon = time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC)

// day is a release that took ten minutes, n days after the first.
func day(n int, r release.Record) release.Record {
	r.Started = noon.AddDate(0, 0, n)
	r.Ended = r.Started.Add(10 * time.Minute)
	return r
}

func TestFigures_countWhatDORACounts(t *testing.T) {
	good := func(n int, commit string) release.Record {
		r := day(n, record(0, release.Succeeded, one, commit))
		r.Action, r.Committed = "promote", r.Ended.Add(-time.Duration(n+1)*time.Hour)
		return r
	}
	first, second, again := good(0, "aaaaaaa"), good(1, "bbbbbbb"), good(2, "aaaaaaa")
	undone := day(3, record(0, release.RolledBack, two, "ccccccc"))
	undone.Action = "promote"
	bad := good(4, "ddddddd")
	back := day(4, record(0, release.Succeeded, one, "aaaaaaa"))
	back.Action, back.Started, back.Ended, back.Base = "rollback", bad.Ended.Add(time.Hour), bad.Ended.Add(time.Hour), 5
	left := day(6, record(0, release.Failed, three, "eeeeeee"))
	left.Action = "promote"
	fixed := good(8, "fffffff")
	open := day(9, record(0, release.Underway, three, "9999999"))
	open.Ended = time.Time{}

	h := release.History{open, fixed, left, back, bad, undone, again, second, first}
	for i := range h {
		h[i].Revision = len(h) - i
	}
	got := h.Figures(noon, noon.AddDate(0, 0, 10))
	want := release.Figures{
		Deployments: 7,                            // first, second, again, undone, bad, left, fixed
		Frequency:   6. / 10,                      // undone never was live
		LeadTime:    3*time.Hour + 30*time.Minute, // 1, 2, 5 and 9 h: a commit that comes again does not count
		FailureRate: 3. / 7,                       // undone, bad, left
		Restore:     time.Hour,                    // 10 min, 1 h, 2 days
	}
	if got != want {
		t.Errorf("figures:\n%+v, want\n%+v", got, want)
	}
}

func TestFigures_lookOnlyAtTheirTime(t *testing.T) {
	var h release.History
	for n := 9; n >= 0; n-- {
		r := day(n, record(n+1, release.Succeeded, one, "aaaaaaa"))
		r.Committed = r.Started
		h = append(h, r)
	}
	got := h.Figures(noon.AddDate(0, 0, 8), noon.AddDate(0, 0, 10))
	if got.Deployments != 2 || got.Frequency != 1 || got.LeadTime != 0 {
		t.Errorf("in the last two days: %+v; want 2 deployments, 1 a day, and no lead time of a commit that was live before", got)
	}
}

func TestFigures_ofNothingAreZero(t *testing.T) {
	if got := (release.History{}).Figures(noon, noon); got != (release.Figures{}) {
		t.Errorf("%+v", got)
	}
}
