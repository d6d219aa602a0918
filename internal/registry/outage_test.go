package registry

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// trouble is how a registry fails a request.
type trouble func(*http.Request) (*http.Response, error)

var troubles = map[string]trouble{
	"503": func(r *http.Request) (*http.Response, error) {
		return answer(r, http.StatusServiceUnavailable, ""), nil
	},
	"429":   func(r *http.Request) (*http.Response, error) { return answer(r, http.StatusTooManyRequests, "1"), nil },
	"reset": func(*http.Request) (*http.Response, error) { return nil, syscall.ECONNRESET },
	"broken off": func(r *http.Request) (*http.Response, error) {
		if r.Body != nil {
			_, _ = io.CopyN(io.Discard, r.Body, 100)
		}
		return nil, io.ErrUnexpectedEOF
	},
	"lost upload": func(r *http.Request) (*http.Response, error) {
		if r.Method != http.MethodPost && strings.Contains(r.URL.Path, "/blobs/uploads/") {
			return answer(r, http.StatusNotFound, ""), nil
		}
		return answer(r, http.StatusBadGateway, ""), nil
	},
}

func answer(r *http.Request, status int, retryAfter string) *http.Response {
	header := http.Header{}
	if retryAfter != "" {
		header.Set("Retry-After", retryAfter)
	}
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Header: header, Request: r,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: io.NopCloser(bytes.NewReader(nil)),
	}
}

// flaky is a registry that fails from its nth request on, for a time. It is
// reached without a network, so that a test may let an hour pass in no time.
type flaky struct {
	handler http.Handler
	from    int
	lasts   time.Duration
	fail    trouble

	mu    sync.Mutex
	count int
	began time.Time
}

func newFlaky(from int, lasts time.Duration, fail trouble) *flaky {
	return &flaky{handler: registry.New(registry.Logger(log.New(io.Discard, "", 0))), from: from, lasts: lasts, fail: fail}
}

func (f *flaky) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close() // as a RoundTripper must
	}
	f.mu.Lock()
	f.count++
	if f.count == f.from {
		f.began = time.Now()
	}
	down := !f.began.IsZero() && time.Since(f.began) < f.lasts
	f.mu.Unlock()
	if down {
		return f.fail(r)
	}
	return f.serve(r)
}

func (f *flaky) serve(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	recorder := httptest.NewRecorder()
	f.handler.ServeHTTP(recorder, r)
	response := recorder.Result()
	response.Request = r
	return response, nil
}

func (f *flaky) client(patience time.Duration) *Client {
	c := New(Options{Patience: patience})
	c.network = newNetwork(f)
	return c
}

// image reads what a tag points at, past all trouble; nil where it is not set.
func (f *flaky) image(t *testing.T, tag name.Tag) v1.Image {
	t.Helper()
	img, err := remote.Image(tag, remote.WithTransport(roundTrip(f.serve)))
	if err != nil {
		return nil
	}
	return img
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func push(t *testing.T, c *Client, img v1.Image, tag name.Tag) error {
	t.Helper()
	if _, err := c.Push(t.Context(), img, tag.Context()); err != nil {
		return err
	}
	return c.Tag(t.Context(), tag, img)
}

func testImage(t *testing.T) (v1.Image, name.Tag) {
	t.Helper()
	img, err := random.Image(4096, 2)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag("127.0.0.1:5000/acme/orders:v1")
	if err != nil {
		t.Fatal(err)
	}
	return img, tag
}

// requestsOfAPush counts them where nothing goes wrong.
func requestsOfAPush(t *testing.T) int {
	t.Helper()
	img, tag := testImage(t)
	f := newFlaky(0, 0, nil)
	if err := push(t, f.client(0), img, tag); err != nil {
		t.Fatal(err)
	}
	return f.count
}

func TestPush_ridesOutAnOutageAtEachRequest(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	requests := requestsOfAPush(t)
	t.Logf("%d requests a push", requests)
	for kind, fail := range troubles {
		for _, outage := range []time.Duration{2, 6, 15, 30, 60} {
			for at := 1; at <= requests; at++ {
				t.Run(fmt.Sprintf("%s/%ds/request %d", kind, outage, at), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						img, tag := testImage(t)
						f := newFlaky(at, outage*time.Second, fail)
						began := time.Now()
						if err := push(t, f.client(2*time.Minute), img, tag); err != nil {
							t.Fatal(err)
						}
						if beyond := time.Since(began) - outage*time.Second; beyond > 10*time.Second {
							t.Errorf("it took %s longer than the outage", beyond)
						}
						got := f.image(t, tag)
						if got == nil {
							t.Fatal("the tag is not set")
						}
						if err := validate.Image(got); err != nil {
							t.Error(err)
						}
					})
				})
			}
		}
	}
}

