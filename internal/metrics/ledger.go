package metrics

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fibership/fibership/internal/analysis"
)

// ledger adds up what the pods of a session have counted since it began,
// whoever read it from them.
type ledger struct {
	says *once

	mu       sync.Mutex
	listed   bool
	old      map[types.UID]bool // was there at Start: its first counts are not ours
	accounts map[teller]*account
	answered time.Time // when a pod last told of requests; zero: never

	requests, errors float64
	buckets          map[float64]float64 // cumulative, by upper bound
}

// teller is what tells metrics: a pod, or one of several in a pod.
type teller struct {
	pod      types.UID
	instance string
}

// account is what a teller told last.
type account struct {
	restarts int
	last     counts
}

func newLedger(says *once) *ledger {
	return &ledger{says: says, old: map[types.UID]bool{}, accounts: map[teller]*account{}, buckets: map[float64]float64{}}
}

// known takes the pods that were there at Start.
func (l *ledger) known(pods []corev1.Pod) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range pods {
		l.old[pods[i].UID] = true
	}
}

// enlist takes the pods as they are now. If the list failed at Start, the
// first that succeeds says who was there before.
func (l *ledger) enlist(pods []corev1.Pod) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := !l.listed && len(l.old) == 0
	l.listed = true
	for i := range pods {
		if _, ok := l.old[pods[i].UID]; !ok {
			l.old[pods[i].UID] = first && time.Since(pods[i].CreationTimestamp.Time) > patience
		}
	}
}

// book adds what was counted since it was last told: all of it for a pod that
// came later, and for a process that began anew, which more restarts, another
// time of its start or counters that fell show.
func (l *ledger) book(from teller, restarts int, told counts) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if told.hasRequests || told.hasBuckets { // others never told what they could fall silent of
		l.answered = time.Now()
	}
	old, ours := l.old[from.pod]
	if !ours {
		return
	}
	a := l.accounts[from]
	var before counts
	switch {
	case a == nil && old:
		before = told
	case a != nil && restarts <= a.restarts && !told.startedAfter(a.last) && !told.fellBelow(a.last):
		before = a.last
	}
	l.accounts[from] = &account{restarts, told}
	l.requests += told.requests - before.requests
	l.errors += told.errors - before.errors
	for upper, count := range told.buckets {
		l.buckets[upper] += count - before.buckets[upper]
	}
}

// silent says that pods told of requests once, but not for so long.
func (l *ledger) silent(long time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.answered.IsZero() && time.Since(l.answered) > long
}

// covered is the time that what was told covers.
func (l *ledger) covered(since time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.answered.IsZero() {
		return 0
	}
	return max(0, l.answered.Sub(since))
}

// fill puts what was counted into m.
func (l *ledger) fill(m analysis.Measurement) analysis.Measurement {
	l.mu.Lock()
	defer l.mu.Unlock()
	m.Requests, m.Errors = int64(l.requests), int64(min(l.errors, l.requests))
	buckets := make([]analysis.Bucket, 0, len(l.buckets))
	for upper, count := range l.buckets {
		buckets = append(buckets, analysis.Bucket{Upper: upper, Count: count})
	}
	latency, err := analysis.FromBuckets(buckets)
	if err != nil {
		l.says.sayf("the pods' latency histograms do not fit together: %v", err)
		return m
	}
	m.Latency = latency
	return m
}
