package target

import (
	"fmt"
	"strings"

	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/release"
)

// ramps is a table of the flags that a release opened, is to open, or found
// open; empty where there are none.
func ramps(r release.Record, planned bool) string {
	var rows [][]string
	for _, ramp := range r.Ramp {
		steps := make([]string, 0, len(ramp.Steps))
		for _, percent := range ramp.Steps {
			steps = append(steps, fmt.Sprintf("%d%%", percent))
		}
		rows = append(rows, []string{
			action.Code(ramp.Flag), action.Code(ramp.Variant), strings.Join(steps, ", "), standing(ramp, planned), action.Escape(ramp.Failure),
		})
	}
	if len(rows) == 0 {
		return ""
	}
	return action.Table([]string{"flag", "variant", "steps", "open to", "why"}, rows) + "\n"
}

// standing is what a flag is open to, in words.
func standing(r release.Ramp, planned bool) string {
	switch r.Outcome {
	case release.Open:
		return fmt.Sprintf("✅ %d%%", r.Reached)
	case release.Closed:
		return fmt.Sprintf("❌ 0%%: closed, failed at %d%%", r.Reached)
	case release.Returned:
		return "↩️ as before: another flag failed"
	case release.Taken:
		return fmt.Sprintf("%d%%, since release %d", r.Reached, r.Release)
	case release.NotOpened:
	}
	if planned {
		return "to be opened"
	}
	return "as before: not opened"
}
