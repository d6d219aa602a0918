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
)

func main() {
	if isWorker(os.Args) {
		os.Exit(worker(os.Args[2:]))
	}
	action.Main(spec, run)
}

func run(ctx context.Context, r *action.Run) error {
	t, err := in.Target(r)
	job, wrong := read(ctx, r, t)
	if err := errors.Join(err, wrong); err != nil {
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
