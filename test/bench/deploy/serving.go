package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/fibership/fibership/test/bench/paper"
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
			err = errors.Join(err, p.remove(ctx))
		}
	}()
	var all []*took
	for _, t := range tools {
		p, err := b.newPlace(ctx, t)
		places = append(places, p)
		if err == nil {
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
	if err := p.write(manifests(image, fmt.Sprintf("configuration %d", n), ready)); err != nil {
		return err
	}
	return p.tool.deploy(ctx, p, image, patience, io.Discard)
}

func (t *took) round(ctx context.Context, p *place, n int) error {
	quiet, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := p.pods(quiet, func(pods []corev1.Pod) bool { return len(pods) == replicas && serve(pods, p.Images[(n+1)%2]) }); err != nil {
		return fmt.Errorf("wait for the end of the round before: %w", err)
	}
	var until, done time.Duration
	began := time.Now()
	group, watch := errgroup.WithContext(quiet)
	group.Go(func() error {
		err := p.pods(watch, func(pods []corev1.Pod) bool { return serve(pods, p.Images[n%2]) })
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

// serve says whether all pods that are not ending are of the image and ready.
func serve(pods []corev1.Pod, image string) bool {
	n := 0
	for _, pod := range pods {
		if pod.DeletionTimestamp != nil {
			continue
		}
		isReady := slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		})
		if pod.Spec.Containers[0].Image != image || !isReady {
			return false
		}
		n++
	}
	return n == replicas
}

func servingTable(all []*took) string {
	var text strings.Builder
	fmt.Fprintf(&text, "### Until a release serves\n\n%d rounds each, in turn, every round another image and another configuration of a service of %d pods. Each tool goes through a proxy of its own; `deploy-staging` also looks at all that is in its way before it writes, keeps a record and sends a smoke test.\n\n", len(all[0].new), replicas)
	text.WriteString("| | from the call until all pods are new and ready: median (least to most) | ours ÷ this | until the command returns: median (least to most) | ours ÷ this |\n|---|---:|---:|---:|---:|\n")
	for _, t := range all {
		fmt.Fprintf(&text, "| %s | %s | %.2f | %s | %.2f |\n", t.name, paper.Spread(t.new), paper.Ratio(all[0].new, t.new), paper.Spread(t.done), paper.Ratio(all[0].done, t.done))
	}
	return text.String()
}
