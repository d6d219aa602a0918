package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/jobs"
	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/rollout"
)

// rolloutCheck is the check that every release is put to: that its pods serve.
// It stands first among the record's checks.
const rolloutCheck = "rollout"

// rolledOut records how the rollout went, in the place of how it went before.
func (a *Attempt) rolledOut(result analysis.Result) {
	rest := a.Record.Checks
	if len(rest) > 0 && rest[0].Check == rolloutCheck {
		rest = rest[1:]
	}
	result.Check = rolloutCheck
	a.Record.Checks = append([]analysis.Result{result}, rest...)
}

// serving waits until workloads of the release serve, and records that they do.
func (a *Attempt) serving(ctx context.Context, objects []release.Object) error {
	began := time.Now()
	if err := a.serve(ctx, objects); err != nil {
		return err
	}
	workloads := Workloads(objects)
	detail := fmt.Sprintf("%d workloads serve", len(workloads))
	switch len(workloads) {
	case 0:
		return nil
	case 1:
		detail = workloads[0].String() + " serves"
	}
	a.rolledOut(analysis.Result{Verdict: analysis.Pass, Measured: time.Since(began).Round(100 * time.Millisecond).String(), Detail: detail})
	return nil
}

// failed records what a cause says of the release's rollout, if it does. A Job
// of the release is no part of that.
func (a *Attempt) failed(cause error) {
	failure, ok := errors.AsType[*rollout.Failure](cause)
	if !ok || errors.As(cause, new(*jobs.Failure)) {
		return
	}
	a.rolledOut(analysis.Result{Verdict: analysis.Fail, Measured: failure.After.Round(100 * time.Millisecond).String(), Detail: failure.Error()})
}
