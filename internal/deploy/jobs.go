package deploy

import (
	"context"
	"errors"
	"fmt"

	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/jobs"
	"github.com/fibership/fibership/internal/progress"
	"github.com/fibership/fibership/internal/release"
)

// Before runs the Job that must succeed before anything of the release is
// applied; only configuration that is new with the release, which the Job may
// want, comes first. From the moment on at which a barrier's Job may have
// changed something the record says so, whatever becomes of the release.
func (a *Attempt) Before(ctx context.Context, j *jobs.Job) error {
	if j == nil {
		return nil
	}
	a.Record.Barrier = j.Barrier()
	if err := a.Step(ctx, StepBefore); err != nil {
		return err
	}
	if err := a.ApplyNew(ctx); err != nil {
		return err
	}
	err := a.run(ctx, j)
	if failure := (*jobs.Failure)(nil); errors.As(err, &failure) && !failure.Ran {
		a.Record.Barrier = false
	}
	return err
}

// BeforeElsewhere is Before for a release that another one's Job goes before:
// a barrier is one for both.
func (a *Attempt) BeforeElsewhere(ctx context.Context, j *jobs.Job) error {
	if j == nil {
		return nil
	}
	a.Record.Barrier = j.Barrier()
	return a.Step(ctx, StepBefore)
}

// IntegrationTests is a test by a Job in the cluster: how it ends is the verdict.
func IntegrationTests(j *jobs.Job) Test { return integration{j} }

type integration struct{ *jobs.Job }

func (t integration) Ready(ctx context.Context, s *Session) error { return s.admit(ctx, t.Job) }

func (t integration) Run(ctx context.Context, s *Session, _ *release.Record) ([]analysis.Result, error) {
	result := analysis.Result{Check: "integration tests " + t.GetName(), Verdict: analysis.Pass, Detail: "the Job succeeded"}
	err := s.run(ctx, t.Job)
	if err != nil {
		result.Verdict, result.Detail = analysis.Fail, firstLine(err)
	}
	if ctx.Err() != nil {
		result.Verdict, result.Detail = analysis.Inconclusive, "the run ended before the Job did"
	}
	return []analysis.Result{result}, err
}

// run runs a Job of the release. What its log and its evidence hold of the
// Secrets that it is given is not shown.
func (s *Session) run(ctx context.Context, j *jobs.Job) error {
	defer s.Log.Group(fmt.Sprintf("Job %s (%s)", j.GetName(), j.For))()
	s.veil.Cover(j.Unstructured)
	o := s.jobOptions(ctx)
	o.Log = progress.Hiding(s.Log, o.Hide)
	return j.Run(ctx, s.Cluster, o)
}

func (s *Session) jobOptions(ctx context.Context) jobs.Options {
	return jobs.Options{Namespace: s.Namespace, Labels: s.labels(), Timeout: s.Timeout, Log: s.Log, Hide: s.veil.Foreign(ctx)}
}

// admit refuses a Job that could not run here, before anything is written.
func (s *Session) admit(ctx context.Context, j *jobs.Job) error {
	if j == nil {
		return nil
	}
	missing, err := s.Cluster.Can(ctx, jobs.Rights(s.Namespace))
	if err != nil {
		return &Refusal{Reason: "ask the API server for our rights", Err: err}
	}
	if len(missing) > 0 {
		return &Refusal{
			Reason: fmt.Sprintf("no right to %s in namespace %s, which Job %s needs", list(missing), s.Namespace, j.GetName()),
			Advice: "add these rules to the role of the kubeconfig's user:\n" + cluster.Rules(missing),
		}
	}
	if err := j.DryRun(ctx, s.Cluster, s.jobOptions(ctx)); err != nil {
		return &Refusal{Reason: fmt.Sprintf("%s: Job %s cannot run here, and nothing was changed", j.Place(), j.GetName()), Err: err}
	}
	return nil
}
