// Command build-image tests a Go service, compiles it and pushes it as an
// image, with no Docker daemon.
package main

import (
	"context"
	"errors"
	"os"

	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/gobuild"
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
	release, err := confine(ctx, r, build.Toolchain.(*gobuild.Toolchain))
	if err != nil {
		return errors.Join(err, os.RemoveAll(scratch))
	}
	defer release()
	result, err := build.Run(ctx)
	return errors.Join(err, report(r, build.Plan, result, err), os.RemoveAll(scratch))
}

// confine keeps what we know from the code that we compile and test.
func confine(ctx context.Context, r *action.Run, toolchain *gobuild.Toolchain) (release func(), err error) {
	if err := gobuild.Shield(); err != nil {
		return nil, err
	}
	if !*unprivilege {
		return func() {}, nil
	}
	// Caches are given away only where they are the action's: in its container.
	release, err = toolchain.Unprivileged(ctx, os.Getenv("HOME") == "/github/home")
	if err != nil {
		r.Linef("compiler and tests run as root: %v", err)
	}
	return release, nil
}
