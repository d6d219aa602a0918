package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fibership/orders/internal/orders"
)

// balancer does what a Service does: it sends requests over kept connections, asks /readyz,
// and stops sending some time after the answer was no.
type balancer struct {
	sent, lost atomic.Int64
	firstLoss  atomic.Value
}

const (
	probePeriod = 20 * time.Millisecond
	propagation = 150 * time.Millisecond // from a failed probe to the last node's rules
)

func (b *balancer) send(ctx context.Context, l *live, clients int) (wait func()) {
	open, shut := context.WithCancel(ctx)
	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			client := &http.Client{Transport: &http.Transport{}, Timeout: 5 * time.Second}
			defer client.CloseIdleConnections()
			for open.Err() == nil {
				got, err := do(ctx, client, http.MethodPost, l.base+"/orders", twoTeas)
				b.sent.Add(1)
				if err == nil && got.StatusCode != http.StatusCreated {
					err = errors.New(got.Status)
				}
				if err != nil {
					b.lost.Add(1)
					b.firstLoss.CompareAndSwap(nil, err.Error())
				}
			}
		})
	}
	group.Go(func() {
		probes := time.NewTicker(probePeriod)
		defer probes.Stop()
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second}
		for range probes.C {
			got, err := do(ctx, client, http.MethodGet, l.base+"/readyz", "")
			if err != nil || got.StatusCode != http.StatusOK {
				break
			}
		}
		time.AfterFunc(propagation, shut)
	})
	return group.Wait
}

func TestRun_losesNoRequestWhileItDrains(t *testing.T) {
	for name, tc := range map[string]struct {
		delay string
		loses bool
	}{
		"drained":     {"500ms", false},
		"not drained": {"0s", true}, // shows that this test sees a loss
	} {
		t.Run(name, func(t *testing.T) {
			l := runService(t, testService(t, map[string]string{"DRAIN_DELAY": tc.delay}))
			var b balancer
			wait := b.send(t.Context(), l, 8)
			until(t, "traffic flows", func() bool { return b.sent.Load() > 200 })
			l.end()
			wait()
			if err := l.result(t); err != nil {
				t.Errorf("run ended with %v", err)
			}
			t.Logf("%d requests sent, %d lost", b.sent.Load(), b.lost.Load())
			if loses := b.lost.Load() > 0; loses != tc.loses {
				t.Errorf("%d of %d requests lost, the first: %v", b.lost.Load(), b.sent.Load(), b.firstLoss.Load())
			}
		})
	}
}

// slowStore holds back Get until it is released.
type slowStore struct {
	orders.Store
	entered, release chan struct{}
}

func (s slowStore) Get(context.Context, string) (orders.Order, error) {
	close(s.entered)
	<-s.release
	return orders.Order{ID: "slow"}, nil
}

