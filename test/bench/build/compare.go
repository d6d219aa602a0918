package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The steps, in the order in which they are told.
const (
	stepCold   = "cold"
	stepFile   = "one file changed"
	stepWarm   = "nothing changed, caches warm"
	stepFresh  = "nothing changed, fresh machine"
	stepReadme = "README changed"
)

var steps = []string{stepCold, stepFile, stepWarm, stepFresh, stepReadme}

// result holds what was measured, by step and tool; kept says how often the
// digest was that of the run before.
type result struct {
	samples map[string]map[string][]sample
	kept    map[string]map[string]int
}

func (r *result) add(step, tool string, s sample, before string) {
	if r.samples[step] == nil {
		r.samples[step], r.kept[step] = map[string][]sample{}, map[string]int{}
	}
	r.samples[step][tool] = append(r.samples[step][tool], s)
	if s.digest == before {
		r.kept[step][tool]++
	}
	fmt.Fprintf(os.Stderr, "%-32s %-12s %6.2f s\n", step, tool, s.wall.Seconds())
}

// compare measures every step, the tools in turn.
func compare(ctx context.Context, s service, folder, scratch string) (*result, error) {
	output, err := command(ctx, ".", "go", "env", "GOMODCACHE")
	if err != nil {
		return nil, err
	}
	proxy := filepath.Join(strings.TrimSpace(string(output)), "cache", "download")
	workspace := filepath.Join(scratch, "src")
	if err := s.checkOut(ctx, workspace); err != nil {
		return nil, err
	}
	tools := []*tool{
		{name: "build-image", command: buildImage(folder)},
		{name: "ko", command: ko(folder)},
	}
	for _, t := range tools {
		t.home, t.modules = filepath.Join(scratch, t.name), proxy
		if t.registry, err = newRegistry(); err != nil {
			return nil, err
		}
		defer t.registry.close()
	}
	c := &comparison{service: s, workspace: workspace, tools: tools, last: map[string]string{}, result: &result{
		samples: map[string]map[string][]sample{}, kept: map[string]map[string]int{},
	}}
	return c.result, c.run(ctx)
}

// comparison is one under way.
type comparison struct {
	*result
	service   service
	workspace string
	tools     []*tool
	last      map[string]string // digest, by tool
}

func (c *comparison) run(ctx context.Context) error {
	nothing := func(*tool) error { return nil }
	for n := range *cold {
		// Cold is without anything compiled; the modules are there.
		for _, t := range c.tools {
			if err := t.fetch(ctx, c.workspace); err != nil {
				return err
			}
		}
		if err := c.service.change(ctx, c.workspace, 1000+n); err != nil { // an image that the registry does not have
			return err
		}
		if err := c.step(ctx, stepCold, n, func(t *tool) error { return t.forget("build", "tool") }); err != nil {
			return err
		}
		if err := c.step(ctx, stepFresh, n, func(t *tool) error { return t.forget(places...) }); err != nil {
			return err
		}
	}
	// Caches are filled again, by an image that no round builds.
	if err := c.service.change(ctx, c.workspace, 2000); err != nil {
		return err
	}
	for _, t := range c.tools {
		s, err := t.run(ctx, c.service, c.workspace)
		if err != nil {
			return err
		}
		c.last[t.name] = s.digest
	}
	for n := range *rounds {
		if err := c.service.change(ctx, c.workspace, n); err != nil {
			return err
		}
		if err := c.step(ctx, stepFile, n, nothing); err != nil {
			return err
		}
		if err := c.step(ctx, stepWarm, n, nothing); err != nil {
			return err
		}
		if err := changeReadme(ctx, c.workspace, n); err != nil {
			return err
		}
		if err := c.step(ctx, stepReadme, n, nothing); err != nil {
			return err
		}
	}
	return nil
}

// step measures both tools, the other one first in each round.
func (c *comparison) step(ctx context.Context, step string, round int, prepare func(*tool) error) error {
	for i := range c.tools {
		t := c.tools[(i+round)%len(c.tools)]
		if err := prepare(t); err != nil {
			return err
		}
		s, err := t.run(ctx, c.service, c.workspace)
		if err != nil {
			return fmt.Errorf("%s: %w", step, err)
		}
		c.add(step, t.name, s, c.last[t.name])
		c.last[t.name] = s.digest
	}
	return nil
}
