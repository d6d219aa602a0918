package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// script answers one request after the other, and the last one ever after.
type script struct {
	answers []func() (*http.Response, error)
	asked   []time.Time
	bodies  []string
}

func (s *script) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		raw, _ := io.ReadAll(req.Body)
		s.bodies = append(s.bodies, string(raw))
	}
	n := min(len(s.asked), len(s.answers)-1)
	s.asked = append(s.asked, time.Now())
	return s.answers[n]()
}

func status(code int, body string, header ...string) func() (*http.Response, error) {
	return func() (*http.Response, error) {
		resp := &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
		for i := 0; i+1 < len(header); i += 2 {
			resp.Header.Set(header[i], header[i+1])
		}
		return resp, nil
	}
}

func failing(err error) func() (*http.Response, error) {
	return func() (*http.Response, error) { return nil, err }
}

// breakingOff answers 200 and half a body.
func breakingOff() (*http.Response, error) {
	body := io.NopCloser(io.MultiReader(strings.NewReader("half"), brokenReader{}))
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: body}, nil
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

const (
	objects = "https://api/apis/apps/v1/namespaces/n/deployments/web"
	apply   = "application/apply-patch+yaml"
	merge   = "application/merge-patch+json"
)

func request(t *testing.T, method, url, contentType string) *http.Request {
	t.Helper()
	var body io.Reader
	if method == http.MethodPost || method == http.MethodPatch || method == http.MethodPut {
		body = strings.NewReader("body")
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	return req
}

func TestPatient_repeatsWhatMayBeRepeated(t *testing.T) {
	refused, reset := failing(syscall.ECONNREFUSED), failing(syscall.ECONNRESET)
	etcd := status(500, "etcdserver: leader changed")
	good := status(200, "good")
	for _, test := range []struct {
		name, method, url, contentType string
		trouble                        func() (*http.Response, error)
		tries                          int
	}{
		{"a read that is refused", "GET", objects, "", refused, 3},
		{"a read that is reset", "GET", objects, "", reset, 3},
		{"a read that breaks off", "GET", objects, "", breakingOff, 3},
		{"a read without storage", "GET", objects, "", etcd, 3},
		{"a read that fails otherwise", "GET", objects, "", status(500, "panic"), 1},
		{"an apply that is reset", "PATCH", objects, apply, reset, 3},
		{"an apply behind a proxy without server", "PATCH", objects, apply, status(502, ""), 3},
		{"a delete that is reset", "DELETE", objects, "", reset, 3},
		{"a patch that is reset", "PATCH", objects, merge, reset, 1},
		{"a creation that is reset", "POST", objects, "", reset, 1},
		{"a creation that is refused", "POST", objects, "", refused, 3},
		{"a creation that is one too many", "POST", objects, "", status(429, ""), 3},
		{"a creation that is tried", "POST", objects + "?dryRun=All", "", reset, 3},
		{"a question about rights", "POST", "https://api/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "", reset, 3},
		{"a webhook that is away", "PATCH", objects, apply, status(500, `failed calling webhook "x": connection refused`), 1},
		{"a service behind the API server", "GET", "https://api/api/v1/namespaces/n/services/web:80/proxy/a", "", status(503, ""), 1},
		{"a wrong certificate", "GET", objects, "", failing(errors.New("x509: unknown authority")), 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &script{answers: []func() (*http.Response, error){test.trouble, test.trouble, good}}
				p := &patient{next: server, gate: newGate(1), away: rideOut}
				resp, err := p.RoundTrip(request(t, test.method, test.url, test.contentType))
				if err == nil {
					defer resp.Body.Close()
				}
				if len(server.asked) != test.tries {
					t.Fatalf("tried %d times, want %d (%v)", len(server.asked), test.tries, err)
				}
				if test.tries > 1 && (err != nil || resp.StatusCode != 200) {
					t.Errorf("at last: %v", err)
				}
				for _, body := range server.bodies {
					if body != "body" {
						t.Errorf("a repeated request has the body %q", body)
					}
				}
			})
		})
	}
}

