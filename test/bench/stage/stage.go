// Package stage is what benchmarks on the test cluster begin with: the way to
// the cluster, the programs to be measured, and two versions of a service.
package stage

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/testcluster"
)

// Stage is the ground that the tools of a benchmark share.
type Stage struct {
	Client *cluster.Client
	Bin    string    // the folder of the programs
	Host   string    // of the registry
	Images [2]string // the service's versions, repository@sha256:…
}

// Set finds the cluster, and publishes the service to its registry.
func Set(ctx context.Context, bin string) (*Stage, error) {
	s := &Stage{Host: os.Getenv("FIBERSHIP_TEST_REGISTRY")}
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
