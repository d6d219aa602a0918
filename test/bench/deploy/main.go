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
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/fibership/fibership/test/bench/paper"
	"github.com/fibership/fibership/test/bench/stage"
)

var (
	bin      = flag.String("bin", "bin", "the folder of the actions' binaries and of helm")
	rounds   = flag.Int("rounds", 10, "how often each of the tools deploys")
	deadline = flag.Duration("deadline", time.Minute, "what a tool is given to tell that a release is doomed")
	sizes    = flag.String("sizes", "50,500", "of the releases whose requests are counted, in objects; empty: none are")
	noDoomed = flag.Bool("no-doomed", false, "do not measure doomed releases")
	out      = flag.String("out", "", "a Markdown file whose section on deploying is replaced; empty: standard output only")
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench-deploy:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to be undone
	}
}

func run(ctx context.Context) error {
	ground, err := stage.Set(ctx, *bin)
	if err != nil {
		return err
	}
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
	fmt.Println(text)
	if *out == "" {
		return nil
	}
	return paper.ReplaceSection(*out, "deploy", "## Deploying\n\n"+text)
}

// bench is what every part of the run shares.
type bench struct{ *stage.Stage }
