// Command deploy measures deploy-staging, in one run on the test cluster, beside
// kubectl apply with rollout status and helm upgrade --wait, each through a proxy
// that counts its requests: how long it takes until a release serves, how soon a
// doomed one is told, and how many requests releases of 50 and 500 objects cost.
//
//	make bench-deploy
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/fibership/fibership/test/bench/paper"
	"github.com/fibership/fibership/test/bench/stage"
)

var (
	rounds   = flag.Int("rounds", 10, "how often each of the tools deploys")
	deadline = flag.Duration("deadline", time.Minute, "what a tool is given to tell that a release is doomed")
	sizes    = flag.String("sizes", "50,500", "of the releases whose requests are counted, in objects; empty: none are")
	noDoomed = flag.Bool("no-doomed", false, "do not measure doomed releases")
)

func main() { stage.Main("bench-deploy", run) }

func run(ctx context.Context, ground *stage.Stage) error {
	b := &bench{ground}
	text := paper.Machine() + "\n\n"
	part, err := b.serving(ctx)
	if err != nil {
		return err
	}
	text += part
	fmt.Fprintln(os.Stderr, part)
	if !*noDoomed {
		if part, err = b.doomed(ctx); err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, part)
		text += "\n" + part
	}
	if *sizes != "" {
		var counts []int
		for size := range strings.SplitSeq(*sizes, ",") {
			n, err := strconv.Atoi(size)
			if err != nil || n < 3 {
				return fmt.Errorf("-sizes: %q is no number of objects from 3 on", size)
			}
			counts = append(counts, n)
		}
		if part, err = b.requests(ctx, counts); err != nil {
			return err
		}
		text += "\n" + part
	}
	return ground.Tell("deploy", "## Deploying\n\n"+text)
}

// bench is what every part of the run shares.
type bench struct{ *stage.Stage }
