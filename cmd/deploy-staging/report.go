package main

import (
	"github.com/fibership/fibership/cmd/internal/target"
	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/deploy"
)

// report sets the outputs and writes the summary, on failure too.
func report(r *action.Run, t deploy.Target, result deploy.Result, err error) error {
	target.Summary(r, "Deploy", t, result, err)
	return target.Outputs(r, t, result, files.URL())
}
