// Package deploy brings a release to an environment and, when it fails, the
// one before it back. It holds the order of things — lock, settle, compare,
// record, apply, wait, check, finish or undo — and the building blocks of that
// order, of which promote makes its walk and rollback its restore. Inputs and
// Markdown are not its business.
package deploy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/flags"
	"github.com/fibership/fibership/internal/jobs"
	"github.com/fibership/fibership/internal/progress"
	"github.com/fibership/fibership/internal/release"
)

// Target is one service in one environment, and the way to it.
type Target struct {
	Service     string
	Environment string
	Namespace   string
	Holder      string // who asks: told to others that wait for the lock
	Timeout     time.Duration
	Cluster     *cluster.Client
	Log         progress.Log

	// Announcer is told of releases; it may be nil.
	Announcer Announcer

	alone bool    // what it was promoted together with is settled by somebody else
	firm  bool    // no rollback is given way to
	why   *string // asks whoever holds the lock to give way, for this reason; nil: waits
}

// Announcer tells others of releases. Nothing depends on it: what it cannot
// tell it logs.
type Announcer interface {
	// Begun gives the number under which the others know the release: it is
	// kept in the record, so that whoever ends the release can tell so.
	Begun(ctx context.Context, r release.Record) int64
	Ended(ctx context.Context, r release.Record)
}

// labels are on every object of the target's releases.
func (t Target) labels() map[string]string { return Labels(t.Service, t.Environment) }

// Plan is a release to be made.
type Plan struct {
	// Record says who brings what and why. What the deploy finds out —
	// revision, base, status, times — is filled in as it goes.
	Record release.Record
	// Objects is everything of the release, ready to be applied, in order.
	Objects []*unstructured.Unstructured
	// Places says where the objects were written; nil where nobody wrote them.
	Places Places
	// Platforms is what the image is for; none: not known.
	Platforms []v1.Platform
	// Flags is the flag file as it was written, nil where there is none; its
	// ConfigMap is among the objects. Ramp is what is to be opened of it, in order.
	Flags *flags.File
	Ramp  []flags.Ramp
	// Before must succeed before anything of the release is applied. It may be nil.
	Before *jobs.Job
	// Elsewhere says that Before is run for another service's release, with
	// which this one is promoted together; the record tells of it all the same.
	Elsewhere bool
	// Tests put the release to the test once it serves, one after another.
	Tests []Test
	// Warm is the release to be restored where it is still running, without
	// traffic; nil where it is not.
	Warm *release.Warm
	// AllowOlder lets a commit through that is older than the one live.
	AllowOlder bool
	// Keep leaves a failed release where it is.
	Keep bool
}

// job is the Job that goes before, where it is this plan's to run.
func (p Plan) job() *jobs.Job {
	if p.Elsewhere {
		return nil
	}
	return p.Before
}

// record is the record with what the plan says itself.
func (p Plan) record() release.Record {
	if p.Before != nil {
		p.Record.Before = p.Before.Hash()
	}
	return p.Record
}

// Result tells how far a deploy came; it is filled in on failure too.
type Result struct {
	Status   release.Status
	Record   release.Record // of the release made; of the one live where none was
	Previous release.Record // what was live before; zero where nothing was
	Changes  []Change
	Checks   []analysis.Result
	Verdict  analysis.Verdict // of a promotion's analysis
	Judged   bool             // whether there was an analysis
	Weight   int              // share of traffic that the new version reached, in percent
	// OnlyFlags says that there is nothing to do but to open flags.
	OnlyFlags bool
	History   release.History // as it is afterwards, newest first
}

// Refusal is an error found before anything was changed.
type Refusal struct {
	Reason string
	Advice string // the next step to take
	Err    error  // what it follows from; may be nil
}

func (r *Refusal) Error() string {
	if r.Err == nil {
		return r.Reason
	}
	return fmt.Sprintf("%s: %v", r.Reason, r.Err)
}

// Next is the next step to take.
func (r *Refusal) Next() string {
	if r.Advice != "" {
		return r.Advice
	}
	var next interface{ Next() string }
	switch {
	case errors.As(r.Err, &next) && next.Next() != "":
		return next.Next()
	case errors.Is(r.Err, context.DeadlineExceeded):
		return "check that the API server can be reached from here and answers in time, then run again; nothing was changed"
	case errors.Is(r.Err, context.Canceled):
		return ""
	}
	return "correct what is named and run again; nothing was changed"
}

func (r *Refusal) Unwrap() error { return r.Err }

// DryRun tells what Run would do, and changes nothing: no lock is taken and
// nothing is settled.
func DryRun(ctx context.Context, t Target, p Plan) (Result, error) {
	s, err := Peek(ctx, t)
	if err != nil {
		return Result{Status: release.Refused, Record: p.record()}, err
	}
	return s.plan(ctx, p)
}

