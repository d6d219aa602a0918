package deploy

import (
	"context"
	"fmt"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/fibership/fibership/internal/history"
	"github.com/fibership/fibership/internal/release"
)

// Live as a rollback's target changes nothing but what a dead run left half
// done: opening the session has settled that.
const Live = "live"

// Previous as a rollback's target is the last release that succeeded before
// the one live.
const Previous = "previous"

// Back is a rollback to be made: a deploy whose objects are an older release's.
type Back struct {
	To     string // previous, a release number, an image digest, a commit, or Live
	Record release.Record
	Images Images
	DryRun bool
}

// hurry is how long a rollback waits for a registry: what is to be restored ran
// before, and users wait.
const hurry = 3 * time.Second

type hurried struct{ Images }

// Platforms is what the image is for.
func (h hurried) Platforms(ctx context.Context, image name.Digest) ([]v1.Platform, error) {
	ctx, stop := context.WithTimeout(ctx, hurry)
	defer stop()
	return h.Images.Platforms(ctx, image)
}

// Rollback restores an earlier release, whole, as a new release. It is refused
// before anything changes where the release is not there, its image is gone or
// a barrier lies between. A deploy or a promotion under way is asked to give
// way, and what it had begun is undone before anything else is done.
func Rollback(ctx context.Context, t Target, b Back) (Result, error) {
	if b.DryRun {
		s, err := Peek(ctx, t)
		if err != nil {
			return Result{Status: release.Refused}, err
		}
		return s.rollBack(ctx, b, false)
	}
	t.firm = true
	var before release.History
	var looked bool
	if b.To != Live {
		t.why = &b.Record.Reason
		h, err := history.Open(t.Cluster, t.Service, t.Environment, t.Namespace).List(ctx)
		before, looked = h, err == nil // else opening the session tells
	}
	s, err := Open(ctx, t)
	if err != nil {
		return Result{Status: release.Refused, Record: b.Record}, err
	}
	defer s.Close(ctx)
	ctx, stop := s.While(ctx)
	defer stop()
	result, err := s.rollBack(ctx, b, s.previous || looked && (s.tookBack(before) || s.wentBack(before)))
	return result, Because(ctx, err)
}

// tookBack says whether a release was half there when the history was as
// before, or came after that, and was taken back meanwhile: by a run that gave
// way to us, or failed by itself while we waited.
func (s *Session) tookBack(before release.History) bool {
	for _, r := range s.History {
		was, known := before.Revision(r.Revision)
		if r.Status == release.RolledBack && r.Restored == 0 && (!known || was.Status == release.Underway) {
			s.Log.Linef("release %d, which was under way, was taken back", r.Revision)
			return true
		}
	}
	return false
}

// wentBack says whether somebody else's rollback, not ended when the history was
// as before, has restored what was the previous release then.
func (s *Session) wentBack(before release.History) bool {
	wanted, err := before.Find(Previous)
	live, ok := s.History.Live()
	was, _ := before.Revision(live.Revision)
	if err != nil || !ok || was.Status == release.Succeeded || live.Restored != wanted.Revision {
		return false
	}
	s.Log.Linef("release %d was restored meanwhile, as release %d", live.Restored, live.Revision)
	return true
}

// rollBack makes the rollback. Whoever asks for the one before while a new one
// is half there has it when that is taken back.
func (s *Session) rollBack(ctx context.Context, b Back, back bool) (Result, error) {
	result := s.result(b.Record)
	if b.To == Live || b.To == Previous && back {
		result.Record, result.Status = result.Previous, release.Unchanged
		s.Log.Linef("settled: release %d of %s is live in %s", result.Record.Revision, s.Service, s.Environment)
		s.leftovers(ctx)
		return result, nil
	}
	plan, err := s.Restore(ctx, b)
	if err != nil {
		return result, err
	}
	if !b.DryRun {
		return s.Run(ctx, plan)
	}
	return s.plan(ctx, plan)
}

// Restore plans the rollback.
func (s *Session) Restore(ctx context.Context, b Back) (Plan, error) {
	found, err := s.History.Find(b.To)
	if err != nil {
		return Plan{}, &Refusal{
			Reason: fmt.Sprintf("roll %s in %s back to %s", s.Service, s.Environment, b.To), Err: err,
			Advice: "run with list: true to see the history",
		}
	}
	if r, ok := s.History.Barrier(found.Revision); ok {
		return Plan{}, barred(r, found)
	}
	objects, err := s.objects(ctx, found)
	if err != nil {
		return Plan{}, &Refusal{Reason: fmt.Sprintf("read release %d", found.Revision), Err: err}
	}
	platforms, err := CheckImage(ctx, hurried{b.Images}, found.Image, s.Log)
	if err != nil {
		return Plan{}, err
	}
	s.Log.Linef("release %d (%s) is to be restored", found.Revision, found.Image)
	r := b.Record
	r.Image, r.Commit, r.Ref, r.Committed = found.Image, found.Commit, found.Ref, found.Committed
	r.Restored, r.Before = found.Revision, found.Before
	r.URL = Address(s.Service, objects)
	r.Ramp = found.Taken()
	r.Recheck = found.Recheck // what does not pass any more does not pass because it is restored
	return Plan{Record: r, Objects: objects, Platforms: platforms, Warm: s.warm(found)}, nil
}

// barred refuses to go behind a barrier.
func barred(r, found release.Record) error {
	refusal := &Refusal{
		Reason: fmt.Sprintf("release %d is a barrier: what it changed cannot be taken back, and release %d lies before it", r.Revision, found.Revision),
		Advice: "deploy a fix",
	}
	if r.Status == release.Succeeded {
		refusal.Advice = fmt.Sprintf("roll back to release %d or a later one, or deploy a fix", r.Revision)
	} else {
		refusal.Reason += fmt.Sprintf(" (it is %s, but its Job had run)", r.Status)
	}
	return refusal
}
