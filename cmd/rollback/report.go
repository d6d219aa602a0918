package main

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/fibership/fibership/cmd/internal/target"
	"github.com/fibership/fibership/internal/action"
	"github.com/fibership/fibership/internal/deploy"
	"github.com/fibership/fibership/internal/release"
)

// report sets the outputs and writes the summary, on failure too.
func report(r *action.Run, t deploy.Target, result deploy.Result, err error) error {
	if result.Record.Restored > 0 {
		r.Set("restored-release", strconv.Itoa(result.Record.Restored))
	}
	target.Summary(r, "Rollback", t, result, err)
	r.Summary(action.Details("History", told(result.History)))
	return errors.Join(target.Outputs(r, t, result, ""), setHistory(r, result.History))
}

// refused tells of a rollback that came to nothing.
func refused(r *action.Run) deploy.Result {
	return deploy.Result{Status: release.Refused, Record: back(r).Record}
}

// listed shows the history and nothing else.
func listed(r *action.Run, t deploy.Target, h release.History) error {
	live, _ := h.Live()
	for _, line := range strings.Split(target.Lines(h), "\n") {
		r.Linef("%s", line)
	}
	r.Summary("### Releases of " + action.Escape(t.Service) + " in " + action.Escape(t.Environment) + "\n\n" + told(h))
	result := deploy.Result{Status: release.Planned, Record: live, History: h}
	return errors.Join(target.Outputs(r, t, result, ""), setHistory(r, h))
}

func setHistory(r *action.Run, h release.History) error {
	plain := make(release.History, 0, len(h))
	for _, record := range h {
		record.Load = nil
		plain = append(plain, record.Bare())
	}
	return target.SetJSON(r, "history", plain)
}

// told is a history for people: the table, the picture, the figures.
func told(h release.History) string {
	now := time.Now()
	return target.History(h) + "\n" + target.Timeline(h, now) + "\n" + target.Figures(h, now)
}
