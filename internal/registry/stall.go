package registry

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// mostStill is how long a request's bytes may stand still, on their way there
// or back, before its connection is given up.
const mostStill = time.Minute

// errStalled is a connection that is open, and on which nothing moves.
var errStalled = errors.New("the connection stalled: nothing moved for a minute")

// staller ends requests whose bytes stand still: neither TCP nor the transport
// gives up on a peer that is there and takes or sends nothing. How long we
// ourselves take to make or to use the bytes does not count.
type staller struct{ next http.RoundTripper }

func (s *staller) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(request.Context())
	timer := newStillness(func() { cancel(errStalled) })
	sent := request.WithContext(ctx)
	if request.Body != nil && request.Body != http.NoBody {
		sent.Body = &outgoing{request.Body, timer}
	}
	response, err := s.next.RoundTrip(sent)
	timer.end()
	if err != nil {
		err = stalled(ctx, err)
		cancel(nil)
		return nil, err
	}
	response.Request = request
	response.Body = &incoming{response.Body, ctx, cancel}
	return response, nil
}

// stalled is err, or what it came from.
func stalled(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errStalled) {
		return errStalled
	}
	return err
}

// outgoing is a request's body: when a part has been taken, the next one must be
// asked for in time.
type outgoing struct {
	io.ReadCloser
	still *stillness
}

func (o *outgoing) Read(b []byte) (int, error) {
	o.still.stop()
	n, err := o.ReadCloser.Read(b)
	if err == nil {
		o.still.start()
	}
	return n, err
}

// incoming is an answer's body: each part of it must come in time.
type incoming struct {
	io.ReadCloser
	ctx    context.Context //nolint:containedctx // of the one request that this is the answer to
	cancel context.CancelCauseFunc
}

func (i *incoming) Read(b []byte) (int, error) {
	timer := time.AfterFunc(mostStill, func() { i.cancel(errStalled) })
	n, err := i.ReadCloser.Read(b)
	timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) {
		err = stalled(i.ctx, err)
	}
	return n, err
}

func (i *incoming) Close() error {
	defer i.cancel(nil)
	return i.ReadCloser.Close()
}

// stillness is a timer that runs while nothing moves, until it is ended. It is
// safe for concurrent use: a body is read by another goroutine than the one that
// gets the answer.
type stillness struct {
	mu    sync.Mutex
	timer *time.Timer
	ended bool
}

func newStillness(tooLong func()) *stillness {
	s := &stillness{timer: time.AfterFunc(mostStill, tooLong)}
	s.timer.Stop()
	return s
}

func (s *stillness) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.timer.Reset(mostStill)
	}
}

func (s *stillness) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.timer.Stop()
}

func (s *stillness) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.timer.Stop()
}
