package metrics

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"

	"github.com/fibership/fibership/internal/analysis"
)

// Source is the Source that reads what the server scraped from the pods: the
// same metrics as [Pods], with the same rules for counters.
//
// What is counted lags behind by one scrape. After [Stepper.Step] nothing is
// told of requests until two scrapes have shown the step, so a step with
// fewer ends without data. When the samples of pods that told of requests stop,
// for two and a half intervals and ten seconds at least, Read is an error.
func (s *Server) Source(names Names) Source { return scrapedSource{s, names} }

type scrapedSource struct {
	server *Server
	names  Names
}

// How far back is looked: for what was there before the session, and beyond
// what was read last.
const (
	lookback = 5 * time.Minute
	overlap  = 30 * time.Second
	furthest = time.Hour
)

func (s scrapedSource) Start(ctx context.Context, list Lister) Session {
	session := &scraped{
		scrapedSource: s, roster: newRoster(list), says: s.server.says,
		labels: podLabels[0], newest: map[teller]model.Time{}, seen: map[teller]int{},
	}
	session.ledger = newLedger(session.says)
	pods := session.roster.begin(ctx)
	session.ledger.known(pods)
	before, err := session.ask(ctx, pods, lookback)
	if err != nil {
		session.says.sayf("%v", err)
		return session
	}
	for from, told := range before { // what the pods had counted before
		session.book(from, told[len(told)-1:])
		session.pace(told)
	}
	return session
}

type scraped struct {
	scrapedSource
	roster *roster
	says   *once
	ledger *ledger

	mu     sync.Mutex
	labels [2]string
	found  bool      // under these labels
	asked  time.Time // last answered; zero: never
	newest map[teller]model.Time

	began time.Time            // of the step
	seen  map[teller]int       // scrapes in the step
	held  analysis.Measurement // the last before the step, until it was seen enough
}

// Step begins a step.
func (s *scraped) Step() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.began = time.Now()
	clear(s.seen)
}

func (s *scraped) Close() {}

func (s *scraped) Read(ctx context.Context) (analysis.Measurement, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	pods, err := s.roster.read(ctx)
	if err != nil {
		return unlisted(s.measurement()), err
	}
	s.ledger.enlist(pods)
	back := overlap + 2*s.server.pace.interval()
	if !s.asked.IsZero() {
		back += time.Since(s.asked)
	}
	told, err := s.ask(ctx, pods, min(back, furthest))
	if err != nil {
		return s.measurement(), err
	}
	for from, snapshots := range told {
		last, known := s.newest[from]
		fresh := slices.DeleteFunc(slices.Clone(snapshots), func(one snapshot) bool {
			return known && (!one.at.After(last) || !one.told.hasRequests && !one.told.hasBuckets)
		})
		if known {
			s.pace(slices.Concat([]snapshot{{at: last}}, fresh))
		} else {
			s.pace(fresh)
		}
		s.book(from, fresh)
		s.seen[from] += len(fresh)
	}
	long := max(stale, s.server.pace.interval()*5/2)
	if s.ledger.silent(long) {
		return s.measurement(), fmt.Errorf("no new samples of the pods' metrics have come from Prometheus for %v", long)
	}
	return s.measurement(), nil
}

func (s *scraped) book(from teller, fresh []snapshot) {
	for _, one := range fresh {
		s.ledger.book(from, 0, one.told)
		s.newest[from] = one.at
	}
}

// pace learns how often the server scrapes.
func (s *scraped) pace(told []snapshot) {
	at := make([]model.Time, 0, len(told))
	for _, one := range told {
		at = append(at, one.at)
	}
	s.server.notePace(at)
}

// ask reads the samples of all pods that run, under the labels that they are
// found by.
func (s *scraped) ask(ctx context.Context, pods []corev1.Pod, back time.Duration) (map[teller][]snapshot, error) {
	running := slices.DeleteFunc(slices.Clone(pods), func(pod corev1.Pod) bool { return pod.Status.Phase != corev1.PodRunning })
	if len(running) == 0 {
		s.asked = time.Now()
		return nil, nil
	}
	for _, labels := range podLabels {
		if s.found && labels != s.labels {
			continue
		}
		told, err := s.server.samples(ctx, running, labels, s.names, back, s.says)
		if err != nil {
			return nil, err
		}
		if len(told) > 0 {
			s.labels, s.found = labels, true
			s.asked = time.Now()
			return told, nil
		}
	}
	s.asked = time.Now()
	if !s.began.IsZero() && !s.found {
		s.says.sayf("Prometheus has none of the metrics that are looked for (%s) with the labels namespace and pod of these pods", s.names)
	}
	return nil, nil
}

// measurement keeps back what a step has not shown enough of. Restarts are
// told at once: the kubelet counts them.
func (s *scraped) measurement() analysis.Measurement {
	m := s.roster.measurement()
	enough := s.began.IsZero()
	for _, n := range s.seen {
		enough = enough || n >= leastScrapes
	}
	if enough {
		s.held = s.ledger.fill(m)
		s.held.Window = s.ledger.covered(s.roster.began)
	}
	m.Requests, m.Errors, m.Latency, m.Window = s.held.Requests, s.held.Errors, s.held.Latency, s.held.Window
	return m
}
