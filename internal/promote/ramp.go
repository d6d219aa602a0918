package promote

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fibership/fibership/internal/release"
)

// climb walks over weights: set makes each true, and it is judged before the
// next. A canary and a flag's ramp are such walks, with other weights to set.
func (w *walk) climb(ctx context.Context, o *observer, what string, weights []int, set func(ctx context.Context, weight int) error) error {
	for _, weight := range weights {
		if err := set(ctx, weight); err != nil {
			return err
		}
		if err := w.judge(ctx, o, stepAt(what, weight), w.plan.StepDuration); err != nil {
			return err
		}
		o.series.Next()
	}
	return nil
}

// stepAt names a step in records and logs.
func stepAt(what string, weight int) string { return fmt.Sprintf("%s at %d%%", what, weight) }

// ramp opens the release's flags one after another, once the release itself
// has passed. It gives the ramp that failed.
func (w *walk) ramp(ctx context.Context) (failed int, err error) {
	for n := range w.Record.Ramp {
		ramp := &w.Record.Ramp[n]
		if len(ramp.Steps) == 0 {
			continue
		}
		if err := w.open(ctx, n); err != nil {
			return n, err
		}
		ramp.Outcome, ramp.Decided = release.Open, time.Now().UTC()
	}
	return 0, nil
}

func (w *walk) open(ctx context.Context, n int) error {
	what := "flag " + w.Record.Ramp[n].Flag
	checks := absolute(w.plan.Checks)
	w.uncompared(what, "no version without the flag stands beside to compare with")
	if left := len(w.plan.Checks) - len(checks); left > 0 {
		w.Log.Linef("%s: %d of the checks compare with a version that is not there any more, and are left out", what, left)
	}
	o := w.observeAlone(ctx, checks, len(w.Record.Ramp[n].Steps))
	defer o.close()
	err := w.climb(ctx, o, what, w.Record.Ramp[n].Steps, func(ctx context.Context, percent int) error {
		if err := w.Open(ctx, n, percent); err != nil {
			return err
		}
		w.Log.Linef("%s is open to %d%%: watched for %v", what, percent, w.plan.StepDuration)
		return nil
	})
	if aborted, ok := errors.AsType[*Aborted](err); ok {
		aborted.Flag = true
	}
	return err
}

// finish opens the flags and ends the release. A flag that fails is closed,
// and fails the run, but not the release: that has passed.
func (w *walk) finish(ctx context.Context) error {
	passed := w.Record.Checks
	if n, err := w.ramp(ctx); err != nil {
		w.failed, w.Record.Checks = w.Record.Checks, passed
		return w.FailRamp(ctx, n, err)
	}
	if err := w.Finish(ctx); err != nil {
		return w.Fail(ctx, err, false)
	}
	return nil
}
