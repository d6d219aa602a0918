package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// Waits between tries double from the first to the last.
const (
	firstWait = 250 * time.Millisecond
	lastWait  = 8 * time.Second
)

// OutageError is a registry that was in trouble for longer than we ride out.
type OutageError struct {
	What     string
	Lasted   time.Duration
	Patience time.Duration
	Cause    error
	noInputs bool // the action has no input for the patience
}

func (e *OutageError) Error() string {
	return fmt.Sprintf("%s: the registry has been in trouble for %s: %v", e.What, e.Lasted.Round(time.Second/10), e.Cause)
}

func (e *OutageError) Unwrap() error { return e.Cause }

// Next tells the choice.
func (e *OutageError) Next() string {
	if e.noInputs {
		return "run the job again when the registry is well, and check that it can be reached from here"
	}
	return fmt.Sprintf("run the job again when the registry is well; the input retry-timeout (%s) says how long an outage is ridden out", e.Patience)
}

// ride calls f until it succeeds, fails for a reason that time does not heal,
// or one outage has lasted longer than the client's patience. f is a whole
// operation that may be begun anew, so a lost upload session or a connection
// that breaks in the middle of a layer is ridden out like any other trouble.
func (c *Client) ride(ctx context.Context, what string, f func(context.Context) error) error {
	var began time.Time
	wait := firstWait
	for {
		asked := new(atomic.Int64)
		err := f(context.WithValue(ctx, hintKey{}, asked))
		if err == nil || ctx.Err() != nil || !isTrouble(err) {
			return err
		}
		if began.IsZero() {
			began = time.Now()
		}
		lasted := time.Since(began)
		left := c.patience - lasted
		if left <= 0 {
			return &OutageError{What: what, Lasted: lasted, Patience: c.patience, Cause: err, noInputs: c.keys.given.Registry == ""}
		}
		// Half of the wait is chance, so that many clients do not come back at once.
		pause := wait/2 + rand.N(wait/2+1) // #nosec G404 -- spreads load, keeps no secret
		// What the registry asks for counts, but not beyond our patience: the
		// last try is made when it runs out.
		pause = min(max(pause, time.Duration(asked.Load())), left)
		wait = min(2*wait, lastWait)
		c.log.Linef("%s: %s; again in %s", what, reason(err), pause.Round(time.Second/10))
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}

// reason is an error in a few words, for a progress line.
func reason(err error) string {
	var status *transport.Error
	if errors.As(err, &status) {
		return fmt.Sprintf("%d %s", status.StatusCode, http.StatusText(status.StatusCode))
	}
	var request *url.Error
	if errors.As(err, &request) {
		return request.Err.Error()
	}
	return err.Error()
}

// isTrouble says whether err may pass by itself.
func isTrouble(err error) bool {
	var status *transport.Error
	if errors.As(err, &status) {
		return troubleStatus(status)
	}
	var (
		certificate *tls.CertificateVerificationError
		authority   x509.UnknownAuthorityError
		host        *net.DNSError
		network     net.Error
		request     *url.Error
	)
	switch {
	case errors.Is(err, errStalled):
		return true
	case errors.Is(err, context.Canceled):
		return false
	case errors.As(err, &certificate), errors.As(err, &authority):
		return false
	case errors.As(err, &host):
		return !host.IsNotFound
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.EPIPE):
		return true
	case errors.As(err, &network) && network.Timeout():
		return true
	case errors.As(err, &request):
		// What is left below a request is the connection's, but for an address
		// that is none and an answer that is no HTTP.
		return !strings.Contains(err.Error(), "unsupported protocol") && !strings.Contains(err.Error(), "server gave HTTP response")
	}
	return false
}

// troubleStatus knows the answers of a registry that is overloaded, restarting
// or has lost an upload.
func troubleStatus(e *transport.Error) bool {
	switch e.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	case http.StatusNotFound, http.StatusRequestedRangeNotSatisfiable, http.StatusBadRequest:
		// An upload that the registry no longer knows, or knows otherwise, is
		// begun anew.
		return e.Request != nil && isUpload(e.Request)
	}
	return false
}

// isUpload says whether a request sends a blob. Where to is the registry's own
// choice, by the answer to the POST that begins an upload.
func isUpload(r *http.Request) bool {
	return r.Method == http.MethodPatch || r.Method == http.MethodPut && !strings.Contains(r.URL.Path, "/manifests/")
}

// hintKey finds in a request's context where its Retry-After is kept.
type hintKey struct{}

// hinter notes what a registry that is in trouble asks us to wait: ggcr's
// errors do not tell.
type hinter struct{ next http.RoundTripper }

func (h *hinter) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := h.next.RoundTrip(request)
	if err != nil || (response.StatusCode != http.StatusTooManyRequests && response.StatusCode != http.StatusServiceUnavailable) {
		return response, err
	}
	if asked, ok := request.Context().Value(hintKey{}).(*atomic.Int64); ok {
		asked.Store(int64(retryAfter(response.Header.Get("Retry-After"), time.Now())))
	}
	return response, nil
}

// retryAfter reads seconds or a date; 0 where it is neither.
// Source: RFC 9110, 10.2.3.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(value); err == nil {
		return time.Duration(min(max(seconds, 0), 3600)) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(date.Sub(now), 0)
	}
	return 0
}
