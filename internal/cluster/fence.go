package cluster

import (
	"context"
	"io"
	"net/http"
	"time"
)

// fence asks before each write whether it may still be made, and until when it
// must have ended. The API server knows nothing of our lock: a write that it
// holds up for longer than the lock is good could come to pass under another
// one's. So it is given up before, which ends it at the server as well.
type fence struct {
	next http.RoundTripper
	held func(context.Context) (until time.Time, err error)
}

func (f fence) RoundTrip(req *http.Request) (*http.Response, error) {
	if !writes(req) {
		return f.next.RoundTrip(req)
	}
	until, err := f.held(req.Context())
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	// What goes on to a service or pod changes nothing of the cluster's, and
	// takes as long as that needs.
	if until.IsZero() || proxied(req) {
		return f.next.RoundTrip(req)
	}
	ctx, cancel := context.WithDeadline(req.Context(), until)
	resp, err := f.next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		cancel()
		return nil, err
	}
	resp.Body = bounded{resp.Body, cancel}
	return resp, nil
}

func writes(req *http.Request) bool {
	switch req.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete:
		return !dryRun(req) && !question(req)
	}
	return false
}

// bounded is an answer's body that ends with its request's bound.
type bounded struct {
	io.ReadCloser
	done context.CancelFunc
}

func (b bounded) Close() error {
	defer b.done()
	return b.ReadCloser.Close()
}
