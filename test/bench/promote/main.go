// Command promote measures, in one run on the test cluster with its Gateway:
// how many requests users lose over promotions, aborts and rollbacks of every
// kind; how long a canary takes beyond what it has to wait; how long a version
// that fails has users; beside it Argo Rollouts' controller on the same
// service; and, simulated, how soundly canaries are judged.
//
//	make bench-promote
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/fibership/fibership/test/bench/paper"
	"github.com/fibership/fibership/test/bench/stage"
)

var (
	rounds = flag.Int("rounds", 20, "runs of each scenario")
	rate   = flag.Int("rate", 500, "requests a second")
	runs   = flag.Int("simulated", 1000, "simulated canaries for each figure")
	only   = flag.String("only", "", "only scenarios whose name holds this")
)

// pause is what each step has to wait.
const pause = 3 * time.Second

func main() { stage.Main("bench-promote", run) }

func run(ctx context.Context, ground *stage.Stage) error {
	shared, err := parseGateway(os.Getenv("FIBERSHIP_TEST_GATEWAY"))
	if err != nil {
		return err
	}
	slow, err := parseGateway(os.Getenv("FIBERSHIP_TEST_SLOW_GATEWAY"))
	if err != nil {
		return err
	}
	text := paper.Machine() + "\n\n"
	var all []lost
	for _, s := range scenarios(shared, slow) {
		if !strings.Contains(s.name, *only) {
			continue
		}
		l, err := s.run(ctx, ground, *rounds)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		all = append(all, l)
	}
	paced, err := measurePace(ctx, ground, min(*rounds, 5))
	if err != nil {
		return err
	}
	beside, err := argo(ctx, ground, min(*rounds, 5))
	if err != nil {
		return fmt.Errorf("the controller of Argo Rollouts: %w", err)
	}
	text += lostTable(append(all, beside.lost)) + "\n" + paceTable(paced, beside.beyond)
	simulated, err := judges(*runs)
	if err != nil {
		return err
	}
	text += "\n### The judge\n\n" + simulated
	return ground.Tell("promote", "## Promotion\n\n"+text)
}

func lostTable(all []lost) string {
	var text strings.Builder
	fmt.Fprintf(&text, "Users send %d requests a second, open loop, half of them over kept connections, to a service of %d pods; each step is watched for %v.\n\n", *rate, stage.Replicas, pause)
	text.WriteString("| | runs | took (median) | requests | failed |\n|---|---:|---:|---:|---:|\n")
	for _, l := range all {
		failed := fmt.Sprint(l.failed)
		for kind, n := range l.kinds {
			failed += fmt.Sprintf("; %d × %s", n, kind)
		}
		fmt.Fprintf(&text, "| %s | %d | %.1f s | %d | %s |\n", l.name, l.runs, paper.Median(l.took).Seconds(), l.sent, failed)
	}
	return text.String()
}

func paceTable(p pace, theirs []time.Duration) string {
	var text strings.Builder
	fmt.Fprintf(&text, "A canary by replicas of three steps (%s), %d times:\n\n", weights, len(p.beyond))
	text.WriteString("| | median | most |\n|---|---:|---:|\n")
	fmt.Fprintf(&text, "| beyond what it has to wait, for each step | %.2f s | %.2f s |\n", paper.Median(p.beyond).Seconds(), slices.Max(p.beyond).Seconds())
	if len(theirs) > 0 {
		fmt.Fprintf(&text, "| the same by Argo Rollouts | %.2f s | %.2f s |\n", paper.Median(theirs).Seconds(), slices.Max(theirs).Seconds())
	}
	fmt.Fprintf(&text, "| a version that answers nothing but errors: from the first bad answer to the last | %.2f s | %.2f s |\n", paper.Median(p.bad).Seconds(), slices.Max(p.bad).Seconds())
	fmt.Fprintf(&text, "| bad answers of %d | %d | %d |\n", slices.Max(p.within), slices.Sorted(slices.Values(p.wrong))[len(p.wrong)/2], slices.Max(p.wrong))
	return text.String()
}
