// Command rollback measures, in one run on the test cluster, how long it takes
// until all pods are the old version's again: by our rollback, by kubectl
// rollout undo with rollout status, and by helm rollback --wait, in turn, under
// load; and how long users still meet the bad version where the one before was
// kept warm. Then it kills our actions at every request to the API server, and
// counts what the next run could not mend.
//
//	make bench-rollback
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/fibership/fibership/test/bench/paper"
	"github.com/fibership/fibership/test/bench/stage"
	"github.com/fibership/fibership/test/kill"
)

var (
	rounds   = flag.Int("rounds", 10, "how often each of the tools rolls back, and how often a warm version is gone back to")
	sample   = flag.Int("kill-sample", 0, "how many points of each action are killed at; 0: every request, before and after")
	lanes    = flag.Int("kill-lanes", 2, "how many points of each action are tried at once")
	killOnce = flag.Bool("kill-once", false, "kill at each request once, before or after it in turn")
	killOnly = flag.String("kill-only", "", "kill only these, with commas between; empty: all")
	killFor  = flag.Duration("kill-for", 0, "begin no point after so long; 0: try all")
	killGoOn = flag.String("kill-go-on", "", "a file that says how far an earlier run came, where this one goes on, and that tells so afterwards; empty: begin anew")
	onlyKill = flag.Bool("only-kill", false, "do not measure")
	noKill   = flag.Bool("no-kill", false, "measure only")
)

func main() { stage.Main("bench-rollback", run) }

func run(ctx context.Context, ground *stage.Stage) error {
	machine := paper.Machine() + "\n\n"
	if !*onlyKill {
		measured, err := compare(ctx, ground)
		if err != nil {
			return err
		}
		warm, err := measureWarm(ctx, ground)
		if err != nil {
			return fmt.Errorf("warm: %w", err)
		}
		if err := ground.Tell("rollback", "## Rollback\n\n"+machine+table(measured)+"\n"+warm.table()); err != nil {
			return err
		}
	}
	if *noKill {
		return nil
	}
	text, failed, err := killAll(ctx, ground)
	if err != nil {
		return err
	}
	if err := ground.Tell("kill", "## Killed at any request\n\n"+machine+text); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d kills were not mended by the next run", failed)
	}
	return nil
}

// killAll tries the kill matrix and tells of it as Markdown, and how many
// points failed.
func killAll(ctx context.Context, ground *stage.Stage) (text string, failed int, err error) {
	gateway, err := kill.ParseGateway(os.Getenv("FIBERSHIP_TEST_GATEWAY"))
	if err != nil {
		return "", 0, err
	}
	victims := kill.Victims
	if *killOnly != "" {
		names := strings.Split(*killOnly, ",")
		victims = slices.DeleteFunc(slices.Clone(victims), func(v kill.Victim) bool { return !slices.Contains(names, v.Name) })
	}
	done := 0
	m := &kill.Matrix{
		Gateway: gateway,
		Client:  ground.Client, Bin: ground.Bin, Images: ground.Images, Victims: victims, Lanes: *lanes, Sample: *sample, Seed: 1, Once: *killOnce,
		Tell: func(t kill.Tried) {
			done++
			if t.Err != nil {
				fmt.Fprintf(os.Stderr, "%v: %v\n%s\n", t, t.Err, t.Log)
			} else if done%20 == 0 {
				fmt.Fprintf(os.Stderr, "%d points tried\n", done)
			}
		},
	}
	if m.Report, err = before(); err != nil {
		return "", 0, err
	}
	if *killFor > 0 {
		m.Until = time.Now().Add(*killFor)
	}
	report, err := m.Run(ctx)
	if err != nil {
		return "", 0, err
	}
	return killed(victims, report), report.Failed, after(report)
}

// before is how far an earlier run came.
func before() (report kill.Report, err error) {
	if *killGoOn == "" {
		return report, nil
	}
	content, err := os.ReadFile(*killGoOn)
	if errors.Is(err, os.ErrNotExist) {
		return report, nil
	}
	if err == nil {
		err = json.Unmarshal(content, &report)
	}
	return report, err
}

// after says how far this one did.
func after(report kill.Report) error {
	if *killGoOn == "" {
		return nil
	}
	content, err := json.MarshalIndent(report, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(*killGoOn, content, 0o600)
}

// killed is the report as Markdown.
func killed(victims []kill.Victim, report kill.Report) string {
	var b strings.Builder
	b.WriteString("Killed by SIGKILL at requests to the API server, before the server sees the request and after it has done it")
	if *killOnce {
		b.WriteString(", in turn")
	}
	b.WriteString("; then another run comes (`rollback` with `to: live`, the same run again, or a plain `rollback`, in turn).\n\n")
	b.WriteString("| killed | requests of one run | points | tried |\n|---|---:|---:|---:|\n")
	for _, v := range victims {
		p := report.Victims[v.Name]
		fmt.Fprintf(&b, "| %s | %d | %d | %d |\n", v.Name, p.Requests, p.Points, p.Tried)
	}
	tried, _ := report.Points()
	fmt.Fprintf(&b, "\n| points tried | killed there | ended before | not on exactly one release after the next run | requests of users | lost |\n|---:|---:|---:|---:|---:|---:|\n| %d | %d | %d | %d | %d | %d |\n",
		tried, report.Reached, tried-report.Reached, report.Failed, report.Sent, report.Lost)
	return b.String()
}
