package main

import (
	"strconv"

	"github.com/fibership/fibership/cmd/internal/target"
	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/deploy"
	"github.com/fibership/fibership/internal/promote"
)

// report sets the outputs and writes the summary, on failure too.
func report(r *action.Run, t deploy.Target, result promote.Result, err error) error {
	verdict := "none"
	if result.Judged {
		verdict = result.Verdict.String()
	}
	r.Set("verdict", verdict)
	r.Set("weight", strconv.Itoa(result.Weight))
	target.Summary(r, "Promote", t, result.Result, err)
	r.Summary(picture(result.Samples))
	return target.Outputs(r, result.Result, files.URL())
}