func TestTransient_tellsTroubleFromAnAnswer(t *testing.T) {
	for _, test := range []struct {
		err  error
		want bool
	}{
		{refusal(500, metav1.StatusReasonInternalError, "etcdserver: leader changed"), true},
		{refusal(502, metav1.StatusReasonInternalError, ""), true},
		{refusal(503, metav1.StatusReasonServiceUnavailable, ""), true},
		{refusal(504, metav1.StatusReasonTimeout, ""), true},
		{&url.Error{Op: "Patch", URL: objects, Err: io.EOF}, true},
		{&url.Error{Op: "Patch", URL: objects, Err: syscall.ECONNRESET}, true},
		{&url.Error{Op: "Patch", URL: objects, Err: context.DeadlineExceeded}, true},
		{refusal(403, metav1.StatusReasonForbidden, ""), false},
		{refusal(404, metav1.StatusReasonNotFound, ""), false},
		{refusal(422, metav1.StatusReasonInvalid, "the server rejected our request"), false},
		{&UnreachableError{Host: "api", Cause: syscall.ECONNREFUSED}, false},
		{context.Canceled, false},
		{errors.New("the lock is lost"), false},
	} {
		if got := Transient(fmt.Errorf("patch HTTPRoute web: %w", test.err)); got != test.want {
			t.Errorf("%v is transient: %t", test.err, got)
		}
	}
}

func TestPatient_waitsAsLongAsTheServerAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &script{answers: []func() (*http.Response, error){status(429, "", "Retry-After", "3"), status(200, "")}}
		p := &patient{next: server, gate: newGate(1), away: rideOut}
		resp, err := p.RoundTrip(request(t, "POST", objects, ""))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if waited := server.asked[1].Sub(server.asked[0]); waited != 3*time.Second {
			t.Errorf("waited %s, want 3s", waited)
		}
	})
}

func TestPatient_givesUpAfterHalfAMinuteWithAReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &script{answers: []func() (*http.Response, error){failing(syscall.ECONNREFUSED)}}
		p := &patient{next: server, gate: newGate(1), away: rideOut}
		begun := time.Now()
		resp, err := p.RoundTrip(request(t, "GET", objects, ""))
		if err == nil {
			resp.Body.Close()
		}
		var away *UnreachableError
		if !errors.As(err, &away) || !strings.Contains(err.Error(), "connection refused") {
			t.Fatalf("error %v", err)
		}
		if waited := time.Since(begun); waited < 20*time.Second || waited > rideOut {
			t.Errorf("gave up after %s", waited)
		}
	})
}

// client-go tries what it takes for a cut connection ten times, and we half a
// minute each time.
func TestUnreachableError_isNotRepeatedByClientGo(t *testing.T) {
	for _, cause := range []error{syscall.ECONNRESET, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, errors.New("http2: server sent GOAWAY and closed the connection")} {
		err := &url.Error{Op: "Get", URL: objects, Err: &UnreachableError{Host: "api", Cause: fmt.Errorf("read: %w", cause)}}
		if utilnet.IsProbableEOF(err) || utilnet.IsConnectionReset(err) {
			t.Errorf("client-go would repeat %v", err)
		}
	}
}

func TestPatient_limitsAnAttemptButNotAWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := roundTrip(func(req *http.Request) (*http.Response, error) {
			select {
			case <-req.Context().Done():
				return nil, req.Context().Err()
			case <-time.After(10 * time.Minute):
				return status(200, "late")()
			}
		})
		p := &patient{next: hangs, gate: newGate(1), away: rideOut}
		begun := time.Now()
		if resp, err := p.RoundTrip(request(t, "GET", objects, "")); err == nil {
			resp.Body.Close()
			t.Error("a request that hangs was waited for")
		} else if time.Since(begun) > perTry+rideOut {
			t.Errorf("a request that hangs ended after %s", time.Since(begun))
		}
		resp, err := p.RoundTrip(request(t, "GET", objects+"?watch=true", ""))
		if err != nil {
			t.Fatalf("a watch was cut: %v", err)
		}
		resp.Body.Close()
	})
}

func TestPatient_lets16ShortRequestsThroughAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int64
		slow := roundTrip(func(*http.Request) (*http.Response, error) {
			n := now.Add(1)
			defer now.Add(-1)
			for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
			}
			time.Sleep(time.Second)
			return status(200, "")()
		})
		p := &patient{next: slow, gate: newGate(atOnce), away: rideOut}
		for range 100 {
			go func() {
				if resp, err := p.RoundTrip(request(t, "GET", objects, "")); err == nil {
					resp.Body.Close()
				}
			}()
		}
		time.Sleep(time.Minute) // of the bubble's clock
		if most.Load() != atOnce {
			t.Errorf("%d at once", most.Load())
		}
	})
}

func TestPatient_endsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &script{answers: []func() (*http.Response, error){failing(syscall.ECONNREFUSED)}}
		p := &patient{next: server, gate: newGate(1), away: rideOut}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		resp, err := p.RoundTrip(request(t, "GET", objects, "").WithContext(ctx))
		if err == nil {
			resp.Body.Close()
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
