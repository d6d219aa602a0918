package promote

import (
	"context"
	"fmt"
	"slices"

	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/deploy"
	"github.com/fibership/fibership/internal/release"
)

// beside lets the new version stand beside the live one, which is not touched,
// and walks: a canary over its weights, green to all of the traffic at once.
func (w *walk) beside(ctx context.Context) error {
	step := deploy.StepCanary
	if w.plan.Strategy == BlueGreen {
		step = deploy.StepGreen
	}
	if err := w.Beside(ctx, step, w.router.Objects()); err != nil {
		return err
	}
	if err := w.ApplyNew(ctx); err != nil {
		return err
	}
	if err := w.router.Hold(ctx, w.note); err != nil {
		return err
	}
	if w.plan.Strategy == BlueGreen {
		return w.green(ctx)
	}
	return w.canary(ctx)
}

// note records how traffic is about to be led, and where requests are counted.
func (w *walk) note(ctx context.Context, s release.Steered) error {
	s.Metrics = release.Counted{Port: w.plan.Port, Requests: w.plan.RequestsMetric}
	return w.Steered(ctx, s)
}

// canary walks the weights below 100.
func (w *walk) canary(ctx context.Context) error {
	// Before the first canary: what restarts at its start counts as well.
	o := w.observe(ctx, w.plan.Checks, len(w.plan.Steps), w.router.CanaryPods, w.router.LivePods)
	defer o.close()
	before := 0
	return w.climb(ctx, o, "canary", w.plan.Steps, func(ctx context.Context, weight int) error {
		if err := w.ready(ctx, pointFirst+slices.Index(w.plan.Steps, weight), fmt.Sprintf("%d%%", weight)); err != nil {
			return err
		}
		if err := w.Step(ctx, fmt.Sprintf("%s %d%%", deploy.StepCanary, weight)); err != nil {
			return err
		}
		if err := w.stand(ctx, weight); err != nil {
			return err
		}
		from := before
		before = weight
		return w.shift(ctx, o, "canary", from, weight)
	})
}

// green stands beside in full size and is judged as far as that needs no
// traffic; then it gets all of it in one step, and is watched while the version
// before stands by.
func (w *walk) green(ctx context.Context) error {
	checks := absolute(w.plan.Checks)
	idle := slices.DeleteFunc(slices.Clone(checks), func(c analysis.Check) bool {
		return c.Metric == analysis.Query || c.Metric != analysis.Restarts && !w.plan.Probing
	})
	o := w.observe(ctx, idle, 1, w.router.CanaryPods, nil)
	err := w.stand(ctx, 100)
	if err == nil && len(idle) > 0 {
		w.Log.Linef("green stands beside: judged without traffic for %v", w.plan.StepDuration)
		err = w.judge(ctx, o, "green without traffic", w.plan.StepDuration)
	}
	o.close()
	if err != nil {
		return err
	}
	if err := w.ready(ctx, pointFirst, "the switch"); err != nil {
		return err
	}
	if err := w.match(ctx, 100); err != nil {
		return err
	}
	if err := w.Step(ctx, deploy.StepGreen+" switch"); err != nil {
		return err
	}
	o = w.observe(ctx, checks, 1, w.router.CanaryPods, nil)
	defer o.close()
	if err := w.shift(ctx, o, "green", 0, 100); err != nil {
		return err
	}
	if w.plan.Watch <= 0 {
		return nil
	}
	if err := w.Step(ctx, deploy.StepGreen+" watch"); err != nil {
		return err
	}
	return w.judge(ctx, o, "watch", w.plan.Watch)
}

// stand has enough pods beside for a weight, serving.
func (w *walk) stand(ctx context.Context, weight int) error {
	if err := w.router.Size(ctx, weight); err != nil {
		return err
	}
	return w.ServeBeside(ctx)
}

// match has what stands beside as large as the live version has become since,
// and serving: an autoscaler may have acted while it was judged.
func (w *walk) match(ctx context.Context, weight int) error {
	for {
		grown, err := w.grow(ctx, weight)
		if err != nil {
			return err
		}
		if err := w.ServeBeside(ctx); err != nil {
			return err
		}
		if !grown { // nor did it while it was waited for
			return nil
		}
	}
}

func (w *walk) grow(ctx context.Context, weight int) (bool, error) {
	grown, err := w.router.Grow(ctx, weight)
	if grown {
		w.Log.Linef("the live version has grown: what stands beside grows with it")
	}
	return grown, err
}

// shift leads traffic to what stands beside, and tells the share that really
// reaches it. What fails its checks meanwhile is aborted.
func (w *walk) shift(ctx context.Context, o *observer, what string, before, weight int) error {
	reached, err := w.router.Shift(ctx, weight, w.note)
	if err != nil {
		return err
	}
	w.Record.Weight, w.weight = weight, weight
	step, long := stepAt(what, weight), w.plan.StepDuration
	if w.plan.Strategy == BlueGreen {
		step, long = deploy.StepWatch, w.plan.Watch
	}
	if w.plan.Traffic == Gateway {
		w.Log.Linef("%s at %d%%: every gateway knows the weight", what, weight)
		reached, err = w.prove(ctx, what, before, weight, func(ctx context.Context) error {
			if long <= 0 { // nobody asked to watch it
				return nil
			}
			return w.failing(ctx, o, step)
		})
		if err != nil {
			return err
		}
		w.Log.Linef("%s at %d%%: watched for %v", what, weight, long)
	} else {
		w.Log.Linef("%s at %d%%: %.1f%% reached by replicas; watched for %v", what, weight, reached, long)
	}
	w.Record.Weight = int(reached + 0.5)
	return nil
}
