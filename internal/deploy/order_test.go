package deploy

import (
	"strings"
	"testing"
	"time"

	"github.com/fibership/fibership/internal/history"
	"github.com/fibership/fibership/internal/release"
)

func TestUnordered_tellsWhereTheOrderOfCommitsIsNotKnown(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	live := release.Record{Revision: 3, Commit: "aaaaaaaaaa", Committed: noon}
	untimed, restored := live, live
	untimed.Committed, restored.Restored = time.Time{}, 1
	for name, c := range map[string]struct {
		live, r release.Record
		want    string
	}{
		"both known":              {live, release.Record{Commit: "bbbbbbbbbb", Committed: noon}, ""},
		"a dispatched run":        {live, release.Record{Commit: "bbbbbbbbbb"}, "commit bbbbbbb is older than the one live (release 3) is not checked: when it was made"},
		"live by a dispatch":      {untimed, release.Record{Commit: "bbbbbbbbbb", Committed: noon}, "when that one was made was not recorded"},
		"the very same commit":    {live, release.Record{Commit: "aaaaaaaaaa"}, ""},
		"a rollback":              {live, release.Record{Commit: "bbbbbbbbbb", Restored: 1}, ""},
		"after a rollback":        {restored, release.Record{Commit: "bbbbbbbbbb"}, ""},
		"nothing live":            {release.Record{}, release.Record{Commit: "bbbbbbbbbb"}, ""},
		"no commit at a terminal": {live, release.Record{}, ""},
	} {
		if got := unordered(c.live, c.r); got != c.want && (c.want == "" || !strings.Contains(got, c.want)) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestBusy_namesWhoeverHoldsTheLock(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for want, w := range map[string]history.Wait{
		"web is being changed by ann since 12:00:00":            {By: "ann", Since: noon},
		"web is being changed by ann":                           {By: "ann"},
		"the lock of web is free, and it is another run's turn": {},
	} {
		if got := busy("web", w); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
