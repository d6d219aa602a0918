package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	atOnce  = 16               // short requests under way at once
	rideOut = 30 * time.Second // how long an API server that is away is waited for
	perTry  = 30 * time.Second // for one attempt of a short request
	longest = 10 * time.Second // of the pauses that a server may ask for

	maxAnswer = 256 << 20 // bytes
)

// UnreachableError says that the API server did not answer though it was
// asked again and again. It does not unwrap: client-go would begin anew.
type UnreachableError struct {
	Host  string
	After time.Duration
	Cause error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("the API server %s did not answer for %s: %s", e.Host, e.After.Round(time.Second), plainCause(e.Cause))
}

// Next is what a person can do about it.
func (e *UnreachableError) Next() string {
	return "check that the API server runs and can be reached from this runner, then run this again"
}

// patient bounds the requests under way, gives each attempt a time limit, and
// repeats what may be repeated while the API server is away. Streams (watches,
// logs) and requests to services behind the API server pass as they are.
type patient struct {
	next http.RoundTripper
	gate *gate
	away time.Duration
}

func (p *patient) RoundTrip(req *http.Request) (*http.Response, error) {
	if proxied(req) {
		return p.next.RoundTrip(req)
	}
	begun := time.Now()
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		resp, err := p.attempt(req)
		again, wait := worthAnother(req, resp, err)
		if !again || (req.Body != nil && req.GetBody == nil) {
			return resp, err
		}
		wait = max(wait, pause)
		if waited := time.Since(begun); waited+wait > p.away {
			if err != nil {
				return nil, &UnreachableError{Host: req.URL.Host, After: waited, Cause: err}
			}
			resp.Header.Del("Retry-After") // or client-go would begin anew
			return resp, nil
		}
		if resp != nil {
			_ = resp.Body.Close()
		}
		select {
		case <-req.Context().Done():
			return nil, req.Context().Err()
		case <-time.After(wait):
		}
		if req, err = rewind(req); err != nil {
			return nil, err
		}
	}
}

// attempt sends req once. What is no stream is read whole here, so that an
// answer that breaks off counts as a failed attempt.
func (p *patient) attempt(req *http.Request) (*http.Response, error) {
	if streams(req) {
		return p.next.RoundTrip(req)
	}
	if err := p.gate.enter(req.Context()); err != nil {
		return nil, err
	}
	defer p.gate.leave()
	ctx, cancel := context.WithTimeout(req.Context(), perTry)
	defer cancel()
	resp, err := p.next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("an answer of more than %d MiB", maxAnswer>>20)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

func rewind(req *http.Request) (*http.Request, error) {
	next := req.Clone(req.Context())
	if req.GetBody == nil {
		return next, nil
	}
	var err error
	next.Body, err = req.GetBody()
	return next, err
}

// worthAnother says whether the same request may be sent again, and how long
// the server asks to wait. What surely was not executed (nobody listens, too
// many requests) may always be; what may have been, only where a second time
// changes nothing.
func worthAnother(req *http.Request, resp *http.Response, err error) (bool, time.Duration) {
	if req.Context().Err() != nil {
		return false, 0
	}
	if err != nil {
		return neverSent(err) || (repeatable(req) && broken(err)), 0
	}
	wait := retryAfter(resp)
	switch resp.StatusCode {
	case http.StatusTooManyRequests:
		return true, wait
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return repeatable(req) && !expectedOutage(resp), wait
	case http.StatusInternalServerError:
		return repeatable(req) && etcdTrouble(resp), wait
	}
	return false, 0
}

// repeatable: server-side apply says what shall be, so twice is once.
func repeatable(req *http.Request) bool {
	switch req.Method {
	case http.MethodGet, http.MethodHead, http.MethodDelete:
		return true
	case http.MethodPatch:
		return strings.HasPrefix(req.Header.Get("Content-Type"), "application/apply-patch")
	}
	return dryRun(req) || question(req)
}

func neverSent(err error) bool {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return true
	}
	var dial *net.OpError
	if !errors.As(err, &dial) || dial.Op != "dial" {
		return false
	}
	var name *net.DNSError
	return !errors.As(err, &name) || !name.IsNotFound // a mistyped host does not come back
}

