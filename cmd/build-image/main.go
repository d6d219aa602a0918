// Command build-image tests a Go service, compiles it and pushes it as an
// image, with no Docker daemon.
package main

import (
	"context"
	"errors"
	"os"

	"github.com/fibership/fibership/internal/action"
)

func main() { action.Main(spec, run) }

func run(ctx context.Context, r *action.Run) error {
	scratch, err := os.MkdirTemp("", "fibership-build-")
	if err != nil {
		return err
	}
	build, err := plan(r, scratch, os.Environ())
	if err != nil {
		return errors.Join(err, os.RemoveAll(scratch))
	}
	result, err := build.Run(ctx)
	return errors.Join(err, report(r, build.Plan, result, err), os.RemoveAll(scratch))
}
