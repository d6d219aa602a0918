package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fibership/fibership/internal/traffic"
	"github.com/fibership/fibership/test/bench/paper"
	"github.com/fibership/fibership/test/bench/stage"
	"github.com/fibership/fibership/test/loadgen"
)

// warmed is what rollbacks took that found the version before kept warm.
type warmed struct {
	bad          []time.Duration // from the call until the bad version answered last
	done         []time.Duration // from the call until the command returned
	warm         int             // rounds in which the warm pods were given the traffic
	sent, failed int             // requests meanwhile
}

// measureWarm promotes a bad version, which keeps the good one warm, and goes
// back, again and again.
func measureWarm(ctx context.Context, ground *stage.Stage) (w *warmed, err error) {
	p, err := ground.NewPair(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Remove(ctx)) }()
	if err := p.Production.Write(stage.Web{}.Manifests()); err != nil {
		return nil, err
	}
	if err := p.Pass(ctx, 0); err != nil {
		return nil, err
	}
	if _, err := p.Promote(ctx, 0, map[string]string{"strategy": "rolling"}); err != nil {
		return nil, err
	}
	if err := p.Pass(ctx, 1); err != nil {
		return nil, err
	}
	url, err := p.Production.URL(ctx)
	if err != nil {
		return nil, err
	}
	w = new(warmed)
	for round := range *rounds {
		if err := w.round(ctx, p, url); err != nil {
			return nil, fmt.Errorf("round %d: %w", round+1, err)
		}
		fmt.Fprintf(os.Stderr, "warm, round %d of %d: %v\n", round+1, *rounds, w.bad[round])
	}
	return w, nil
}

func (w *warmed) round(ctx context.Context, p *stage.Pair, url string) error {
	if _, err := p.Promote(ctx, 0, map[string]string{"strategy": "rolling", "keep-previous": "5m"}); err != nil {
		return err
	}
	if err := keeps(ctx, p.Production); err != nil {
		return err
	}
	last := follow(ctx, url, "2")
	load := loadgen.Start(url, rate, true)
	step, err := p.Production.Action(ctx, "rollback", 0, map[string]string{"environment": "production"})
	done := time.Since(step.Began)
	if err == nil {
		err = p.Production.Quiet(ctx) // whatever still ends, ends under load
	}
	counts := load.Stop()
	bad := last()
	switch {
	case err != nil:
		return err
	case bad.Before(step.Began):
		return errors.New("the bad version did not answer when the rollback began")
	}
	w.bad, w.done = append(w.bad, bad.Sub(step.Began)), append(w.done, done)
	w.sent, w.failed = w.sent+counts.Sent, w.failed+counts.Failed
	if _, err := step.At("which was kept warm"); err == nil {
		w.warm++
	}
	return nil
}

// keeps waits until the bad version alone serves, and all pods of the one
// before it that are kept warm are ready.
func keeps(ctx context.Context, p *stage.Place) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	err := p.Until(ctx, func(pods []corev1.Pod) bool {
		if slices.ContainsFunc(pods, func(pod corev1.Pod) bool { return pod.DeletionTimestamp != nil }) {
			return false
		}
		var live, warm []corev1.Pod
		for _, pod := range pods {
			if _, is := pod.Labels[traffic.WarmLabel]; is {
				warm = append(warm, pod)
			} else {
				live = append(live, pod)
			}
		}
		return stage.Serving(live, p.Images[1]) && stage.Serving(warm, p.Images[0])
	})
	if err != nil {
		return fmt.Errorf("wait for what is kept warm: %w", err)
	}
	return nil
}

// follow asks again and again until the returned function is called, which
// gives the time of the last answer of the version.
func follow(ctx context.Context, url, version string) (stop func() time.Time) {
	ctx, cancel := context.WithCancel(ctx)
	var last time.Time
	var group sync.WaitGroup
	group.Go(func() {
		for ctx.Err() == nil {
			if says, err := ask(ctx, url); err == nil && says.Version == version {
				last = time.Now()
			}
		}
	})
	return func() time.Time {
		cancel()
		group.Wait()
		return last
	}
}

// table is what was measured, as Markdown.
func (w *warmed) table() string {
	var text strings.Builder
	fmt.Fprintf(&text, "Back to a version that was kept warm (`keep-previous`) in %d pods, %d times under the same load; meanwhile another client asks again and again, by a connection of its own each time, which version answers.\n\n", stage.Replicas, len(w.bad))
	text.WriteString("| rounds | of them warm | until the bad version answered last: median (most) | until the command returned: median (most) | requests failed |\n|---:|---:|---:|---:|---:|\n")
	fmt.Fprintf(&text, "| %d | %d | %s | %s | %d of %d |\n", len(w.bad), w.warm, most(w.bad), most(w.done), w.failed, w.sent)
	return text.String()
}

func most(times []time.Duration) string {
	return fmt.Sprintf("%.2f s (%.2f)", paper.Median(times).Seconds(), slices.Max(times).Seconds())
}