// Run makes the release.
func Run(ctx context.Context, t Target, p Plan) (Result, error) {
	s, err := Open(ctx, t)
	if err != nil {
		return Result{Status: release.Refused, Record: p.record()}, err
	}
	defer s.Close(ctx)
	ctx, stop := s.While(ctx)
	defer stop()
	result, err := s.Run(ctx, p)
	return result, Because(ctx, err)
}

// Run makes the release within a session.
func (s *Session) Run(ctx context.Context, p Plan) (Result, error) {
	p, err := s.Flagged(p)
	if err != nil {
		return s.result(p.record()), err
	}
	result, err := s.Prepare(ctx, p)
	if err != nil {
		return result, err
	}
	if result.Status == release.Unchanged {
		return s.recheck(ctx, p, result)
	}
	a, err := s.Begin(ctx, p, result.Changes)
	if err != nil {
		result.Status = release.Refused
		return result, err
	}
	err = a.roll(ctx, p)
	if err == nil {
		err = a.Finish(ctx)
	}
	if err != nil {
		err = a.Fail(ctx, err, p.Keep)
	}
	return a.Result(result), err
}

// roll applies, waits and checks.
func (a *Attempt) roll(ctx context.Context, p Plan) error {
	if err := a.Before(ctx, p.job()); err != nil {
		return err
	}
	if p.Warm != nil {
		if err := a.divert(ctx, p.Warm); err != nil {
			return err
		}
	}
	if err := a.Apply(ctx); err != nil {
		return err
	}
	if err := a.Serve(ctx); err != nil {
		return err
	}
	if len(p.Tests) == 0 {
		return nil
	}
	if err := a.Step(ctx, StepCheck); err != nil {
		return err
	}
	return a.test(ctx, p.Tests, &a.Record)
}

// Passed is nil if every check passed that counts, and names those that did not.
func Passed(ctx context.Context, checks []analysis.Result) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	var failed Unpassed
	for _, c := range checks {
		if c.Verdict != analysis.Pass && !c.Exempt {
			failed = append(failed, c)
		}
	}
	if len(failed) > 0 {
		return failed
	}
	return nil
}

// Unpassed is the checks that did not pass; there is one at the least.
type Unpassed []analysis.Result

func (u Unpassed) Error() string {
	told := make([]string, 0, len(u))
	for _, c := range u {
		told = append(told, fmt.Sprintf("check %q: %s: %s", c.Check, c.Verdict, c.Detail))
	}
	return strings.Join(told, "\n")
}

// Next is the next step to take.
func (u Unpassed) Next() string {
	for _, c := range u {
		if c.Verdict == analysis.Fail {
			return "look at what was measured in the job's summary and at the service's log, correct the service, or the check where it asks too much, and run again"
		}
	}
	return "too little was measured to judge: let the checks have more requests or more time, and run again"
}

// Prepare compares the release with what is live and lets the API server judge
// what differs. The status is then refused (with the error), unchanged, or
// planned: ready to begin.
func (s *Session) Prepare(ctx context.Context, p Plan) (Result, error) {
	result, err := s.prepare(ctx, p)
	return result, s.Clean(err) // the API server tells the value that it refuses
}

func (s *Session) prepare(ctx context.Context, p Plan) (Result, error) {
	r := p.record()
	result := s.result(r)
	var err error
	if !p.AllowOlder {
		if err := older(result.Previous, r); err != nil {
			return result, err
		}
		if why := unordered(result.Previous, r); why != "" {
			s.Log.Linef("%s", why)
		}
	}
	if result.Changes, err = s.Compare(ctx, p.Objects); err != nil {
		return result, err
	}
	for _, test := range p.Tests {
		if err := test.Ready(ctx, s); err != nil {
			return result, err
		}
	}
	if p.toRamp() {
		if err := s.mayRamp(ctx); err != nil {
			return result, err
		}
	}
	result.OnlyFlags = s.same(r, result.Changes)
	if result.OnlyFlags && !p.toRamp() {
		result.Record = result.Previous
		result.Status = release.Unchanged
		s.Log.Linef("release %d is live with these very objects: nothing to change", result.Record.Revision)
		s.leftovers(ctx)
		return result, nil
	}
	if err := s.Preflight(ctx, p, result.Changes); err != nil {
		return result, err
	}
	if err := s.admit(ctx, p.job()); err != nil {
		return result, err
	}
	result.Status = release.Planned
	return result, nil
}

// plan is where a dry run ends.
func (s *Session) plan(ctx context.Context, p Plan) (Result, error) {
	p, err := s.Flagged(p)
	if err != nil {
		return s.result(p.record()), err
	}
	result, err := s.Prepare(ctx, p)
	if err != nil {
		return result, err
	}
	if p.job() != nil && result.Status == release.Planned && !result.OnlyFlags {
		s.Log.Linef("Job %s (%s) would run before anything is changed", p.Before.GetName(), p.Before.Place())
	}
	result.Status = release.Planned
	return result, s.Diff(ctx, result.Changes)
}