func TestRun_finishesTheRequestInFlight(t *testing.T) {
	s := testService(t, nil)
	slow := slowStore{s.store, make(chan struct{}), make(chan struct{})}
	s.store = slow
	l := runService(t, s)

	var got answer
	var client sync.WaitGroup
	client.Go(func() { got = l.call(t, "GET", "/orders/slow", "") })
	<-slow.entered
	l.end()
	address := strings.TrimPrefix(l.base, "http://")
	until(t, "the listener is closed", func() bool {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	close(slow.release)
	client.Wait()
	if got.Response == nil || got.StatusCode != http.StatusOK || !strings.Contains(got.body, `"slow"`) {
		t.Errorf("the request in flight got %+v", got)
	}
	if err := l.result(t); err != nil {
		t.Errorf("run ended with %v", err)
	}
}

func TestRun_saysWhenARequestOutlivesTheTimeout(t *testing.T) {
	s := testService(t, map[string]string{"SHUTDOWN_TIMEOUT": "50ms"})
	slow := slowStore{s.store, make(chan struct{}), make(chan struct{})}
	s.store = slow
	l := runService(t, s)
	var client sync.WaitGroup
	client.Go(func() { l.call(t, "GET", "/orders/slow", "") })
	defer client.Wait()
	defer close(slow.release)
	<-slow.entered
	l.end()
	if err := l.result(t); err == nil || !strings.Contains(err.Error(), "in flight after 50ms") {
		t.Errorf("run ended with %v", err)
	}
}

func TestDraining_tellsProbesAndConnections(t *testing.T) {
	l := runService(t, testService(t, map[string]string{"DRAIN_DELAY": "1s"}))
	if got := l.call(t, "GET", "/readyz", ""); got.StatusCode != http.StatusOK {
		t.Errorf("ready: /readyz says %s", got.Status)
	}
	kept := &http.Client{Transport: &http.Transport{}}
	before, err := do(t.Context(), kept, "GET", l.base+"/version", "")
	if err != nil || before.Close {
		t.Fatalf("ready: the connection is not kept (%v)", err)
	}
	l.end()
	until(t, "the service drains", func() bool { return l.lifecycle.phase() == draining })
	for path, want := range map[string]int{"/readyz": 503, "/livez": 200, "/version": 200, "/nowhere": 404, "/metrics": 200} {
		got, err := do(t.Context(), kept, "GET", l.base+path, "")
		if err != nil {
			t.Fatal(err)
		}
		if got.StatusCode != want || !got.Close {
			t.Errorf("draining: %s says %s, connection closed %t; want %d and closed", path, got.Status, got.Close, want)
		}
	}
}

func TestStarting_isLiveButNotReady(t *testing.T) {
	opening, goOn := make(chan struct{}), make(chan struct{})
	withPart(t, part{"slow", func(context.Context, config) (func(context.Context) error, error) {
		close(opening)
		<-goOn
		return wait, nil
	}})
	s := testService(t, nil)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	l := &live{service: s, base: "http://" + listener.Addr().String(), end: end, ended: make(chan error, 1)}
	go func() { l.ended <- s.run(ctx, listener) }()

	<-opening
	if live, ready := l.call(t, "GET", "/livez", ""), l.call(t, "GET", "/readyz", ""); live.StatusCode != 200 || ready.StatusCode != 503 {
		t.Errorf("starting: /livez %s, /readyz %s", live.Status, ready.Status)
	}
	close(goOn)
	until(t, "it is ready", func() bool { return l.call(t, "GET", "/readyz", "").StatusCode == 200 })
	end()
	if err := l.result(t); err != nil {
		t.Error(err)
	}
}

func TestRun_drainsWhenAPartFails(t *testing.T) {
	broken := make(chan struct{})
	withPart(t, part{"payment", func(context.Context, config) (func(context.Context) error, error) {
		return func(context.Context) error {
			<-broken
			return errors.New("wrong account")
		}, nil
	}})
	l := runService(t, testService(t, map[string]string{"DRAIN_DELAY": "500ms"}))
	var b balancer
	wait := b.send(t.Context(), l, 4)
	until(t, "traffic flows", func() bool { return b.sent.Load() > 100 })
	close(broken)
	wait()
	if err := l.result(t); err == nil || err.Error() != "payment: wrong account" {
		t.Errorf("run ended with %v", err)
	}
	if b.lost.Load() > 0 {
		t.Errorf("%d of %d requests lost, the first: %v", b.lost.Load(), b.sent.Load(), b.firstLoss.Load())
	}
}

func TestRun_endsAtOnceWhenAPartCannotOpen(t *testing.T) {
	withPart(t, part{"payment", func(context.Context, config) (func(context.Context) error, error) {
		return nil, errors.New("no such account")
	}})
	s := testService(t, map[string]string{"DRAIN_DELAY": "1h"}) // it was never ready: nothing to drain
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &live{ended: make(chan error, 1)}
	go func() { l.ended <- s.run(t.Context(), listener) }()
	if err := l.result(t); err == nil || err.Error() != "open payment: no such account" {
		t.Errorf("run ended with %v", err)
	}
}

// withPart adds a part for one test.
func withPart(t *testing.T, p part) {
	t.Helper()
	before := parts
	parts = append(parts[:len(parts):len(parts)], p)
	t.Cleanup(func() { parts = before })
}
