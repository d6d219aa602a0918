package release

import (
	"slices"
	"time"
)

// Figures are the four of DORA's software delivery metrics
// (https://dora.dev/guides/dora-metrics-four-keys/), for one service in one
// environment, taken from the records alone. A deployment is a release that is
// no rollback.
type Figures struct {
	Deployments int           `json:"deployments"` // that went live, or were undone on the way
	Frequency   float64       `json:"frequency"`   // those that went live, per day
	LeadTime    time.Duration `json:"leadTime"`    // median, from the commit to the end of its first deployment that succeeded; 0: unknown
	FailureRate float64       `json:"failureRate"` // share of deployments that failed, were undone, or were rolled back later; 0 to 1
	Restore     time.Duration `json:"restore"`     // median, from the failure to the next release that serves well; 0: nothing had to be restored
}

// Figures counts what ended from since until until. A failure counts where it
// was deployed: a release that is rolled back later is a failure of its own
// day. It is taken to begin when the release was complete — or, where it was
// undone on the way, when it started — and to end with the release that
// brought a good state back.
func (h History) Figures(since, until time.Time) Figures {
	var f Figures
	var failed, live int
	var lead, restore []time.Duration
	seen := map[string]bool{} // commits that were live before
	for i, r := range slices.Backward(h) {
		if r.Action == actionRollback || r.Ended.IsZero() {
			continue
		}
		first := r.Status == Succeeded && r.Commit != "" && !seen[r.Commit]
		seen[r.Commit] = seen[r.Commit] || first
		if r.Ended.Before(since) || !r.Ended.Before(until) {
			continue
		}
		f.Deployments++
		if r.Status == Succeeded || r.Status == Failed {
			live++
		}
		if first && !r.Committed.IsZero() && r.Ended.After(r.Committed) {
			lead = append(lead, r.Ended.Sub(r.Committed))
		}
		if bad, took, restored := h.outage(i); bad {
			failed++
			if restored {
				restore = append(restore, took)
			}
		}
	}
	if days := until.Sub(since).Hours() / 24; days > 0 {
		f.Frequency = float64(live) / days
	}
	if f.Deployments > 0 {
		f.FailureRate = float64(failed) / float64(f.Deployments)
	}
	f.LeadTime, f.Restore = median(lead), median(restore)
	return f
}

// actionRollback is the action of a release that brings back an older one.
const actionRollback = "rollback"

// outage says whether the deployment h[i] was a bad one, and how long it took
// until a good state was back, where it is.
func (h History) outage(i int) (bad bool, took time.Duration, restored bool) {
	switch r := h[i]; r.Status {
	case RolledBack:
		return true, r.Ended.Sub(r.Started), true
	case Failed:
		for _, next := range slices.Backward(h[:i]) {
			if next.Status == Succeeded {
				return true, next.Ended.Sub(r.Ended), true
			}
		}
		return true, 0, false
	case Succeeded:
		// What is live is rolled back, or nothing is: the next that
		// succeeded decides.
		for _, next := range slices.Backward(h[:i]) {
			if next.Status == Succeeded {
				back := next.Action == actionRollback && next.Base == r.Revision
				return back, next.Ended.Sub(r.Ended), back
			}
		}
	case Underway, Unchanged, Planned, Refused:
	}
	return false, 0, false
}

// median is that of the durations, the mean of the middle two where they are even.
func median(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	middle := len(d) / 2
	if len(d)%2 == 1 {
		return d[middle]
	}
	return d[middle-1] + (d[middle]-d[middle-1])/2
}
