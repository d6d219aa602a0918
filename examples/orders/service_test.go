package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fibership/orders/internal/orders"
)

// testConfig is what an environment gives; unless it says otherwise, nothing is drained.
func testConfig(t *testing.T, environ map[string]string) config {
	t.Helper()
	all := map[string]string{"DRAIN_DELAY": "0s"}
	maps.Copy(all, environ)
	cfg, err := loadConfig(all)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func testService(t *testing.T, environ map[string]string) *service {
	t.Helper()
	s, err := newService(testConfig(t, environ), slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// live is a service that runs on a real listener.
type live struct {
	*service
	base  string
	end   context.CancelFunc // what SIGTERM does
	ended chan error         // what run returned
}

func runService(t *testing.T, s *service) *live {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.WithoutCancel(t.Context()))
	l := &live{service: s, base: "http://" + listener.Addr().String(), end: end, ended: make(chan error, 1)}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		l.ended <- s.run(ctx, listener)
	}()
	t.Cleanup(func() {
		end()
		<-finished
	})
	until(t, "the service is ready", func() bool { return s.lifecycle.phase() != starting })
	return l
}

// result waits for the service's end.
func (l *live) result(t *testing.T) error {
	t.Helper()
	select {
	case err := <-l.ended:
		return err
	case <-time.After(10 * time.Second):
		t.Fatal("the service did not end")
		return nil
	}
}

// until polls, so that no test waits longer than it has to.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("gave up waiting until %s", what)
		}
	}
}

// answer is a response, read whole.
type answer struct {
	*http.Response
	body string
}

func do(ctx context.Context, client *http.Client, method, url, body string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	text, err := io.ReadAll(resp.Body)
	return answer{resp, string(text)}, errors.Join(err, resp.Body.Close())
}

// call sends one request over its own connection.
func (l *live) call(t *testing.T, method, path, body string) answer {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	got, err := do(t.Context(), client, method, l.base+path, body)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (a answer) decode(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), into); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
}

const twoTeas = `{"customer":"ada","items":[{"sku":"tea","quantity":2}]}`

// brokenStore fails as a database does that is away.
type brokenStore struct{ orders.Store }

func (brokenStore) Latest(context.Context, int) ([]orders.Order, error) {
	return nil, errors.New("dial tcp 10.0.0.7:5432: password secret refused")
}

func (brokenStore) Get(context.Context, string) (orders.Order, error) { panic("lost pointer") }