func TestPush_givesUpAfterItsPatience(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	for at := 1; at <= requestsOfAPush(t); at++ {
		synctest.Test(t, func(t *testing.T) {
			img, tag := testImage(t)
			f := newFlaky(at, time.Hour, troubles["503"])
			began := time.Now()
			err := push(t, f.client(20*time.Second), img, tag)
			var outage *OutageError
			if !errors.As(err, &outage) {
				t.Fatalf("request %d: %v", at, err)
			}
			if took := time.Since(began); took < 20*time.Second || took > 25*time.Second {
				t.Errorf("request %d: gave up after %s", at, took)
			}
			if f.image(t, tag) != nil {
				t.Errorf("request %d: tagged", at)
			}
			// The next run repairs what this one left.
			f.lasts = 0
			if err := push(t, f.client(0), img, tag); err != nil {
				t.Fatal(err)
			}
			if err := validate.Image(f.image(t, tag)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPush_waitsAsLongAsTheRegistryAsks(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		img, tag := testImage(t)
		f := newFlaky(3, 40*time.Second, func(r *http.Request) (*http.Response, error) {
			return answer(r, http.StatusTooManyRequests, "41"), nil
		})
		if err := push(t, f.client(2*time.Minute), img, tag); err != nil {
			t.Fatal(err)
		}
		if extra := f.count - requestsOfAPush(t); extra > uploads {
			t.Errorf("%d further requests, although the registry asked for patience", extra)
		}
	})
}

func TestPush_doesNotRideOutARefusal(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		img, tag := testImage(t)
		f := newFlaky(2, time.Hour, func(r *http.Request) (*http.Response, error) {
			return answer(r, http.StatusForbidden, ""), nil
		})
		began := time.Now()
		err := push(t, f.client(2*time.Minute), img, tag)
		var refused *CredentialError
		if !errors.As(err, &refused) || refused.Status != http.StatusForbidden {
			t.Errorf("error: %v", err)
		}
		if time.Since(began) > 0 {
			t.Errorf("it waited %s for what will not pass", time.Since(began))
		}
	})
}

func TestExists_tellsNotThereFromUnreachable(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	img, tag := testImage(t)
	hash, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	digest := tag.Context().Digest(hash.String())
	f := newFlaky(0, 0, nil)
	if err := f.client(0).Exists(t.Context(), digest); !IsNotFound(err) {
		t.Errorf("nothing was pushed: %v", err)
	}
	if err := push(t, f.client(0), img, tag); err != nil {
		t.Fatal(err)
	}
	if err := f.client(0).Exists(t.Context(), digest); err != nil {
		t.Errorf("it was pushed: %v", err)
	}
	if got, err := f.client(0).Resolve(t.Context(), tag); err != nil || got != digest {
		t.Errorf("resolved to %v, %v", got, err)
	}
	down := newFlaky(1, time.Hour, troubles["reset"])
	if err := down.client(0).Exists(t.Context(), digest); err == nil || IsNotFound(err) {
		t.Errorf("the registry is down: %v", err)
	}
}
