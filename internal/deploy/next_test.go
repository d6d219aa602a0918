package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fibership/fibership/internal/analysis"
)

func TestNext_everyFailureNamesAStepToTake(t *testing.T) {
	t.Parallel()
	failed := Passed(t.Context(), []analysis.Result{
		{Check: "p95 < 1s", Verdict: analysis.Fail, Detail: "2s"}, {Check: "rate > 1/s", Verdict: analysis.Pass}, {Check: "restarts < 1", Verdict: analysis.Inconclusive, Detail: "no pod"},
	})
	if failed == nil || failed.Error() != "check \"p95 < 1s\": fail: 2s\ncheck \"restarts < 1\": inconclusive: no pod" {
		t.Fatalf("error %v", failed)
	}
	unknown := Passed(t.Context(), []analysis.Result{{Check: "p95 < 1s", Detail: "no data"}})
	for name, c := range map[string]struct {
		err interface {
			error
			Next() string
		}
		say string
	}{
		"a refusal's own":   {&Refusal{Reason: "no", Advice: "do this"}, "do this"},
		"its cause's":       {&Refusal{Reason: "no", Err: fmt.Errorf("so: %w", &Refusal{Advice: "do that"})}, "do that"},
		"an API server":     {&Refusal{Reason: "read the history", Err: fmt.Errorf("list: %w", context.DeadlineExceeded)}, "the API server can be reached"},
		"anything":          {&Refusal{Reason: "no", Err: errors.New("whatever")}, "run again"},
		"an undo":           {&Undone{Revision: 2, Base: 1, Cause: errors.New("whatever")}, "deploy again"},
		"an undo's cause":   {&Undone{Revision: 2, Base: 1, Cause: fmt.Errorf("test: %w", failed)}, "correct the service"},
		"too little to say": {&Undone{Revision: 2, Base: 1, Cause: unknown}, "too little was measured"},
	} {
		if next := c.err.Next(); !strings.Contains(next, c.say) {
			t.Errorf("%s: next %q, want %q", name, next, c.say)
		}
	}
	if err := Passed(t.Context(), []analysis.Result{{Verdict: analysis.Pass}}); err != nil {
		t.Errorf("error %v", err)
	}
}
