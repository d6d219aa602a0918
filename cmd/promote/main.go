// Command promote brings exactly what is live and passed in staging to
// production: as a canary that is judged step by step, or at once.
package main

import (
	"context"
	"errors"

	"github.com/fibership/fibership/cmd/internal/target"
	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/promote"
)

func main() { action.Main(spec, run) }

func run(ctx context.Context, r *action.Run) error {
	if len(*services) > 0 {
		return runTogether(ctx, r)
	}
	t, err := in.Target(r)
	if err := errors.Join(err, read(ctx, r, t, files)); err != nil {
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
