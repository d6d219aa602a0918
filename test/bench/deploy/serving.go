package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/fibership/fibership/test/bench/paper"
	"github.com/fibership/fibership/test/bench/stage"
)

// took is what one tool took, over all rounds.
type took struct {
	name string
	new  []time.Duration // from the call until all pods are new and ready
	done []time.Duration // from the call until the command returns
}

// serving lets the tools deploy in turn, each time another one first.
func (b *bench) serving(ctx context.Context) (text string, err error) {
	var places []*place
	defer func() {
		for _, p := range places {
			err = errors.Join(err, p.Remove(ctx))
		}
	}()
	var all []*took
	for _, t := range tools {
		p, err := b.newPlace(ctx, t)
		if err == nil {
			places = append(places, p)
			err = p.release(ctx, 0)
		}
		if err != nil {
			return "", fmt.Errorf("%s: prepare: %w", t.name, err)
		}
		all = append(all, &took{name: t.name})
	}
	for round := range *rounds {
		for i := range places {
			i = (i + round) % len(places)
			if err := all[i].round(ctx, places[i], round+1); err != nil {
				return "", fmt.Errorf("%s: %w", all[i].name, err)
			}
		}
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, *rounds)
	}
	return servingTable(all), nil
}

// release brings the n-th release: the two images in turn, and each time
// another configuration.
func (p *place) release(ctx context.Context, n int) error {
	image := p.Images[n%2]
	if err := p.Write(stage.Web{Image: image, Greet: fmt.Sprintf("configuration %d", n)}.Manifests()); err != nil {
		return err
	}
	_, err := p.tool.deploy(ctx, p, image, patience)
	return err
}

func (t *took) round(ctx context.Context, p *place, n int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := p.Quiet(ctx); err != nil {
		return err
	}
	var until, done time.Duration
	began := time.Now()
	group, watch := errgroup.WithContext(ctx)
	group.Go(func() error {
		err := p.Until(watch, func(pods []corev1.Pod) bool { return stage.Serving(pods, p.Images[n%2]) })
		until = time.Since(began)
		return err
	})
	group.Go(func() error {
		err := p.release(watch, n)
		done = time.Since(began)
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	t.new, t.done = append(t.new, until), append(t.done, done)
	return nil
}

func servingTable(all []*took) string {
	var text strings.Builder
	fmt.Fprintf(&text, "### Until a release serves\n\n%d rounds each, in turn, every round another image and another configuration of a service of %d pods. Each tool goes through a proxy of its own; `deploy-staging` also looks at all that is in its way before it writes, keeps a record and sends a smoke test.\n\n", len(all[0].new), stage.Replicas)
	text.WriteString("| | from the call until all pods are new and ready: median (least to most) | ours ÷ this | until the command returns: median (least to most) | ours ÷ this |\n|---|---:|---:|---:|---:|\n")
	for _, t := range all {
		fmt.Fprintf(&text, "| %s | %s | %.2f | %s | %.2f |\n", t.name, paper.Spread(t.new), paper.Ratio(all[0].new, t.new), paper.Spread(t.done), paper.Ratio(all[0].done, t.done))
	}
	return text.String()
}
