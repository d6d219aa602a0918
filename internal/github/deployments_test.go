package github

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fibership/fibership/internal/progress"
	"github.com/fibership/fibership/internal/release"
)

// hub is as much of GitHub as deployments need. The house has no other.
type hub struct {
	mu      sync.Mutex
	answers []int // statuses of the first answers; then it takes everything
	asked   []string
	bodies  []map[string]any
	headers http.Header
}

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var body map[string]any
	_ = json.NewDecoder(r.Body).Decode(&body)
	h.asked, h.bodies, h.headers = append(h.asked, r.Method+" "+r.URL.Path), append(h.bodies, body), r.Header
	if len(h.answers) > 0 {
		code := h.answers[0]
		h.answers = h.answers[1:]
		w.WriteHeader(code)
		_, _ = fmt.Fprint(w, `{"message":"Resource not accessible by integration"}`)
		return
	}
	w.WriteHeader(http.StatusCreated)
	_, _ = fmt.Fprint(w, `{"id": 4711}`)
}

// notes keeps what is annotated.
type notes struct {
	progress.Log
	told []string
}

func (n *notes) Annotate(a progress.Annotation) { n.told = append(n.told, a.Message) }

func begin(t *testing.T, answers ...int) (*hub, *notes, *Deployments) {
	t.Helper()
	h := &hub{answers: answers}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	n := &notes{Log: progress.Discard}
	return h, n, &Deployments{API: server.URL, Repository: "acme/orders", Token: "ghs_secret", Log: n}
}

var record = release.Record{
	Service: "orders", Environment: "production", Revision: 12, Status: release.Underway,
	Image: "r/orders@sha256:1", Commit: "0123456789abcdef0123456789abcdef01234567", Run: "https://github.com/acme/orders/actions/runs/1",
	URL: "https://orders.example.com",
}

func TestDeployments_tellHowAReleaseGoes(t *testing.T) {
	t.Parallel()
	h, n, d := begin(t)
	r := record
	r.Deployment = d.Begun(t.Context(), r)
	if r.Deployment != 4711 {
		t.Fatalf("deployment %d, want GitHub's", r.Deployment)
	}
	r.Status = release.Succeeded
	d.Ended(t.Context(), r)
	const statuses = "POST /repos/acme/orders/deployments/4711/statuses"
	if want := []string{"POST /repos/acme/orders/deployments", statuses, statuses}; !slices.Equal(h.asked, want) {
		t.Errorf("asked %q, want %q", h.asked, want)
	}
	for i, want := range []map[string]any{
		{"ref": record.Commit, "environment": "production", "task": "deploy", "description": "release 12 of orders", "auto_merge": false},
		{"state": "in_progress", "log_url": record.Run},
		{"state": "success", "environment_url": "https://orders.example.com"},
	} {
		for field, value := range want {
			if got := h.bodies[i][field]; got != value {
				t.Errorf("request %d: %s = %v, want %v", i+1, field, got, value)
			}
		}
	}
	if contexts, ok := h.bodies[0]["required_contexts"].([]any); !ok || len(contexts) != 0 {
		t.Errorf("required_contexts = %v: GitHub would wait for this very run", h.bodies[0]["required_contexts"])
	}
	if got := h.headers.Get("Authorization"); got != "Bearer ghs_secret" {
		t.Errorf("Authorization = %q", got)
	}
	if len(n.told) > 0 {
		t.Errorf("warned: %q", n.told)
	}
}

func TestDeployments_tellARollbackAndAFailure(t *testing.T) {
	t.Parallel()
	h, _, d := begin(t)
	r := record
	r.Restored = 10
	r.Deployment = d.Begun(t.Context(), r)
	r.Status, r.Failure = release.RolledBack, strings.Repeat("crashed ", 40)
	d.Ended(t.Context(), r)
	if h.bodies[0]["task"] != "rollback" || h.bodies[0]["description"] != "release 12 of orders restores release 10" {
		t.Errorf("deployment = %v", h.bodies[0])
	}
	last := h.bodies[len(h.bodies)-1]
	text, _ := last["description"].(string)
	if last["state"] != "failure" || !strings.HasPrefix(text, "release 12 of orders was taken back: crashed") || len([]rune(text)) > longest {
		t.Errorf("status = %v", last)
	}
}

func TestDeployments_goOnWhereGitHubDoesNot(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answers []int
		id      int64
		warned  string
		asked   int
	}{
		"no right":               {[]int{403}, 0, "deployments: write", 1},
		"a conflict":             {[]int{409}, 0, "409", 1},
		"an error, not repeated": {[]int{500}, 0, "500", 1},
		"a moment's trouble":     {[]int{503, 502}, 4711, "", 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, n, d := begin(t, test.answers...)
			if id := d.Begun(t.Context(), record); id != test.id {
				t.Errorf("deployment %d, want %d", id, test.id)
			}
			if len(h.asked) != test.asked {
				t.Errorf("asked %d times, want %d: %q", len(h.asked), test.asked, h.asked)
			}
			if told := strings.Join(n.told, "\n"); !strings.Contains(told, test.warned) || (test.warned == "") != (told == "") {
				t.Errorf("warned %q, want %q", told, test.warned)
			}
			if strings.Contains(strings.Join(n.told, ""), "ghs_secret") {
				t.Error("the token is told")
			}
		})
	}
}

func TestDeployments_needACommit(t *testing.T) {
	t.Parallel()
	h, n, d := begin(t)
	if id := d.Begun(t.Context(), release.Record{Service: "orders", Revision: 1}); id != 0 || len(h.asked) > 0 || len(n.told) != 1 {
		t.Errorf("deployment %d, asked %q, warned %q", id, h.asked, n.told)
	}
	d.Ended(t.Context(), release.Record{Service: "orders", Revision: 1})
	if len(h.asked) > 0 {
		t.Errorf("asked %q of a deployment that is none", h.asked)
	}
}

func TestDeployments_endWithTheirContext(t *testing.T) {
	t.Parallel()
	_, n, d := begin(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if id := d.Begun(ctx, record); id != 0 || len(n.told) != 1 {
		t.Errorf("deployment %d, warned %q", id, n.told)
	}
}
