package target

import (
	"strings"
	"testing"

	"github.com/fibership/fibership/internal/analysis"
)

func TestChecks_haveAColumnForTheStepWhereTheyWereJudgedInSteps(t *testing.T) {
	walked := checks([]analysis.Result{
		{Check: "restarts < 1", Step: "canary at 10%", Verdict: analysis.Pass, Measured: "0"},
		{Check: "restarts < 1", Step: "watch", Verdict: analysis.Fail, Measured: "2"},
	})
	for _, want := range []string{"|  | step | check | measured | why |", "| ✅ | canary at 10% | `restarts < 1` | 0 |", "| ❌ | watch | `restarts < 1` | 2 |"} {
		if !strings.Contains(walked, want) {
			t.Errorf("%q is missing in:\n%s", want, walked)
		}
	}
	once := checks([]analysis.Result{{Check: "GET / => 200", Verdict: analysis.Pass}})
	if strings.Contains(once, "step") || !strings.Contains(once, "|  | check |") {
		t.Errorf("checks without steps:\n%s", once)
	}
}
