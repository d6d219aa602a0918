package target

import (
	"strings"
	"testing"

	"github.com/fibership/fibership/internal/release"
)

func TestLines_nameWhoBroughtItAndTheRun(t *testing.T) {
	t.Parallel()
	run := "https://github.com/acme/web/actions/runs/7"
	lines := Lines(release.History{{Revision: 1, Status: release.Succeeded, Actor: "ann", Run: run}})
	if !strings.Contains(lines, "ann") || !strings.HasSuffix(lines, run) {
		t.Errorf("actor or run is missing in:\n%s", lines)
	}
}
