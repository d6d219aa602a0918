package deploy

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/jobs"
	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/rollout"
)

func TestRolledOut_standsFirstAndIsToldOnce(t *testing.T) {
	t.Parallel()
	a := &Attempt{}
	checks := func(verdict analysis.Verdict, names ...string) {
		t.Helper()
		var found []string
		for _, c := range a.Record.Checks {
			found = append(found, c.Check)
		}
		if fmt.Sprint(found) != fmt.Sprint(names) || len(found) > 0 && a.Record.Checks[0].Verdict != verdict {
			t.Fatalf("checks are %+v, want %v, the first %v", a.Record.Checks, names, verdict)
		}
	}
	a.Record.Checks = []analysis.Result{{Check: "restarts < 1", Verdict: analysis.Fail}}
	a.rolledOut(analysis.Result{Verdict: analysis.Fail})
	checks(analysis.Fail, "rollout", "restarts < 1")
	a.rolledOut(analysis.Result{Verdict: analysis.Pass})
	checks(analysis.Pass, "rollout", "restarts < 1")

	doomed := &rollout.Failure{Object: release.Object{Kind: "Job", Name: "migrate"}, After: time.Second}
	a.failed(errors.New("a check did not pass"))
	a.failed(&jobs.Failure{Job: "migrate", Err: doomed})
	checks(analysis.Pass, "rollout", "restarts < 1")
	doomed = &rollout.Failure{Object: release.Object{Kind: "Deployment", Name: "web"}, After: time.Second, Dossier: rollout.Dossier{Cause: "it ends"}}
	a.failed(fmt.Errorf("watch: %w", doomed))
	checks(analysis.Fail, "rollout", "restarts < 1")
	if got := a.Record.Checks[0]; got.Detail != doomed.Error() || got.Measured != "1s" {
		t.Errorf("told as %+v", got)
	}
}
