// Command rollback restores an earlier release of a service, whole, as a new
// release; or shows the history.
package main

import (
	"context"
	"errors"

	"github.com/fibership/fibership/cmd/internal/target"
	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/deploy"
)

func main() { action.Main(spec, run) }

func init() { spec.Check = check }

// check tells everything that is wrong with the inputs, beside what is known to be.
func check(_ context.Context, r *action.Run, wrong error) error {
	t, err := in.Target(r)
	return errors.Join(err, report(r, t, refused(r), errors.Join(wrong, err)))
}

func run(ctx context.Context, r *action.Run) error {
	t, err := in.Target(r)
	if err != nil {
		return errors.Join(err, report(r, t, refused(r), err))
	}
	if *list {
		s, err := deploy.Peek(ctx, t)
		if err != nil {
			return errors.Join(err, report(r, t, refused(r), err))
		}
		return listed(r, t, s.History)
	}
	result, err := deploy.Rollback(ctx, t, back(r))
	target.TellDossier(r, err)
	return errors.Join(err, report(r, t, result, err))
}
