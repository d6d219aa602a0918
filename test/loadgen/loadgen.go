// Package loadgen sends a constant rate of requests, open loop: a slow answer
// does not slow the sender, so that what users would have suffered is counted.
package loadgen

import (
	"fmt"
	"maps"
	"net/http"
	"sort"
	"strings"
	"sync"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// Counts is what was sent and what became of it, since the load began.
type Counts struct {
	Sent   int
	Failed int // no answer, or one of 500 and above
	Kinds  map[string]int
	First  time.Time // when the first that failed was sent; zero: none did
	Last   time.Time // and the last
}

// Sub is what came after earlier.
func (c Counts) Sub(earlier Counts) Counts {
	d := Counts{Sent: c.Sent - earlier.Sent, Failed: c.Failed - earlier.Failed, Kinds: map[string]int{}}
	for kind, n := range c.Kinds {
		if n -= earlier.Kinds[kind]; n > 0 {
			d.Kinds[kind] = n
		}
	}
	return d
}

// String tells what failed, commonest first.
func (c Counts) String() string {
	var kinds []string
	for kind := range c.Kinds {
		kinds = append(kinds, kind)
	}
	sort.Slice(kinds, func(i, j int) bool { return c.Kinds[kinds[i]] > c.Kinds[kinds[j]] })
	for i, kind := range kinds {
		kinds[i] = fmt.Sprintf("%d × %s", c.Kinds[kind], kind)
	}
	return fmt.Sprintf("%d sent, %d failed %s", c.Sent, c.Failed, strings.Join(kinds, ", "))
}

// Load is a load on its way.
type Load struct {
	attacker *vegeta.Attacker
	done     chan struct{}

	mu     sync.Mutex
	counts Counts
}

// timeout is how long an answer may take before it counts as failed.
const timeout = 10 * time.Second

// Start sends rate requests a second to the URL until Stop, for an hour at
// the most. With fresh every request opens a connection of its own, as many
// users do; else connections are kept alive.
func Start(url string, rate int, fresh bool) *Load {
	return start(vegeta.Target{Method: http.MethodGet, URL: url}, rate, vegeta.Timeout(timeout), vegeta.KeepAlive(!fresh), vegeta.Redirects(vegeta.NoFollow))
}

// StartAt is Start for a host that a gateway at the URL serves.
func StartAt(url, host string, rate int, fresh bool) *Load {
	target := vegeta.Target{Method: http.MethodGet, URL: url, Header: http.Header{"Host": {host}}}
	return start(target, rate, vegeta.Timeout(timeout), vegeta.KeepAlive(!fresh), vegeta.Redirects(vegeta.NoFollow))
}

// StartWith is Start by a client that knows the way, such as through an API server.
func StartWith(client *http.Client, url string, rate int) *Load {
	patient := *client
	patient.Timeout = timeout
	return start(vegeta.Target{Method: http.MethodGet, URL: url}, rate, vegeta.Client(&patient))
}

func start(to vegeta.Target, rate int, options ...func(*vegeta.Attacker)) *Load {
	l := &Load{done: make(chan struct{})}
	l.attacker = vegeta.NewAttacker(append(options, vegeta.Workers(8))...)
	results := l.attacker.Attack(vegeta.NewStaticTargeter(to), vegeta.Rate{Freq: rate, Per: time.Second}, time.Hour, "load")
	go func() {
		defer close(l.done)
		for r := range results {
			l.count(r)
		}
	}()
	return l
}

func (l *Load) count(r *vegeta.Result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts.Sent++
	if r.Error == "" && r.Code < 500 {
		return
	}
	l.counts.Failed++
	if l.counts.First.IsZero() || r.Timestamp.Before(l.counts.First) {
		l.counts.First = r.Timestamp
	}
	if r.Timestamp.After(l.counts.Last) {
		l.counts.Last = r.Timestamp
	}
	if l.counts.Kinds == nil {
		l.counts.Kinds = map[string]int{}
	}
	kind := r.Error
	if r.Code != 0 {
		kind = fmt.Sprintf("status %d", r.Code)
	}
	l.counts.Kinds[kind]++
}

// Counts is what has been answered, or given up, by now.
func (l *Load) Counts() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.counts
	c.Kinds = maps.Clone(l.counts.Kinds)
	return c
}

// Stop sends no more and waits for the answers that are still to come.
func (l *Load) Stop() Counts {
	l.attacker.Stop()
	<-l.done
	return l.Counts()
}
