// Command build measures, in one run, build-image and ko at the same work:
// everything cold, one file changed, nothing changed with every cache warm and
// on a machine with none, and a changed README. Both push on the same base, to
// a registry in this process that counts what it is sent.
//
//	make bench-build
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/fibership/fibership/test/bench/paper"
)

var (
	bin    = flag.String("bin", "bin", "the folder of build-image and ko")
	only   = flag.String("cases", "orders,caddy", "comma-separated names of the services to build; hello is a small one, to try this program with")
	rounds = flag.Int("rounds", 5, "how often each step with warm caches is measured")
	cold   = flag.Int("cold-rounds", 1, "how often the steps without caches are measured; 0 leaves them out")
	out    = flag.String("out", "", "a Markdown file whose section on building is replaced; empty: standard output only")
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench-build:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to be undone
	}
}

func run(ctx context.Context) error {
	folder, err := filepath.Abs(*bin)
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "bench-build-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	var text strings.Builder
	text.WriteString("## Building\n\n" + paper.Machine() + "\n")
	for _, s := range services {
		if !slices.Contains(strings.Split(*only, ","), s.name) {
			continue
		}
		measured, err := compare(ctx, s, folder, filepath.Join(scratch, s.name))
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		text.WriteString("\n### " + s.title + "\n\n" + table(measured))
		if err := keep(text.String() + legend); err != nil {
			return err
		}
	}
	fmt.Println(text.String() + legend)
	return nil
}

// keep writes down what was measured so far: a run that is stopped has not been
// for nothing.
func keep(text string) error {
	if *out == "" {
		return nil
	}
	return paper.ReplaceSection(*out, "build", text)
}
