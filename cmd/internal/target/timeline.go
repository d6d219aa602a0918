package target

import (
	"fmt"
	"strings"
	"time"

	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/release"
)

// drawn is how many releases a picture shows at the most.
const drawn = 12

// Timeline is a picture of what was live from when to when, and of what did
// not get there, as Mermaid. Empty without releases that ended.
func Timeline(h release.History, now time.Time) string {
	var bars, fallen []string
	until := now
	for _, r := range h {
		if r.Ended.IsZero() || len(bars)+len(fallen) == drawn {
			continue
		}
		switch r.Status {
		case release.Succeeded, release.Failed:
			bars = append(bars, bar(r, until, until.Equal(now)))
			until = r.Ended
		case release.RolledBack:
			fallen = append(fallen, fmt.Sprintf("    %s :crit, milestone, %s, 0d", label(r), moment(r.Ended)))
		case release.Underway, release.Unchanged, release.Planned, release.Refused:
		}
	}
	if len(bars) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("gantt\n    dateFormat YYYY-MM-DD HH:mm:ss\n    axisFormat %m-%d %H:%M\n    section live\n" + reversed(bars))
	if len(fallen) > 0 {
		b.WriteString("    section taken back\n" + reversed(fallen))
	}
	return action.Mermaid(b.String())
}

// bar is the time in which a release was live; at least a second, so that it
// can be seen.
func bar(r release.Record, until time.Time, live bool) string {
	state := "done"
	switch {
	case r.Status == release.Failed:
		state = "crit"
	case live:
		state = "active"
	}
	if least := r.Ended.Add(time.Second); until.Before(least) {
		until = least
	}
	return fmt.Sprintf("    %s :%s, %s, %s", label(r), state, moment(r.Ended), moment(until))
}

func moment(t time.Time) string { return t.UTC().Format(time.DateTime) }

// label holds no character that Mermaid reads.
func label(r release.Record) string {
	text := fmt.Sprintf("%d", r.Revision)
	if r.Restored > 0 {
		text += fmt.Sprintf(" back to %d", r.Restored)
	}
	if commit := shortCommit(r.Commit); commit != "" && strings.Trim(commit, "0123456789abcdef") == "" {
		text += " (" + commit + ")"
	}
	return text
}

func reversed(lines []string) string {
	var b strings.Builder
	for i := len(lines) - 1; i >= 0; i-- {
		b.WriteString(lines[i] + "\n")
	}
	return b.String()
}

// window is the time that figures are taken over.
const window = 30 * 24 * time.Hour

// Figures is DORA's four figures of the last thirty days as a table, from the
// releases that are kept.
func Figures(h release.History, now time.Time) string {
	since := now.Add(-window)
	if len(h) > 0 && h[len(h)-1].Started.After(since) && h[len(h)-1].Revision > 1 {
		since = h[len(h)-1].Started // older ones are not kept
	}
	f := h.Figures(since, now)
	if f.Deployments == 0 {
		return ""
	}
	days := max(1, int(now.Sub(since).Hours()/24+0.5))
	return action.Table([]string{fmt.Sprintf("last %d days", days), ""}, [][]string{
		{"deployments that went live", fmt.Sprintf("%.2f a day", f.Frequency)},
		{"lead time, commit to live (median)", known(f.LeadTime)},
		{"change failure rate", fmt.Sprintf("%.0f%% of %d", 100*f.FailureRate, f.Deployments)},
		{"time to restore (median)", known(f.Restore)},
	}) + "\n"
}

func known(d time.Duration) string {
	if d == 0 {
		return "–"
	}
	return d.Round(time.Second).String()
}
