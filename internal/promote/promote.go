// Package promote brings what passed in one environment to the next, by the
// strategy asked for: all at once, or as a canary whose share of traffic grows
// step by step while it is judged. The order of a release — record, apply,
// wait, finish or undo — is package deploy's; this package adds the walk over
// weights and the watch, and nothing of how a weight is made true or measured.
package promote

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/deploy"
	"github.com/fibership/fibership/internal/metrics"
	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/traffic"
)

// Strategy is how the new version takes over.
type Strategy string

// The strategies.
const (
	Rolling Strategy = "rolling"
	Canary  Strategy = "canary"
)

// Router brings a share of traffic to the new version.
type Router interface {
	// Objects is what will stand beside the live version: recorded first.
	Objects() []release.Object
	// Set makes a weight in percent true and gives the share reached.
	Set(ctx context.Context, weight int) (float64, error)
	CanaryPods(ctx context.Context) ([]corev1.Pod, error)
	LivePods(ctx context.Context) ([]corev1.Pod, error)
}

// Plan is a promotion to be made.
type Plan struct {
	deploy.Plan
	Strategy       Strategy
	Steps          []int // weights in percent, rising, below 100
	StepDuration   time.Duration
	Checks         []analysis.Check
	Source         metrics.Source
	Watch          time.Duration
	KeepPrevious   time.Duration // how long the version before stays warm
	OnInconclusive Policy
}

// Result tells how far a promotion came; it is filled in on failure too.
type Result struct {
	deploy.Result
	Samples []Sample // what was seen on the way
}

// Run promotes.
func Run(ctx context.Context, t deploy.Target, p Plan) (Result, error) {
	s, err := deploy.Open(ctx, t)
	if err != nil {
		return Result{Result: deploy.Result{Status: release.Refused}}, err
	}
	defer s.Close(ctx)
	result, err := s.Prepare(ctx, p.Plan)
	if err != nil || result.Status == release.Unchanged {
		return Result{Result: result}, err
	}
	a, err := s.Begin(ctx, p.Plan, result.Changes)
	if err != nil {
		result.Status = release.Refused
		return Result{Result: result}, err
	}
	w := &walk{Attempt: a, plan: p}
	err = w.run(ctx)
	if err == nil {
		err = a.Finish(ctx)
	}
	if err != nil {
		err = a.Fail(ctx, err, false)
	}
	result = a.Result(result)
	result.Verdict, result.Judged = w.verdict, w.judged
	return Result{Result: result, Samples: w.trace.samples}, err
}

// walk is one promotion on its way.
type walk struct {
	*deploy.Attempt
	plan    Plan
	verdict analysis.Verdict
	judged  bool
	trace   trace
}

func (w *walk) run(ctx context.Context) error {
	if err := w.Before(ctx, w.plan.Before); err != nil {
		return err
	}
	if w.plan.Strategy == Canary {
		if err := w.canary(ctx); err != nil {
			return err
		}
	}
	if err := w.KeepWarm(ctx, w.plan.KeepPrevious, w.plan.Watch+w.Timeout); err != nil {
		return err
	}
	if err := w.Apply(ctx); err != nil {
		return err
	}
	if err := w.Serve(ctx); err != nil {
		return err
	}
	w.Record.Weight = 100
	if err := w.RemoveBeside(ctx); err != nil {
		return err
	}
	return w.watch(ctx)
}

// canary walks the weights below 100. A first release has nothing to stand
// beside: it is rolled out, checked and watched.
func (w *walk) canary(ctx context.Context) error {
	if _, live := w.History.Live(); !live {
		w.Log.Linef("first release of %s in %s: nothing to compare with, it is rolled out and watched", w.Service, w.Environment)
		return nil
	}
	router, err := traffic.NewReplicas(ctx, w.Cluster, w.plan.Objects)
	if err != nil {
		return err
	}
	if err := w.Beside(ctx, deploy.StepCanary, router.Objects()); err != nil {
		return err
	}
	if err := w.ApplyNew(ctx); err != nil {
		return err
	}
	// Before the first canary: what restarts at its start counts as well.
	o := w.observe(ctx, w.plan.Checks, len(w.plan.Steps), router.CanaryPods, router.LivePods)
	defer o.close()
	for _, weight := range w.plan.Steps {
		if err := w.Step(ctx, fmt.Sprintf("%s %d%%", deploy.StepCanary, weight)); err != nil {
			return err
		}
		reached, err := router.Set(ctx, weight)
		if err != nil {
			return err
		}
		if err := w.ServeBeside(ctx); err != nil {
			return err
		}
		w.Record.Weight = int(reached + 0.5)
		w.Log.Linef("canary at %d%%: %.1f%% reached by replicas; watched for %v", weight, reached, w.plan.StepDuration)
		if err := w.judge(ctx, o, fmt.Sprintf("canary at %d%%", weight), w.plan.StepDuration); err != nil {
			return err
		}
		o.series.Next()
	}
	return nil
}

// watch judges the new version alone for a while after it took over.
func (w *walk) watch(ctx context.Context) error {
	if w.plan.Watch <= 0 {
		return nil
	}
	if err := w.Step(ctx, deploy.StepWatch); err != nil {
		return err
	}
	w.Log.Linef("all traffic is on the new version: watched for %v", w.plan.Watch)
	o := w.observe(ctx, absolute(w.plan.Checks), 1, w.Pods, nil)
	defer o.close()
	return w.judge(ctx, o, "watch", w.plan.Watch)
}

// absolute leaves out what compares with the live version: during the watch
// there is none beside the new one.
func absolute(checks []analysis.Check) []analysis.Check {
	return slices.DeleteFunc(slices.Clone(checks), func(c analysis.Check) bool { return c.Baseline })
}
