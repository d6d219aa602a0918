package deploy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/fibership/fibership/internal/cluster"
)

// Bounds of what is told of a release's changes: who reads why it failed wants
// to see what differs, not all of it.
const (
	mostDiffs = 20
	diffLines = 60
	diffBytes = 4 << 10
	mostBytes = 64 << 10 // of an object: comparing costs more than it tells
)

// differences is changes with what the first of them change in their objects,
// for people, bounded. Secrets are told by hashes, and what is known of their
// values is nowhere.
func (s *Session) differences(changes []Change) []Change {
	changes = slices.Clone(changes)
	told := 0
	for i := range changes {
		c := &changes[i]
		if !c.sent() || c.Diff != "" || told == mostDiffs {
			continue
		}
		told++
		c.Diff = s.veil.Known(c.difference())
	}
	return changes
}

// difference is what a change changes in its object, bounded.
func (c Change) difference() string {
	for _, side := range []any{c.Live, c.Wanted} {
		if raw, err := json.Marshal(side); err != nil || len(raw) > mostBytes {
			return "(too large to be shown)\n"
		}
	}
	after := c.after
	if after == nil { // not tried
		after = c.Wanted
	}
	return shortDiff(cluster.Diff(c.Live, after))
}

// shortDiff cuts a diff at a line.
func shortDiff(diff string) string {
	lines := strings.SplitAfter(diff, "\n")
	size := 0
	for i, line := range lines {
		if size += len(line); i == diffLines || size > diffBytes {
			return strings.Join(lines[:i], "") + fmt.Sprintf("… %d more lines\n", strings.Count(strings.Join(lines[i:], ""), "\n"))
		}
	}
	return diff
}
