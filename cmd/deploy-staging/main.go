// Command deploy-staging deploys a release to staging, waits until it serves
// and puts it to the test; what fails is taken back.
package main

import (
	"context"
	"errors"
	"os"

	"github.com/fibership/fibership/cmd/internal/target"
	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/deploy"
	"github.com/fibership/fibership/internal/jobs"
)

func main() {
	if isWorker(os.Args) {
		os.Exit(worker(os.Args[2:]))
	}
	action.Main(spec, run)
}

func init() { spec.Check = check }

// check tells everything that is wrong with the inputs and the workspace, beside
// what is known to be.
func check(ctx context.Context, r *action.Run, wrong error) error {
	t, _, err := checked(ctx, r)
	return errors.Join(err, report(r, t, refused(r), errors.Join(wrong, err)))
}

func checked(ctx context.Context, r *action.Run) (deploy.Target, *jobs.Job, error) {
	t, err := in.Target(r)
	job, wrong := read(ctx, r, t)
	return t, job, errors.Join(err, wrong)
}

func run(ctx context.Context, r *action.Run) error {
	t, job, err := checked(ctx, r)
	if err != nil {
		return errors.Join(err, report(r, t, refused(r), err))
	}
	plan, err := planned(ctx, r, t, job)
	if err != nil {
		return errors.Join(err, report(r, t, refused(r), err))
	}
	do := deploy.Run
	if *in.DryRun {
		do = deploy.DryRun
	}
	result, err := do(ctx, t, plan)
	target.TellDossier(r, err)
	return errors.Join(err, report(r, t, result, err))
}
