// Command prepare makes what the tests of the workflows need on this machine,
// while there is a network: Debian packages, act, and the caches of the
// toolchain that container actions are built with. What is there is left.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/fibership/fibership/test/workflows"
)

func main() {
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "prepare the tests of the workflows:", err)
		os.Exit(1)
	}
}

func prepare() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	rig, err := workflows.Find(root)
	if err != nil {
		return fmt.Errorf("run it from the repository's root: %w", err)
	}
	return rig.Prepare(ctx, os.Stderr)
}
