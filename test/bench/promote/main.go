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
	"errors"
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
const pause = 4 * time.Second

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
	found := findings{machine: paper.Machine()}
	keep := func() error { return ground.Keep("promote", found.text()) }
	if found.ours, err = play(ctx, ground, scenarios(shared, slow), func(ours []lost) error {
		found.ours = ours
		return keep()
	}); err != nil {
		return err
	}
	found.pace, err = measurePace(ctx, ground, min(*rounds, 5))
	if err := errors.Join(err, keep()); err != nil {
		return err
	}
	found.theirs, err = argo(ctx, ground, min(*rounds, 5))
	if err := errors.Join(err, keep()); err != nil {
		return fmt.Errorf("the controller of Argo Rollouts: %w", err)
	}
	if found.judges, err = judges(*runs); err != nil {
		return err
	}
	if err := ground.Tell("promote", found.text()); err != nil {
		return err
	}
	return found.failed()
}

// play runs the scenarios, and tells after each what they cost by then. One
// that ends otherwise than it should does not end those after it.
func play(ctx context.Context, ground *stage.Stage, all []scenario, tell func([]lost) error) ([]lost, error) {
	var ours []lost
	for _, s := range all {
		if !strings.Contains(s.name, *only) || ctx.Err() != nil {
			continue
		}
		l := s.run(ctx, ground, *rounds)
		if l.err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", s.name, l.err)
		}
		ours = append(ours, l)
		if err := tell(ours); err != nil {
			return ours, err
		}
	}
	return ours, context.Cause(ctx)
}

// findings is what was measured so far. It is written down after each part, so
// that a run that is stopped has not been for nothing.
type findings struct {
	machine string
	ours    []lost
	pace    pace
	theirs  argued
	judges  string
}

func (f findings) text() string {
	text := "## Promotion\n\n" + f.machine + "\n\n"
	if f.judges == "" {
		text += "This run has not come to its end: what is missing was not measured.\n\n"
	}
	all := slices.Clone(f.ours)
	if f.theirs.runs > 0 {
		all = append(all, f.theirs.lost)
	}
	text += lostTable(all)
	if len(f.pace.bad) > 0 { // it has all the other figures as well
		text += "\n" + paceTable(f.pace, f.theirs.beyond)
	}
	if f.judges != "" {
		text += "\n### The judge\n\n" + f.judges
	}
	return text
}

// failed names the scenarios that cost users a request, and those that ended
// otherwise than they should: not one may.
func (f findings) failed() error {
	var errs []error
	for _, l := range f.ours {
		if l.err != nil {
			errs = append(errs, fmt.Errorf("%s, run %d: %w", l.name, l.runs+1, l.err))
		}
		if l.failed > 0 {
			errs = append(errs, fmt.Errorf("%s: %d of %d requests failed", l.name, l.failed, l.sent))
		}
	}
	return errors.Join(errs...)
}

func lostTable(all []lost) string {
	var text strings.Builder
	fmt.Fprintf(&text, "Users send %d requests a second, open loop, half of them over kept connections, to a service of %d pods; each step is watched for %v.\n\n", *rate, stage.Replicas, pause)
	text.WriteString("| | runs | took (median) | requests | failed |\n|---|---:|---:|---:|---:|\n")
	for _, l := range all {
		if l.runs == 0 {
			continue
		}
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
