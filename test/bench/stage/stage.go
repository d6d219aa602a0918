// Package stage is what benchmarks on the test cluster stand on: the way to
// the cluster, the programs to be measured, two versions of a service, and
// places to run them in. What is measured, and how, is each benchmark's own.
package stage

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/testcluster"
	"github.com/fibership/fibership/test/bench/paper"
)

// Stage is the ground that the tools of a benchmark share.
type Stage struct {
	Client *cluster.Client
	Bin    string    // the folder of the programs
	Host   string    // of the registry
	Images [2]string // the service's versions, repository@sha256:…
	out    string    // the file to tell in; empty: none
}

// Main is a benchmark's: it parses the flags, -bin and -out among them, and
// runs until it is done or interrupted.
func Main(name string, run func(context.Context, *Stage) error) {
	bin := flag.String("bin", "bin", "the folder of the actions' binaries and of what they are measured beside")
	out := flag.String("out", "", "a Markdown file whose sections on what is measured are replaced; empty: standard output only")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	s, err := set(ctx, *bin, *out)
	if err == nil {
		err = run(ctx, s)
	}
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// set finds the cluster, and publishes the service to its registry.
func set(ctx context.Context, bin, out string) (*Stage, error) {
	s := &Stage{Host: os.Getenv("FIBERSHIP_TEST_REGISTRY"), out: out}
	if s.Host == "" {
		return nil, errors.New("FIBERSHIP_TEST_REGISTRY is not set: run it by `bin/cluster in --`")
	}
	var err error
	if s.Client, err = cluster.Connect(cluster.Options{}); err != nil {
		return nil, err
	}
	if s.Bin, err = filepath.Abs(bin); err != nil {
		return nil, err
	}
	for i := range s.Images {
		if s.Images[i], err = testcluster.Publish(ctx, s.Host, "bench/web", fmt.Sprint(i+1)); err != nil {
			return nil, fmt.Errorf("publish the service: %w", err)
		}
	}
	return s, nil
}

// Tell prints a section, and puts it into the file.
func (s *Stage) Tell(section, text string) error {
	fmt.Println(text)
	return s.Keep(section, text)
}

// Keep puts a section into the file, be it whole or not yet.
func (s *Stage) Keep(section, text string) error {
	if s.out == "" {
		return nil
	}
	return paper.ReplaceSection(s.out, section, text)
}
