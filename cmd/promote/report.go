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
	target.Summary(r, "Promote", t, result.Result, err)
	r.Summary(picture(result.Samples))
	return outputs(r, t, result)
}

func outputs(r *action.Run, t deploy.Target, result promote.Result) error {
	r.Set("verdict", verdict(result))
	r.Set("weight", strconv.Itoa(result.Weight))
	return target.Outputs(r, t, result.Result, files.URL())
}

func verdict(result promote.Result) string {
	if !result.Judged {
		return "none"
	}
	return result.Verdict.String()
}
