// Command promote brings exactly what is live and passed in staging to
// production: as a canary that is judged step by step, or at once.
package main

import (
	"context"
	"errors"

	"github.com/fibership/fibership/cmd/internal/target"
	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/deploy"
	"github.com/fibership/fibership/internal/promote"
)

func main() { action.Main(spec, run) }

func init() { spec.Check = check }

// check tells everything that is wrong with the inputs and the workspace, beside
// what is known to be.
func check(ctx context.Context, r *action.Run, wrong error) error {
	if len(*services) > 0 {
		members, _, err := checkedTogether(ctx, r)
		return errors.Join(err, reportTogether(r, members, refusedTogether(r, members), errors.Join(wrong, err)))
	}
	t, err := checked(ctx, r)
	return errors.Join(err, report(r, t, refused(r), errors.Join(wrong, err)))
}

func checked(ctx context.Context, r *action.Run) (deploy.Target, error) {
	t, err := in.Target(r)
	return t, errors.Join(err, read(ctx, r, t, files))
}

func run(ctx context.Context, r *action.Run) error {
	if len(*services) > 0 {
		return runTogether(ctx, r)
	}
	t, err := checked(ctx, r)
	if err != nil {
		return errors.Join(err, report(r, t, refused(r), err))
	}
	plan, err := planned(ctx, r, t, *image, files)
	if err != nil {
		return errors.Join(err, report(r, t, refused(r), err))
	}
	var result promote.Result
	if *in.DryRun {
		result.Result, err = promote.DryRun(ctx, t, plan)
	} else {
		result, err = promote.Run(ctx, t, plan)
	}
	target.TellDossier(r, err)
	return errors.Join(err, report(r, t, result, err))
}
