package target

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fibership/fibership/internal/release"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func record(n int, status release.Status, began, took time.Duration) release.Record {
	return release.Record{
		Revision: n, Status: status, Action: "promote", Commit: strings.Repeat("c0ffee0", 6)[:40],
		Committed: noon.Add(began - time.Hour), Started: noon.Add(began), Ended: noon.Add(began + took),
	}
}

func TestTimeline_showsWhatWasLiveAndWhatWasTakenBack(t *testing.T) {
	t.Parallel()
	back := record(4, release.Succeeded, 3*time.Hour, time.Minute)
	back.Restored, back.Action = 1, "rollback"
	h := release.History{
		back,
		record(3, release.RolledBack, 2*time.Hour, time.Minute),
		record(2, release.Succeeded, time.Hour, time.Minute),
		record(1, release.Succeeded, 0, time.Minute),
	}
	got := Timeline(h, noon.Add(5*time.Hour))
	if path := os.Getenv("FIBERSHIP_PICTURE"); path != "" { // to look at it
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{
		"1 (c0ffee0) :done, 2026-11-20 12:01:00, 2026-11-20 13:01:00",
		"2 (c0ffee0) :done, 2026-11-20 13:01:00, 2026-11-20 15:01:00",
		"4 back to 1 (c0ffee0) :active, 2026-11-20 15:01:00, 2026-11-20 17:00:00",
		"3 (c0ffee0) :crit, milestone, 2026-11-20 14:01:00, 0d",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in:\n%s", want, got)
		}
	}
	if got := Timeline(nil, noon); got != "" {
		t.Errorf("no release draws %q", got)
	}
}

func TestFigures_ofAShortHistoryCountFromItsBeginning(t *testing.T) {
	t.Parallel()
	h := release.History{record(3, release.RolledBack, 2*time.Hour, time.Minute), record(2, release.Succeeded, time.Hour, time.Minute), record(1, release.Succeeded, 0, time.Minute)}
	got := Figures(h, noon.Add(24*time.Hour))
	for _, want := range []string{"last 30 days", "0.07 a day", "33% of 3", "1m0s"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in:\n%s", want, got)
		}
	}
}
