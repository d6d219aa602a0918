package promote

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/deploy"
	"github.com/fibership/fibership/internal/progress"
)

func result(check string, v analysis.Verdict) analysis.Result {
	return analysis.Result{Check: check, Verdict: v}
}

func at(step string, r analysis.Result) analysis.Result {
	r.Step = step
	return r
}

func TestJudged_keepsWhatEachStepCameTo(t *testing.T) {
	t.Parallel()
	const errs, worse = "error-rate < 1%", "p95 worse-than baseline by 20%"
	w := &walk{Attempt: &deploy.Attempt{Session: new(deploy.Session)}}
	w.judged("canary at 10%", []analysis.Result{result(errs, analysis.Inconclusive), result(worse, analysis.Inconclusive)})
	w.judged("canary at 10%", []analysis.Result{result(errs, analysis.Pass), result(worse, analysis.Inconclusive)})
	if w.verdict != analysis.Inconclusive {
		t.Errorf("verdict = %v after a step without enough data", w.verdict)
	}
	w.judged("canary at 50%", []analysis.Result{result(errs, analysis.Pass), result(worse, analysis.Pass)})
	if v := w.judged("watch", []analysis.Result{result(errs, analysis.Pass)}); v != analysis.Pass || w.verdict != analysis.Pass {
		t.Errorf("verdict = %v, of the watch %v", w.verdict, v)
	}
	want := []analysis.Result{
		at("canary at 10%", result(errs, analysis.Pass)), at("canary at 10%", result(worse, analysis.Inconclusive)),
		at("canary at 50%", result(errs, analysis.Pass)), at("canary at 50%", result(worse, analysis.Pass)),
		at("watch", result(errs, analysis.Pass)),
	}
	if diff := cmp.Diff(want, w.Record.Checks); diff != "" {
		t.Errorf("checks (-want +got):\n%s", diff)
	}
	w.judged("flag checkout at 5%", []analysis.Result{result(errs, analysis.Fail)})
	if told := w.told(); told.Verdict != analysis.Fail || !told.Judged {
		t.Errorf("verdict = %v (%v) after a check that failed", told.Verdict, told.Judged)
	}
}

func TestJudged_changesNothingWhereThereWasNothingToJudge(t *testing.T) {
	t.Parallel()
	w := &walk{Attempt: &deploy.Attempt{Session: new(deploy.Session)}}
	if w.judged("watch", nil); w.told().Judged {
		t.Error("nothing was judged, and there is a verdict")
	}
	w.judged("canary at 50%", []analysis.Result{result("p95 worse-than baseline by 20%", analysis.Inconclusive)})
	if v := w.judged("watch", nil); v != analysis.Pass {
		t.Errorf("a watch with nothing to judge is %v", v)
	}
	if told := w.told(); !told.Judged || told.Verdict != analysis.Inconclusive || len(told.Checks) != 1 {
		t.Errorf("verdict = %v (%v), checks = %v", told.Verdict, told.Judged, told.Checks)
	}
}

func TestUncompared_tellsOfComparisonsThatNoStepJudged(t *testing.T) {
	t.Parallel()
	const worse = "p95 worse-than baseline by 20%"
	check, err := analysis.Parse(worse)
	if err != nil {
		t.Fatal(err)
	}
	session := &deploy.Session{Target: deploy.Target{Log: progress.Discard}}
	first := &walk{Attempt: &deploy.Attempt{Session: session}, plan: Plan{Checks: []analysis.Check{check}}}
	first.uncompared("watch", "first release: nothing to compare with")
	first.judged("watch", nil)
	if told := first.told(); len(told.Checks) != 1 || !told.Checks[0].Exempt || told.Checks[0].Step != "watch" || told.Judged {
		t.Errorf("a first release: %+v", told.Result)
	}
	first.judged("watch", []analysis.Result{result("restarts < 1", analysis.Pass)})
	if told := first.told(); told.Verdict != analysis.Pass || len(told.Checks) != 2 {
		t.Errorf("a first release that passed its watch: %v, %+v", told.Verdict, told.Checks)
	}

	second := &walk{Attempt: &deploy.Attempt{Session: session}, plan: Plan{Checks: []analysis.Check{check}}}
	second.judged("canary at 50%", []analysis.Result{result(worse, analysis.Pass)})
	second.uncompared("watch", "first release: nothing to compare with")
	if checks := second.told().Checks; len(checks) != 1 || checks[0].Exempt {
		t.Errorf("what the canary's steps judged is told again: %+v", checks)
	}
}

func TestJudged_isBoundedAndKeepsEachCheckAsJudgedLast(t *testing.T) {
	t.Parallel()
	w := &walk{Attempt: &deploy.Attempt{Session: new(deploy.Session)}}
	w.judged("canary at 1%", []analysis.Result{result("only here", analysis.Inconclusive), result("again", analysis.Fail)})
	for i := range 2 * mostResults {
		w.judged(fmt.Sprintf("flag at %d", i), []analysis.Result{result("again", analysis.Pass)})
	}
	checks := w.Record.Checks
	if len(checks) != mostResults || checks[0].Check != "only here" || checks[mostResults-1].Step != fmt.Sprintf("flag at %d", 2*mostResults-1) {
		t.Errorf("%d are kept, from %+v to %+v", len(checks), checks[0], checks[len(checks)-1])
	}
	if w.verdict != analysis.Inconclusive {
		t.Errorf("verdict = %v, want that of what was never decided", w.verdict)
	}
}
