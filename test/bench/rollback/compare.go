package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"

	"github.com/fibership/fibership/test/bench/stage"
	"github.com/fibership/fibership/test/loadgen"
)

// measured is what one tool took, over all rounds.
type measured struct {
	name          string
	old           []time.Duration // from the call until all pods are the old version's
	done          []time.Duration // from the call until the tool says so
	configuration int             // rounds after which the service had the old version's
	sent, failed  int             // requests meanwhile
}

// rate is of the load, in requests a second.
const rate = 50

// compare lets the tools roll back in turn, each time another one first.
func compare(ctx context.Context, ground *stage.Stage) (all []*measured, err error) {
	var places []*place
	defer func() {
		for _, p := range places {
			err = errors.Join(err, p.Remove(ctx))
		}
	}()
	for _, t := range tools {
		p, err := newPlace(ctx, ground, t)
		if err != nil {
			return nil, fmt.Errorf("%s: prepare: %w", t.name, err)
		}
		places = append(places, p)
		all = append(all, &measured{name: t.name})
	}
	for round := range *rounds {
		for i := range places {
			i = (i + round) % len(places)
			if err := all[i].round(ctx, places[i]); err != nil {
				return nil, fmt.Errorf("%s: %w", all[i].name, err)
			}
		}
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, *rounds)
	}
	return all, nil
}

func (m *measured) round(ctx context.Context, p *place) error {
	if err := p.Quiet(ctx); err != nil {
		return err
	}
	to := 1 - p.live
	url, err := p.URL(ctx)
	if err != nil {
		return err
	}
	watch, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	load := loadgen.Start(url, rate, true)
	began := time.Now()
	var old, done time.Duration
	group, watch := errgroup.WithContext(watch)
	group.Go(func() error {
		err := p.Until(watch, func(pods []corev1.Pod) bool { return stage.Serving(pods, p.Images[to]) })
		old = time.Since(began)
		return err
	})
	group.Go(func() error {
		err := p.tool.back(watch, p)
		done = time.Since(began)
		return err
	})
	err = group.Wait()
	counts := load.Stop()
	if err != nil {
		return err
	}
	m.old, m.done = append(m.old, old), append(m.done, done)
	m.sent, m.failed = m.sent+counts.Sent, m.failed+counts.Failed
	p.live, p.revision = to, p.revision+1
	if err := p.Quiet(ctx); err != nil { // pods that end may still answer
		return err
	}
	says, err := ask(ctx, url)
	if err == nil && says.Greet == configuration(to) {
		m.configuration++
	}
	return err
}

// answer is what the service says of itself.
type answer struct{ Version, Greet string }

// ask opens a connection for each question: a kept one goes on to the pod that
// it was opened to.
func ask(ctx context.Context, url string) (a answer, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return a, err
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return a, err
	}
	defer response.Body.Close()
	return a, json.NewDecoder(response.Body).Decode(&a)
}
