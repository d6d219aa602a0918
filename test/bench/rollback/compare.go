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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fibership/fibership/internal/cluster"
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
func compare(ctx context.Context, client *cluster.Client, bin string, images [2]string) (all []*measured, err error) {
	var places []*place
	defer func() {
		for _, p := range places {
			err = errors.Join(err, p.remove(ctx))
		}
	}()
	for _, t := range tools {
		p, err := newPlace(ctx, t, client, bin, images)
		places = append(places, p)
		if err != nil {
			return nil, fmt.Errorf("%s: prepare: %w", t.name, err)
		}
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
	if err := p.quiet(ctx); err != nil {
		return err
	}
	to := 1 - p.live
	url, err := p.url(ctx)
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
		err := p.until(watch, func(pods []corev1.Pod) bool { return serving(pods, p.images[to]) })
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
	if err := p.quiet(ctx); err != nil { // pods that end may still answer
		return err
	}
	greet, err := greeting(ctx, url)
	if err == nil && greet == fmt.Sprintf("configuration %d", to) {
		m.configuration++
	}
	return err
}

// until looks at the pods again and again.
func (p *place) until(ctx context.Context, ok func([]corev1.Pod) bool) error {
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		pods, err := p.client.Kube.CoreV1().Pods(p.namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		if ok(pods.Items) {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// serving says whether all pods that are not ending are of the image and ready.
func serving(pods []corev1.Pod, image string) bool {
	n := 0
	for _, pod := range pods {
		if pod.DeletionTimestamp != nil {
			continue
		}
		if pod.Spec.Containers[0].Image != image || !ready(pod) {
			return false
		}
		n++
	}
	return n == replicas
}

func ready(pod corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// quiet waits until nothing of an earlier round is left.
func (p *place) quiet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return p.until(ctx, func(pods []corev1.Pod) bool { return len(pods) == replicas && serving(pods, p.images[p.live]) })
}

func (p *place) url(ctx context.Context) (string, error) {
	s, err := p.client.Kube.CoreV1().Services(p.namespace).Get(ctx, "web", metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("http://%s:%d/", s.Spec.ClusterIP, s.Spec.Ports[0].Port), nil
}

// greeting is the configuration that the service says it has.
func greeting(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	request.Close = true // the next round's answer must not come from this round's pod
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var answer struct{ Greet string }
	err = json.NewDecoder(response.Body).Decode(&answer)
	return answer.Greet, err
}
