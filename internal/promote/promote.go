// Package promote brings what passed in one environment to the next, by the
// strategy asked for: all at once, as a canary whose share of traffic grows step
// by step while it is judged, or switched to in one step, with the way back open
// while it is watched. The order of a release — record, apply,
// wait, finish or undo — is package deploy's; this package adds the walk over
// weights and the watch, and nothing of how a weight is made true or measured.
package promote

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/deploy"
	"github.com/fibership/fibership/internal/metrics"
	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/rollout"
)

// Strategy is how the new version takes over.
type Strategy string

// The strategies.
const (
	Rolling   Strategy = "rolling"
	Canary    Strategy = "canary"
	BlueGreen Strategy = "blue-green"
)

// Traffic is how a weight is made true.
type Traffic string

// The ways.
const (
	Replicas Traffic = "replicas" // by what the Services select
	Gateway  Traffic = "gateway"  // by the weights of an HTTPRoute
)

// Plan is a promotion to be made.
type Plan struct {
	deploy.Plan
	Strategy       Strategy
	Traffic        Traffic
	Route          string // for Gateway: name or namespace/name of the HTTPRoute; empty: the only one of the release
	Port           int    // where the pods tell their metrics
	RequestsMetric string // of the requests that they count; empty: recognised
	Probing        bool   // Source sends requests of its own, also to what gets no traffic
	Steps          []int  // weights in percent, rising, below 100
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
	s, err := deploy.Open(ctx, t, p.needs(t.Namespace)...)
	if err != nil {
		return Result{Result: deploy.Result{Status: release.Refused, Record: p.Record}}, err
	}
	defer s.Close(ctx)
	ctx, stop := s.While(ctx)
	defer stop()
	if p.Plan, err = s.Flagged(p.Plan); err != nil {
		return Result{Result: deploy.Result{Status: release.Refused, Record: p.Record}}, err
	}
	w, err := prepare(ctx, s, p)
	if w.idle || err != nil {
		return w.told(), deploy.Because(ctx, err)
	}
	if err := w.begin(ctx, s); err != nil {
		return w.told(), deploy.Because(ctx, err)
	}
	if !w.result.OnlyFlags {
		err = w.run(ctx)
	}
	if err != nil {
		err = w.Fail(ctx, err, false)
	} else {
		err = w.finish(ctx)
	}
	told := w.told()
	if err != nil && told.Status == release.Succeeded { // but for a flag
		told.Status, told.Checks = release.Failed, w.failed
	}
	return told, err
}

// walk is one promotion on its way.
type walk struct {
	*deploy.Attempt // nil until it is begun
	plan            Plan
	result          deploy.Result // of its preparation
	idle            bool          // there is nothing to change
	router          Router        // nil: all at once
	weight          int           // that was asked of it last; 0: none yet
	verdict         analysis.Verdict
	analysed        bool              // there was something to judge
	failed          []analysis.Result // what a flag did not pass
	trace           trace
	meet            func(ctx context.Context, point int, what string) error // nil: alone
}

// prepare makes sure that a promotion can be made, before anything is begun.
func prepare(ctx context.Context, s *deploy.Session, p Plan) (*walk, error) {
	w := &walk{plan: p}
	var err error
	if w.result, err = s.Prepare(ctx, p.Plan); err != nil {
		return w, err
	}
	w.idle = w.result.Status == release.Unchanged
	if w.idle || w.result.OnlyFlags {
		return w, nil
	}
	if w.router, err = p.router(ctx, s); err != nil {
		w.result.Status = release.Refused
	}
	return w, err
}

// begin records the release: from here on it is finished or taken back.
func (w *walk) begin(ctx context.Context, s *deploy.Session) (err error) {
	if w.Attempt, err = s.Begin(ctx, w.plan.Plan, w.result.Changes); err != nil {
		w.result.Status = release.Refused
	}
	return err
}

// told is what came of it.
func (w *walk) told() Result {
	if w.Attempt == nil {
		return Result{Result: w.result}
	}
	result := w.Result(w.result)
	result.Verdict, result.Judged = w.verdict, w.analysed
	return Result{Result: result, Samples: w.trace.samples}
}

// ready waits for those that this one is promoted together with.
func (w *walk) ready(ctx context.Context, point int, what string) error {
	if w.meet == nil {
		return nil
	}
	return w.meet(ctx, point, what)
}

// run brings the new version to where its release is good. One that cannot run
// has failed, whether or not there was something to measure yet.
func (w *walk) run(ctx context.Context) error {
	err := w.steps(ctx)
	if _, doomed := errors.AsType[*rollout.Failure](err); doomed {
		w.verdict, w.analysed = analysis.Fail, true
	}
	return w.Clean(err) // others that are promoted together tell it, too
}

func (w *walk) steps(ctx context.Context) error {
	if err := w.before(ctx); err != nil {
		return err
	}
	if err := w.ready(ctx, pointBegun, "the first step"); err != nil {
		return err
	}
	if w.router != nil {
		if err := w.beside(ctx); err != nil {
			return err
		}
	}
	if err := w.ready(ctx, pointApply, "the takeover"); err != nil {
		return err
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
	if err := w.Home(ctx); err != nil {
		return err
	}
	if w.router != nil && w.plan.Strategy == BlueGreen {
		return nil // watched already, while the version before stood by
	}
	return w.watch(ctx)
}

// before runs the Job that goes before, once every record tells of it.
func (w *walk) before(ctx context.Context) error {
	if w.plan.Before == nil {
		return nil
	}
	if w.plan.Elsewhere {
		if err := w.BeforeElsewhere(ctx, w.plan.Before); err != nil {
			return err
		}
	}
	if err := w.ready(ctx, pointBefore, "the Job before"); err != nil {
		return err
	}
	if w.plan.Elsewhere {
		return nil
	}
	return w.Before(ctx, w.plan.Before)
}

// watch judges the new version alone for a while after it took over.
func (w *walk) watch(ctx context.Context) error {
	w.uncompared(deploy.StepWatch, "first release: nothing to compare with")
	if w.plan.Watch <= 0 {
		return nil
	}
	if err := w.Step(ctx, deploy.StepWatch); err != nil {
		return err
	}
	w.Log.Linef("all traffic is on the new version: watched for %v", w.plan.Watch)
	o := w.observeAlone(ctx, absolute(w.plan.Checks), 1)
	defer o.close()
	return w.judge(ctx, o, "watch", w.plan.Watch)
}

// absolute leaves out what compares with the live version: during the watch
// there is none beside the new one.
func absolute(checks []analysis.Check) []analysis.Check {
	return slices.DeleteFunc(slices.Clone(checks), func(c analysis.Check) bool { return c.Baseline })
}
