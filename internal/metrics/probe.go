package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/progress"
)

const (
	probeRate    = 5.0 // requests a second over all pods of a version
	probeTimeout = 2 * time.Second
	probeBody    = 1 << 20 // bytes read of an answer
	refreshEvery = time.Second
)

// Probe is a Source of its own requests: GET path on port, rate a second
// spread evenly over the pods of the version (5 where rate is 0). It sends on
// schedule however slow the answers are, and counts the latency from the
// scheduled moment; an answer that takes longer than two seconds is an error,
// as is one with a status of 500 or more, or none.
//
// Asked are pods that are ready, or were once: a version whose pods fall ill
// must not look well because nobody asks them any more. Not counted are
// failures that say nothing of the version: of a pod that is terminating or
// gone by the time the failure is looked into (within a second), of the API
// server itself, and of our rights there.
func Probe(to Reacher, port int, path string, rate float64, log progress.Log) Source {
	if rate <= 0 {
		rate = probeRate
	}
	return prober{to, port, path, rate, log}
}

type prober struct {
	to   Reacher
	port int
	path string
	rate float64
	log  progress.Log
}

func (p prober) Start(ctx context.Context, list Lister) Session {
	ctx, cancel := context.WithCancel(ctx)
	s := &probing{prober: p, roster: newRoster(list), stop: cancel, says: once{log: p.log}, ready: map[types.UID]bool{}}
	s.work.Go(func() { s.follow(ctx) })
	s.work.Go(func() { s.send(ctx) })
	return s
}

type probing struct {
	prober
	roster *roster
	stop   context.CancelFunc
	work   sync.WaitGroup
	says   once

	mu      sync.Mutex
	pods    []corev1.Pod // to ask
	ready   map[types.UID]bool
	next    int
	sum     analysis.Measurement
	doubted []doubt
}

// doubt is a failure that may be the end of a pod rather than the version's
// fault.
type doubt struct {
	pod  types.UID
	took time.Duration
}

// follow keeps the list of pods fresh.
func (s *probing) follow(ctx context.Context) {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	for {
		_ = s.refresh(ctx) // Read tells; until the list is back, doubts are dropped
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// refresh lists the pods and settles the doubts that are older than the list.
func (s *probing) refresh(ctx context.Context) error {
	s.mu.Lock()
	doubted := s.doubted
	s.doubted = nil
	s.mu.Unlock()
	pods, err := s.roster.read(ctx)
	if err != nil {
		return err // nobody can tell whose fault the doubted failures were
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pods = s.pods[:0:0]
	lives := map[types.UID]bool{}
	for i := range pods {
		pod := &pods[i]
		if pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodRunning {
			continue
		}
		lives[pod.UID] = true
		if isReady(pod) {
			s.ready[pod.UID] = true
		}
		if s.ready[pod.UID] {
			s.pods = append(s.pods, *pod)
		}
	}
	for _, d := range doubted {
		if lives[d.pod] {
			s.count(d.took, true)
		}
	}
	return nil
}

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// count is called with the lock held.
func (s *probing) count(took time.Duration, failed bool) {
	s.sum.Requests++
	if failed {
		s.sum.Errors++
	}
	s.sum.Latency.Add(took)
}

func (s *probing) send(ctx context.Context) {
	interval := time.Duration(float64(time.Second) / s.rate)
	tick := time.NewTicker(max(interval, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case due := <-tick.C:
			if pod, ok := s.turn(); ok {
				s.work.Go(func() { s.ask(ctx, pod, due) })
			}
		}
	}
}

func (s *probing) turn() (corev1.Pod, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pods) == 0 {
		return corev1.Pod{}, false
	}
	s.next++
	return s.pods[s.next%len(s.pods)], true
}

func (s *probing) ask(ctx context.Context, pod corev1.Pod, due time.Time) {
	answer, why := s.get(ctx, &pod)
	took := time.Since(due)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch answer {
	case served:
		s.count(took, false)
	case failed:
		s.doubted = append(s.doubted, doubt{pod.UID, took})
	case foreign:
		if why != "" {
			s.says.sayf("probe of pod %s not counted: %s", pod.Name, why)
		}
	}
}

// answer is what came of a probe.
type answer int

const (
	foreign answer = iota // no fault of the service
	served
	failed
)

func (s *probing) get(ctx context.Context, pod *corev1.Pod) (answer, string) {
	client, base, err := s.to.PodURL(pod.Namespace, pod.Name, s.port)
	if err != nil {
		return foreign, err.Error()
	}
	to, err := join(base, s.path)
	if err != nil {
		return foreign, err.Error()
	}
	limited, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(limited, http.MethodGet, to.String(), http.NoBody)
	if err != nil {
		return foreign, err.Error()
	}
	resp, err := client.Do(req)
	if err != nil {
		switch {
		case ctx.Err() != nil:
			return foreign, "" // the session ends
		case errors.Is(err, context.DeadlineExceeded):
			return failed, ""
		}
		return foreign, "the API server did not answer: " + err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, probeBody))
	if ctx.Err() != nil {
		return foreign, ""
	}
	if status, ok := fromProxy(resp, body); ok {
		switch {
		case status.Code == http.StatusUnauthorized, status.Code == http.StatusForbidden:
			return foreign, "the right to get pods/proxy is missing: " + status.Message
		case status.Code == http.StatusNotFound && status.Details != nil && status.Details.Kind == "pods":
			return foreign, "" // the pod is gone
		case status.Code == http.StatusTooManyRequests,
			status.Code >= http.StatusInternalServerError && !strings.Contains(status.Message, unreachable):
			return foreign, "the API server: " + status.Message
		}
	}
	if err != nil || resp.StatusCode >= http.StatusInternalServerError {
		return failed, ""
	}
	return served, ""
}

// unreachable is how the API server's proxy says that it has no answer of the
// pod: refused, reset, timed out.
const unreachable = "error trying to reach service"

// fromProxy says whether the answer is the API server's own.
func fromProxy(resp *http.Response, body []byte) (metav1.Status, bool) {
	var status metav1.Status
	if resp.StatusCode < http.StatusBadRequest || json.Unmarshal(body, &status) != nil {
		return status, false
	}
	return status, status.Kind == "Status" && status.APIVersion == "v1" && int(status.Code) == resp.StatusCode
}

func (s *probing) Read(ctx context.Context) (analysis.Measurement, error) {
	err := s.refresh(ctx)
	m := s.roster.measurement()
	s.mu.Lock()
	defer s.mu.Unlock()
	m.Requests, m.Errors = s.sum.Requests, s.sum.Errors
	m.Latency = s.sum.Latency.Merge(analysis.Latencies{}) // a copy
	if err != nil {
		return unlisted(m), err
	}
	return m, nil
}

func (s *probing) Close() {
	s.stop()
	s.work.Wait()
}
