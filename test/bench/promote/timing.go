package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/fibership/fibership/test/bench/stage"
)

// weights are those of the canary whose pace is measured.
const weights = "10%, 30%, 60%"

// steps is how many there are of them.
const steps = 3

// pace is how long a canary of three steps takes beyond what it has to wait,
// for each step, and how long users had bad answers of a version that fails.
type pace struct {
	beyond []time.Duration // for each step
	bad    []time.Duration // from the first bad answer to the last
	wrong  []int           // requests that failed meanwhile
	within []int           // of so many
}

// measurePace promotes good versions for the one figure, and one that answers
// nothing but errors for the other.
func measurePace(ctx context.Context, ground *stage.Stage, rounds int) (found pace, err error) {
	p, err := newPlace(ctx, ground)
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, p.Remove(ctx)) }()
	url, err := scenario{}.begin(ctx, p)
	if err != nil {
		return found, err
	}
	inputs := map[string]string{
		"strategy": "canary", "steps": weights, "step-duration": pause.String(), "metrics": "pods", "analysis": "error-rate < 1%",
	}
	for range rounds {
		if err := p.Pass(ctx, 1-p.live); err != nil {
			return found, err
		}
		if err := found.good(ctx, p, url, inputs); err != nil {
			return found, err
		}
		if err := p.Pass(ctx, 1-p.live); err != nil {
			return found, err
		}
		if err := found.faulty(ctx, p, url, inputs); err != nil {
			return found, err
		}
	}
	return found, nil
}

func (f *pace) good(ctx context.Context, p *place, url string, inputs map[string]string) error {
	if err := p.Production.Write(stage.Web{}.Manifests()); err != nil {
		return err
	}
	users := start(url)
	run, err := p.Promote(ctx, 0, inputs)
	users.stop()
	if err != nil {
		return err
	}
	p.live = 1 - p.live
	began, err := run.At("release ")
	if err != nil {
		return err
	}
	ended, err := run.At("canary at 60%: pass")
	if err != nil {
		return err
	}
	beyond := (ended.Sub(began) - steps*pause) / steps
	f.beyond = append(f.beyond, beyond)
	fmt.Fprintf(os.Stderr, "three steps: %v beyond the wait, for each\n", beyond.Round(10*time.Millisecond))
	return p.Production.Quiet(ctx)
}

func (f *pace) faulty(ctx context.Context, p *place, url string, inputs map[string]string) error {
	if err := p.Production.Write(stage.Web{Env: `{name: FAIL_RATE, value: "1"}`}.Manifests()); err != nil {
		return err
	}
	users := start(url)
	_, err := p.Promote(ctx, 1, inputs)
	if err == nil {
		err = p.Production.Quiet(ctx)
	}
	counts := users.stop()
	if err != nil {
		return err
	}
	f.bad = append(f.bad, counts.Last.Sub(counts.First))
	f.wrong, f.within = append(f.wrong, counts.Failed), append(f.within, counts.Sent)
	fmt.Fprintf(os.Stderr, "a version that fails: bad answers for %v, %v\n", counts.Last.Sub(counts.First).Round(10*time.Millisecond), counts)
	return nil
}
