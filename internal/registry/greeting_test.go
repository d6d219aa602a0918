package registry

import (
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
)

// greeted counts the greetings that reach f.
func greeted(f *flaky) (*Client, *atomic.Int64) {
	n := new(atomic.Int64)
	c := New(Options{Patience: time.Minute})
	c.network = newNetwork(roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.URL.Path == "/v2/" {
			n.Add(1)
		}
		return f.RoundTrip(r)
	}))
	return c, n
}

func TestClient_greetsARegistryOnce(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	c, greetings := greeted(newFlaky(0, 0, nil))
	done := make(chan error)
	repositories := []string{"127.0.0.1:5000/acme/base", "127.0.0.1:5000/acme/orders", "127.0.0.1:5000/acme/carts"}
	for _, repository := range repositories {
		go func() {
			tag, err := name.NewTag(repository + ":v1")
			if err == nil {
				_, err = c.Head(t.Context(), tag)
			}
			done <- err
		}()
	}
	for range repositories {
		if err := <-done; !IsNotFound(err) {
			t.Errorf("nothing is there: %v", err)
		}
	}
	if n := greetings.Load(); n != 1 {
		t.Errorf("%d greetings of one registry", n)
	}
	if _, err := c.Head(t.Context(), name.MustParseReference("127.0.0.1:5001/acme/base:v1")); !IsNotFound(err) {
		t.Errorf("of another registry: %v", err)
	}
	if n := greetings.Load(); n != 2 {
		t.Errorf("%d greetings of two registries", n)
	}
}

func TestClient_greetsAgainAfterTrouble(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	for kind, fail := range troubles {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, greetings := greeted(newFlaky(1, 2*time.Second, fail))
				for range 2 {
					if _, err := c.Head(t.Context(), name.MustParseReference("127.0.0.1:5000/acme/orders:v1")); !IsNotFound(err) {
						t.Errorf("after the trouble: %v", err)
					}
				}
				if n := greetings.Load(); n < 2 || n > 10 {
					t.Errorf("%d greetings", n)
				}
			})
		})
	}
}