func broken(err error) bool {
	var timeout net.Error
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed),
		errors.Is(err, context.DeadlineExceeded): // of the attempt: the request's own was looked at before
		return true
	case errors.As(err, &timeout) && timeout.Timeout():
		return true
	}
	// net/http and its HTTP/2 give these no type.
	words := err.Error()
	for _, known := range []string{"GOAWAY", "http2: client connection lost", "connection broken", "stream error", "server closed idle connection", "client connection force closed"} {
		if strings.Contains(words, known) {
			return true
		}
	}
	return false
}

// Transient says whether a request that failed so may fare better in a moment:
// the API server, or the way to it, was in trouble. It may have been executed
// all the same; whoever sends it again looks first. An UnreachableError is none:
// that was waited for.
func Transient(err error) bool {
	switch statusOf(err).Code {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	case 0:
		return neverSent(err) || broken(err)
	}
	return false
}

// etcdTrouble: the API server hands on what its storage says when it changes
// its leader or is slow.
func etcdTrouble(resp *http.Response) bool {
	words := peek(resp)
	for _, known := range []string{"etcdserver:", "leader changed", "request timed out", "connection refused", "connection reset", "context deadline exceeded"} {
		if strings.Contains(words, known) {
			return !strings.Contains(words, "failed calling webhook")
		}
	}
	return false
}

// expectedOutage: a 503 that the API server itself means, for example of an
// aggregated API whose server is not there, does not pass by itself in time.
func expectedOutage(resp *http.Response) bool {
	words := peek(resp)
	return strings.Contains(words, "failed calling webhook") || strings.Contains(words, "error trying to reach service")
}

func peek(resp *http.Response) string {
	head, rest := new(bytes.Buffer), resp.Body
	_, _ = io.Copy(head, io.LimitReader(rest, 16<<10))
	words := head.String()
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(head, rest), rest}
	return words
}

func retryAfter(resp *http.Response) time.Duration {
	seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, longest)
}

func streams(req *http.Request) bool {
	q := req.URL.Query()
	watch := q.Get("watch")
	return watch == "true" || watch == "1" || (strings.HasSuffix(req.URL.Path, "/log") && strings.Contains(req.URL.Path, "/pods/"))
}

// proxied: the request goes on to a service, pod or node.
func proxied(req *http.Request) bool {
	_, rest, found := strings.Cut(req.URL.Path, "/api/v1/")
	if !found {
		return false
	}
	// namespaces/NAME/services|pods/NAME/proxy…
	parts := strings.SplitN(rest, "/", 6)
	return len(parts) >= 5 && parts[0] == "namespaces" && parts[4] == "proxy"
}

func dryRun(req *http.Request) bool { return req.URL.Query().Get("dryRun") == "All" }

// question: access reviews are posted, and change nothing.
func question(req *http.Request) bool {
	return req.Method == http.MethodPost && strings.Contains(req.URL.Path, "/apis/authorization.k8s.io/")
}

// plainCause is the innermost error: the outer ones repeat the whole URL. The
// words by which client-go knows an error worth ten more tries are not used.
func plainCause(err error) string {
	switch words := err.Error(); {
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, net.ErrClosed), strings.Contains(words, "GOAWAY"),
		strings.Contains(words, "broken connection"):
		return "the connection was cut"
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err.Error()
}

// gate lets a number of requests through at once.
type gate struct{ free chan struct{} }

func newGate(n int) *gate { return &gate{free: make(chan struct{}, n)} }

func (g *gate) enter(ctx context.Context) error {
	select {
	case g.free <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *gate) leave() { <-g.free }
