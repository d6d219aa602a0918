package registry

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// guarded is a registry that wants tokens, and forgets those that it has given
// at its nth request.
type guarded struct {
	*flaky
	expire int

	mu    sync.Mutex
	count int
	valid int // tokens from this number on
	given int
}

func (g *guarded) RoundTrip(r *http.Request) (*http.Response, error) {
	g.mu.Lock()
	g.count++
	if g.count == g.expire {
		g.valid = g.given + 1
	}
	if r.URL.Path == "/token" {
		g.given++
		token := g.given
		g.mu.Unlock()
		response := answer(r, http.StatusOK, "")
		response.Header.Set("Content-Type", "application/json")
		response.Body = io.NopCloser(strings.NewReader(fmt.Sprintf(`{"token": "%d"}`, token)))
		return response, nil
	}
	token, _ := strconv.Atoi(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	refused := token == 0 || token < g.valid
	g.mu.Unlock()
	if refused {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		response := answer(r, http.StatusUnauthorized, "")
		response.Header.Set("WWW-Authenticate", `Bearer realm="https://127.0.0.1:5000/token",service="test"`)
		return response, nil
	}
	return g.flaky.RoundTrip(r)
}

func TestPush_outlivesItsToken(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	run := func(t *testing.T, expire int) (requests int) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			img, tag := testImage(t)
			g := &guarded{flaky: newFlaky(0, 0, nil), expire: expire, valid: 1}
			c := New(Options{Patience: time.Minute})
			c.network = newNetwork(g)
			if err := push(t, c, img, tag); err != nil {
				t.Fatal(err)
			}
			if err := validate.Image(g.image(t, tag)); err != nil {
				t.Error(err)
			}
			requests = g.count
		})
		return requests
	}
	requests := run(t, 0)
	for at := 1; at <= requests; at++ {
		t.Run(fmt.Sprintf("at request %d of %d", at, requests), func(t *testing.T) { run(t, at) })
	}
}
