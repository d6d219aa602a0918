package deploy

import (
	"fmt"
	"time"

	"github.com/fibership/fibership/internal/release"
)

// unordered says why the order of two commits is not known; empty: it is, or
// does not matter.
func unordered(live, r release.Record) string {
	switch {
	case live.Revision == 0 || live.Restored > 0 || r.Restored > 0 || r.Commit == "" || r.Commit == live.Commit:
		return ""
	case r.Committed.IsZero():
		return fmt.Sprintf("whether commit %.7s is older than the one live (release %d) is not checked: when it was made is told by push events alone", r.Commit, live.Revision)
	case live.Committed.IsZero():
		return fmt.Sprintf("whether commit %.7s is older than the one live (release %d) is not checked: when that one was made was not recorded", r.Commit, live.Revision)
	}
	return ""
}

// older refuses a commit that was made before the one that is live: a run that
// waited in a line must not take a newer one's work back. What a rollback
// brought is no measure, nor is a rollback measured.
func older(live, r release.Record) error {
	if r.Committed.IsZero() || live.Committed.IsZero() || live.Restored > 0 || r.Restored > 0 || !r.Committed.Before(live.Committed) {
		return nil
	}
	return &Refusal{
		Reason: fmt.Sprintf("commit %.7s was made on %s, before commit %.7s (%s), which is live as release %d",
			r.Commit, r.Committed.Format(time.DateTime), live.Commit, live.Committed.Format(time.DateTime), live.Revision),
		Advice: "nothing is to be done where the newer one holds this one's changes; else set allow-older: true, or use rollback",
	}
}
