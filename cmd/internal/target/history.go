package target

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/release"
)

// History is a table of releases for a summary, newest first.
func History(h release.History) string {
	if len(h) == 0 {
		return "No release yet.\n"
	}
	live, _ := h.Live()
	var rows [][]string
	for _, r := range h {
		what := r.Action
		if r.Restored > 0 {
			what += fmt.Sprintf(" to %d", r.Restored)
		}
		state := string(r.Status)
		if r.Revision == live.Revision {
			state = "**live**, " + state
		}
		rows = append(rows, []string{
			link(number(r.Revision), r.Run), state, action.Escape(what), action.Code(shortCommit(r.Commit)),
			action.Escape(r.Actor), r.Started.UTC().Format("2006-01-02 15:04:05"), took(r), action.Escape(why(r)),
		})
	}
	return action.Table([]string{"release", "status", "action", "commit", "by", "at (UTC)", "took", "why"}, rows)
}

func link(text, url string) string {
	if !strings.HasPrefix(url, "https://") || strings.ContainsAny(url, " ()<>\"") {
		return text
	}
	return "[" + text + "](" + url + ")"
}

func why(r release.Record) string {
	if r.Relapsed() {
		return "does not pass any more: " + r.Recheck.Failure
	}
	if r.Failure != "" {
		return r.Failure
	}
	return r.Reason
}

// Lines is the history for the log.
func Lines(h release.History) string {
	if len(h) == 0 {
		return "no release yet"
	}
	live, _ := h.Live()
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "release\tstatus\taction\timage\tcommit\tby\tat (UTC)\ttook\twhy\trun")
	for _, r := range h {
		state := string(r.Status)
		if r.Revision == live.Revision {
			state += ", live"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Revision, state, r.Action, short(r.Image), shortCommit(r.Commit), r.Actor,
			r.Started.UTC().Format("2006-01-02 15:04:05"), took(r), why(r), r.Run)
	}
	_ = w.Flush()
	return strings.TrimRight(b.String(), "\n")
}
