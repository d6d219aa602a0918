package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/fibership/fibership/internal/deploy"
	"github.com/fibership/fibership/internal/load"
)

// isWorker says whether the program was started as a load worker in the
// cluster: a use of our own that no input tells of.
func isWorker(args []string) bool { return len(args) > 1 && args[1] == deploy.WorkerCommand }

// worker sends its share of a load and gives the exit code.
func worker(args []string) int {
	if err := work(args); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func work(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(args) < 2 {
		return fmt.Errorf("expected %s ADDRESS LOAD [%s]", deploy.WorkerCommand, deploy.WithOthers)
	}
	share, err := load.ParseSpec(args[1])
	if err != nil {
		return err
	}
	return load.Work(ctx, args[0], share, slices.Contains(args[2:], deploy.WithOthers), os.Stdout)
}
