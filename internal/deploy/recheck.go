package deploy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fibership/fibership/internal/release"
)

// recheck puts a release to the test that is live already. What comes of it is
// recorded: a release that does not pass any more is promoted no further.
func (s *Session) recheck(ctx context.Context, p Plan, result Result) (Result, error) {
	was := result.Record
	result.Record.Checks, result.Record.Load = nil, nil
	if len(p.Tests) == 0 {
		return result, nil
	}
	err := s.Clean(s.test(ctx, p.Tests, &result.Record))
	result.Record.Checks = s.cleanChecks(result.Record.Checks)
	result.Checks = result.Record.Checks
	if ctx.Err() != nil { // a test that was cancelled says nothing
		result.Status = release.Failed
		return result, context.Cause(ctx)
	}
	result.Record.Recheck = rechecked(p.Record.Run, err)
	recorded := lasting(was, result.Record)
	if failed := s.store.Update(ctx, &recorded); failed != nil {
		err = errors.Join(err, fmt.Errorf("record how release %d fared: %w", was.Revision, failed))
	} else {
		s.replace(recorded)
	}
	if err != nil {
		result.Status = release.Failed
		return result, fmt.Errorf("release %d, unchanged, does not pass any more: %w", was.Revision, err)
	}
	return result, nil
}

func rechecked(run string, err error) *release.Recheck {
	r := &release.Recheck{At: time.Now().UTC(), Run: run}
	if err != nil {
		r.Failure = firstLine(err)
	}
	return r
}

// lasting is what of a recheck goes into the record. A load test that did not pass
// is nothing to compare the next release with: the former one stays.
func lasting(was, now release.Record) release.Record {
	if now.Load == nil || now.Relapsed() {
		now.Load = was.Load
	}
	return now
}
