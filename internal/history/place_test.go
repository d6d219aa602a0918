package history

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/fibership/fibership/internal/release"
	"github.com/fibership/fibership/internal/testcluster"
)

// road is the way to the API server. It counts requests, and does to each what
// the test says.
type road struct {
	next     http.RoundTripper
	requests atomic.Int32
	writes   atomic.Int32
	// before refuses a request, n counting from 1, before the server has it;
	// after drops the answer to one that the server has handled.
	before, after func(n int, req *http.Request) error
}

func (r *road) RoundTrip(req *http.Request) (*http.Response, error) {
	n := int(r.requests.Add(1))
	if req.Method != http.MethodGet {
		r.writes.Add(1)
	}
	if r.before != nil {
		if err := r.before(n, req); err != nil {
			return nil, err
		}
	}
	resp, err := r.next.RoundTrip(req)
	if err == nil && r.after != nil {
		if err := r.after(n, req); err != nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			return nil, errors.Join(err, resp.Body.Close())
		}
	}
	return resp, err
}

// over is a store whose requests take the road.
func over(t *testing.T, c *testcluster.T, r *road, service, environment string) *Store {
	t.Helper()
	config := rest.CopyConfig(c.Client.REST)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		r.next = next
		return r
	})
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return open(kube, service, environment, c.Namespace)
}

// begun records one more release.
func begun(t *testing.T, s *Store, objects ...*unstructured.Unstructured) release.Record {
	t.Helper()
	r := release.Record{Action: "promote", Image: "ghcr.io/acme/orders@sha256:1"}
	if err := s.Begin(t.Context(), &r, objects); err != nil {
		t.Fatal(err)
	}
	return r
}

// ended records one more release as it ended.
func ended(t *testing.T, s *Store, status release.Status, objects ...*unstructured.Unstructured) release.Record {
	t.Helper()
	r := begun(t, s, objects...)
	end(t, s, &r, status)
	return r
}

func end(t *testing.T, s *Store, r *release.Record, status release.Status) {
	t.Helper()
	r.Status = status
	if err := s.Update(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

func list(t *testing.T, s *Store) release.History {
	t.Helper()
	h, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// whole fails the test unless every release can be restored, and nothing is
// kept beside them. Parts without a record are so many.
func whole(t *testing.T, s *Store, orphans int) release.History {
	t.Helper()
	fresh := open(s.kube, s.service, s.environment, s.namespace)
	h := list(t, fresh)
	kept := 0
	for _, r := range h {
		if _, err := fresh.Objects(t.Context(), r); err != nil {
			t.Error(err)
		}
		k, _ := fresh.recall(r.Revision)
		kept += k.pack.Chunks
	}
	parts, err := fresh.parts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(parts) != kept+orphans {
		t.Errorf("%d parts are kept for %d that releases have and %d that none has", len(parts), kept, orphans)
	}
	return h
}

// locked takes the lock, so that what killed runs left can be swept.
func locked(t *testing.T, s *Store) {
	t.Helper()
	l, err := s.Lock(t.Context(), "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Release(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
}

func numbers(h []release.Record) (n []int) {
	for _, r := range h {
		n = append(n, r.Revision)
	}
	return n
}

func remove(t *testing.T, s *Store, name string) {
	t.Helper()
	if err := s.kube.CoreV1().Secrets(s.namespace).Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}
