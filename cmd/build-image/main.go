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

func init() { spec.Check = check }

// check tells what else is wrong with the inputs.
func check(_ context.Context, r *action.Run, _ error) error {
	_, err := plan(r, "", os.Environ())
	return err
}

func run(ctx context.Context, r *action.Run) error {
	scratch, err := os.MkdirTemp("", "fibership-build-")
	if err != nil {
		return err
	}
	environ, kept, keep := caches(r, os.Environ())
	defer keep()
	build, err := plan(r, scratch, environ)
	if err != nil {
		return errors.Join(err, os.RemoveAll(scratch))
	}
	toolchain := build.Toolchain.(*gobuild.Toolchain)
	release, err := confine(ctx, toolchain)
	if err != nil {
		return errors.Join(err, os.RemoveAll(scratch))
	}
	defer release()
	forget, err := toolchain.Authorize(ctx, planPrivate(environ))
	if err != nil {
		return errors.Join(err, os.RemoveAll(scratch))
	}
	defer forget()
	if kept {
		checking, stop := context.WithCancel(ctx)
		defer stop() // where nothing is to be compiled
		toolchain.Check(checking)
	}
	result, err := build.Run(ctx)
	if toolchain.Spoiled(err) {
		result, err = build.Run(ctx)
	}
	return errors.Join(err, report(r, build.Plan, result, err), os.RemoveAll(scratch))
}

// inContainer says that this is the action's own container, where nothing
// stays of a home when the job ends.
func inContainer() bool { return os.Getenv("HOME") == "/github/home" }

// caches puts Go's caches where a job can keep them, and says whether it has. A
// build without is slower and no worse.
func caches(r *action.Run, environ []string) (with []string, kept bool, keep func()) {
	if !inContainer() {
		return environ, false, func() {}
	}
	with, release, err := gobuild.Caches(environ, r.Event.Workspace)
	if err != nil {
		r.Linef("Go's caches are not kept for later jobs: %v", err)
	}
	return with, err == nil, func() {
		if err := release(); err != nil {
			r.Linef("%v", err)
		}
	}
}

// confine keeps what we know from the code that we compile and test.
func confine(ctx context.Context, toolchain *gobuild.Toolchain) (release func(), err error) {
	if err := gobuild.Shield(); err != nil {
		return nil, err
	}
	if !*unprivilege {
		return func() {}, nil
	}
	// Caches are given away only where they are the action's: in its container.
	return toolchain.Unprivileged(ctx, inContainer())
}
