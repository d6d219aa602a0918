package target

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/action/actiontest"
	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/deploy"
	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/rollout"
)

// told is what an action tells of a deploy that ended so.
func told(t *testing.T, result deploy.Result, failed error) actiontest.Result {
	t.Helper()
	s := action.New("test", action.Deploy, "Test what is told")
	Declare(s, "staging")
	return actiontest.Exec(t, s, func(_ context.Context, r *action.Run) error {
		TellDossier(r, failed)
		Summary(r, "Deploy", deploy.Target{Service: "web", Environment: "staging"}, result, failed)
		return Outputs(r, deploy.Target{}, result, "")
	}, nil)
}

func doomed(lines int) *rollout.Failure {
	web := rollout.ContainerEvidence{
		Name: "web", State: "waiting: CrashLoopBackOff", Message: "back-off | 10s", Reason: "Error", ExitCode: 3, Ended: true, Restarts: 2,
		Log: []string{"now it says this", "``` and <b>"}, Previous: []string{"before it said that"},
	}
	for range lines {
		web.Log = append(web.Log, strings.Repeat("x", 500))
	}
	return &rollout.Failure{
		Object: release.Object{Kind: "Deployment", Name: "web"}, After: 3 * time.Second,
		Dossier: rollout.Dossier{
			Cause: "container web ends with exit code 3", Next: "look at its log",
			Pods: []rollout.PodEvidence{
				{Name: "web-1", Phase: "Running", Containers: []rollout.ContainerEvidence{web}},
				{Name: "web-2", Phase: "Pending", Reason: "no node has room"},
			},
			Events: []string{"10:00:00 Pod web-1 BackOff: back-off"},
			Notes:  []string{"the log of container side of pod web-1 cannot be read: gone"},
		},
	}
}

func TestSummary_showsTheWholeDossier(t *testing.T) {
	failure := doomed(0)
	result := deploy.Result{
		Status: release.RolledBack, Record: release.Record{Revision: 2, Base: 1},
		Checks: []analysis.Result{{Check: "rollout", Verdict: analysis.Fail, Measured: "3s", Detail: failure.Error()}},
		Changes: []deploy.Change{
			{Verb: deploy.Update, Object: failure.Object, Diff: "@@ -1 +1 @@\n-    a: 1\n+    a: 2\n"},
			{Verb: deploy.Same, Object: release.Object{Kind: "Service", Name: "web"}},
		},
	}
	got := told(t, result, failure)
	if path := os.Getenv("FIBERSHIP_PICTURE"); path != "" { // to look at it
		if err := os.WriteFile(path, []byte(got.Summary), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	at := 0
	for _, want := range []string{ // in this order
		"Deploy: web in staging failed; release 2 was undone", "| ❌ | `rollout` | 3s | Deployment web will not serve", "**Cause:** container web ends with exit code 3", "**Next:** look at its log",
		"| `web-1` | `web` | waiting\\: CrashLoopBackOff | Error, exit code 3 | 2 | back-off \\| 10s |", "| `web-2` |  | Pending |  |  | no node has room |",
		"of pod web-1</summary>", "````text\nnow it says this\n``` and <b>\n````", "before its last restart</summary>", "before it said that",
		"<summary>Events</summary>", "<summary>What could not be read</summary>", "the log of container side", "<summary>Changes: 0 to create, 1 to update", "```diff\nDeployment web\n@@ -1 +1 @@\n-    a: 1\n+    a: 2\n```",
	} {
		i := strings.Index(got.Summary[at:], want)
		if i < 0 {
			t.Fatalf("%q is missing behind byte %d of:\n%s", want, at, got.Summary)
		}
		at += i
	}
	for _, want := range []string{
		"web-1/web: waiting: CrashLoopBackOff, last end: Error, exit code 3 back-off | 10s\n  before its last restart:\n  | before it said that\n  its last lines:\n  | now it says this\n",
		"web-2: no node has room", "not read: the log of container side", "Changes against what was live: 0 to create, 1 to update", "+    a: 2",
	} {
		if !strings.Contains(got.Log, want) {
			t.Errorf("%q is missing in the log:\n%s", want, got.Log)
		}
	}
	if checks := got.Outputs["checks"]; !strings.Contains(checks, `"check":"rollout","verdict":"fail"`) {
		t.Errorf("output checks is %s", checks)
	}
}

func TestSummary_ofAVastDossierHasRoomForTheRest(t *testing.T) {
	failure := doomed(20)
	one := failure.Dossier.Pods[0].Containers[0]
	for i := range 60 {
		one.Name = fmt.Sprintf("side-%d", i)
		failure.Dossier.Pods[0].Containers = append(failure.Dossier.Pods[0].Containers, one)
	}
	got := told(t, deploy.Result{Status: release.RolledBack}, failure)
	if len(got.Summary) > 2*logRoom || !strings.Contains(got.Summary, "the log of this step has it") || !strings.Contains(got.Summary, "What could not be read") {
		t.Errorf("a summary of %d bytes", len(got.Summary))
	}
}
