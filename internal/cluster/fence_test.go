package cluster

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// holding is a server that holds each write for as long as it is asked, but for
// the last; held is for how long it had those that were given up.
type holding struct {
	hold int // so many
	part bool

	mu    sync.Mutex
	asked int
	gone  chan time.Time // when a write that is held was given up
}

func (h *holding) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	_, _ = io.Copy(io.Discard, req.Body) // only then does net/http see the client go
	h.mu.Lock()
	h.asked++
	last := h.asked > h.hold
	h.mu.Unlock()
	if last {
		return
	}
	if h.part { // an answer begun, and never ended
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
	}
	<-req.Context().Done()
	h.gone <- time.Now()
}

// A write that the API server holds up must not come to pass once the lock may
// be another one's.
func TestFence_givesUpAWriteBeforeTheLockCanExpire(t *testing.T) {
	const good = 300 * time.Millisecond
	for name, part := range map[string]bool{"without an answer": false, "with half an answer": true} {
		t.Run(name, func(t *testing.T) {
			h := &holding{hold: 2, part: part, gone: make(chan time.Time, 2)}
			server := httptest.NewServer(h)
			defer server.Close()
			var until []time.Time
			p := &patient{gate: newGate(1), away: rideOut, next: fence{next: http.DefaultTransport, held: func(context.Context) (time.Time, error) {
				end := time.Now().Add(good)
				if len(until) > 1 { // what is answered may take its time
					end = time.Now().Add(time.Minute)
				}
				until = append(until, end)
				return end, nil
			}}}
			resp, err := p.RoundTrip(request(t, http.MethodPatch, server.URL, apply))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if len(until) != 3 {
				t.Fatalf("the lock was asked %d times, want before each of 3 attempts", len(until))
			}
			for _, end := range until[:2] {
				if late := (<-h.gone).Sub(end); late > good || late < -good/10 {
					t.Errorf("an attempt ended %v after its bound", late)
				}
			}
		})
	}
}

func TestFence_sendsNothingOnceTheLockIsLost(t *testing.T) {
	h := &holding{hold: 1, gone: make(chan time.Time, 1)}
	server := httptest.NewServer(h)
	defer server.Close()
	lost := errors.New("the lock is lost")
	asked := 0
	p := &patient{gate: newGate(1), away: rideOut, next: fence{next: http.DefaultTransport, held: func(context.Context) (time.Time, error) {
		if asked++; asked > 1 {
			return time.Time{}, lost
		}
		return time.Now().Add(time.Second), nil
	}}}
	resp, err := p.RoundTrip(request(t, http.MethodDelete, server.URL, ""))
	if err == nil {
		resp.Body.Close()
	}
	if !errors.Is(err, lost) || h.asked != 1 {
		t.Errorf("%d requests were sent, error %v", h.asked, err)
	}
}

// What goes to a service behind the API server takes as long as that needs.
func TestFence_boundsNoRequestOfOthers(t *testing.T) {
	bounds := 0
	next := roundTrip(func(req *http.Request) (*http.Response, error) {
		if _, bound := req.Context().Deadline(); bound {
			bounds++
		}
		return status(200, "")()
	})
	f := fence{next: next, held: func(context.Context) (time.Time, error) { return time.Now().Add(time.Minute), nil }}
	for url, want := range map[string]int{
		"https://api/api/v1/namespaces/n/services/web:80/proxy/a": 0,
		objects + "?dryRun=All":                                   0,
		objects:                                                   1,
	} {
		bounds = 0
		resp, err := f.RoundTrip(request(t, http.MethodPost, url, ""))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if bounds != want {
			t.Errorf("POST %s: %d bounds, want %d", url, bounds, want)
		}
	}
}
