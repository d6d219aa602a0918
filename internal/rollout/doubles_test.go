package rollout

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fibership/fibership/internal/progress"
)

type testContext = context.Context

// journal keeps the lines of a progress.Log and shows them in the test's.
type journal struct {
	t     *testing.T
	mu    sync.Mutex
	lines []string
	spoke time.Time
}

// beat checks that no wait was without a line for longer than allowed.
func (j *journal) beat(now time.Time) {
	if !j.spoke.IsZero() && now.Sub(j.spoke) > 15500*time.Millisecond {
		j.t.Errorf("no line for %s", now.Sub(j.spoke).Round(time.Millisecond))
	}
	j.spoke = now
}

func (j *journal) Group(string) func()          { return func() {} }
func (j *journal) Annotate(progress.Annotation) {}
func (j *journal) Foreign() io.Writer           { return io.Discard }
func (j *journal) Linef(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.beat(time.Now())
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
	j.t.Logf(format, args...)
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.lines...)
}

// answering is a registry that gives every request the same answer.
func answering(t *testing.T, code int, body string) (host string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if code == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", `Basic realm="closed"`)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}
