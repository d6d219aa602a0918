package metrics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/progress"
)

const (
	mostBytes = 8 << 20 // of one pod's metrics
	atOnce    = 4       // pods read at a time
	stale     = 10 * time.Second
)

// Pods is a Source that reads what each pod tells at path on port, in
// Prometheus' text format: requests and errors from a counter or a histogram
// that has the status as a label, latency from a histogram in seconds.
// Empty names are recognised: OpenTelemetry's
// http_server_request_duration_seconds for both, else http_requests_total
// with http_request_duration_seconds. Requests for the pod's own metrics and
// health, told apart by a route or path label, are left out.
//
// Counters count from Start, pod by pod: a pod that comes later counts from
// zero, one that restarts (its counters fell, its process is a new one) goes
// on from what it had, and one that goes keeps it. What a pod counted between
// the last reading and its end is lost. Without a status label nobody knows
// the errors, so there are no requests then. When no pod has told anything
// for ten seconds that did before, Read is an error.
func Pods(to Reacher, port int, path string, names Names, log progress.Log) Source {
	return scraper{to, port, path, names, log}
}

type scraper struct {
	to    Reacher
	port  int
	path  string
	names Names
	log   progress.Log
}

func (s scraper) Start(ctx context.Context, list Lister) Session {
	session := &scraping{scraper: s, roster: newRoster(list), says: &once{log: s.log}}
	session.ledger = newLedger(session.says)
	session.ledger.known(session.roster.begin(ctx))
	_, _ = session.Read(ctx) // what the pods have counted before
	return session
}

type scraping struct {
	scraper
	roster *roster
	says   *once
	ledger *ledger
}

func (s *scraping) Close() {}

func (s *scraping) Read(ctx context.Context) (analysis.Measurement, error) {
	pods, err := s.roster.read(ctx)
	if err != nil {
		return unlisted(s.measurement()), err
	}
	s.ledger.enlist(pods)
	problems := s.scrape(ctx, pods)
	if s.ledger.silent(stale) {
		return s.measurement(), fmt.Errorf("no pod has told its metrics for %v: %w", stale, errors.Join(problems...))
	}
	return s.measurement(), nil
}

func (s *scraping) measurement() analysis.Measurement { return s.ledger.fill(s.roster.measurement()) }

// scrape reads all pods that run, a few at a time.
func (s *scraping) scrape(ctx context.Context, pods []corev1.Pod) []error {
	var (
		work     sync.WaitGroup
		mu       sync.Mutex
		problems []error
		slots    = make(chan struct{}, atOnce)
	)
	for i := range pods {
		pod := &pods[i]
		if pod.Status.Phase != corev1.PodRunning {
			continue
		}
		slots <- struct{}{}
		work.Go(func() {
			defer func() { <-slots }()
			told, err := s.fetch(ctx, pod)
			if err != nil {
				err = fmt.Errorf("metrics of pod %s: %w", pod.Name, err)
				if pod.DeletionTimestamp == nil && ctx.Err() == nil {
					s.says.sayf("%v", err)
				}
				mu.Lock()
				problems = append(problems, err)
				mu.Unlock()
				return
			}
			s.ledger.book(teller{pod: pod.UID}, restarts(pod), told)
		})
	}
	work.Wait()
	return problems
}

func (s *scraping) fetch(ctx context.Context, pod *corev1.Pod) (counts, error) {
	client, base, err := s.to.PodURL(pod.Namespace, pod.Name, s.port)
	if err != nil {
		return counts{}, err
	}
	to, err := join(base, s.path)
	if err != nil {
		return counts{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, to.String(), http.NoBody)
	if err != nil {
		return counts{}, err
	}
	req.Header.Set("Accept", "text/plain;version=0.0.4")
	resp, err := client.Do(req)
	if err != nil {
		return counts{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, probeBody))
		if status, ok := fromProxy(resp, text); ok {
			return counts{}, fmt.Errorf("GET %s on port %d: %d: %s", s.path, s.port, resp.StatusCode, status.Message)
		}
		return counts{}, fmt.Errorf("GET %s on port %d: status %d", s.path, s.port, resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostBytes+1))
	if err != nil {
		return counts{}, fmt.Errorf("read: %w", err)
	}
	if len(body) > mostBytes {
		return counts{}, fmt.Errorf("more than %d MiB of metrics", mostBytes>>20)
	}
	told, err := read(bytes.NewReader(body), s.names, s.path)
	if err == nil && !told.hasRequests && !told.hasBuckets {
		err = fmt.Errorf("%s has %w (%s)", s.path, errNone, s.names)
	}
	if err == nil && told.unknownStatus {
		s.says.sayf("the metrics of pod %s count requests without a status label (%s): errors are not known, so no requests are counted", pod.Name, statusLabels)
	}
	return told, err
}

// errNone: many libraries tell a metric only once it has counted something.
var errNone = errors.New("none of the metrics that are looked for")
