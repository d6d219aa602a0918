package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fibership/fibership/internal/analysis"
)

// place is an API server's proxy with some pods behind it.
type place struct {
	url *url.URL

	mu       sync.Mutex
	pods     []corev1.Pod
	handlers map[string]http.HandlerFunc
	broken   bool // lists fail
}

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{handlers: map[string]http.HandlerFunc{}}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	p.url = u
	return p
}

func (p *place) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	p.mu.Lock()
	handler := p.handlers[name]
	p.mu.Unlock()
	if handler == nil {
		refuse(http.StatusNotFound, fmt.Sprintf("pods %q not found", name))(w, r)
		return
	}
	r.URL.Path = "/" + rest
	handler(w, r)
}

// refuse is an answer of the API server itself.
func refuse(code int, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		status := metav1.Status{
			TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
			Code:     int32(code), Message: message, Details: &metav1.StatusDetails{Kind: "pods"},
		}
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(status)
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func (p *place) PodURL(_, pod string, _ int) (*http.Client, *url.URL, error) {
	return http.DefaultClient, p.url.JoinPath(pod), nil
}

// run adds a ready pod, or changes what one answers.
func (p *place) run(name string, handler http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.handlers[name] == nil {
		p.pods = append(p.pods, corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "test", UID: types.UID(name)},
			Status: corev1.PodStatus{
				Phase:             corev1.PodRunning,
				Conditions:        []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
				ContainerStatuses: []corev1.ContainerStatus{{Name: "main"}},
			},
		})
	}
	p.handlers[name] = handler
}

// change edits the pod as the list shows it.
func (p *place) change(name string, edit func(*corev1.Pod)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.pods {
		if p.pods[i].Name == name {
			edit(&p.pods[i])
		}
	}
}

// remove takes the pod away.
func (p *place) remove(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.handlers, name)
	for i := range p.pods {
		if p.pods[i].Name == name {
			p.pods = append(p.pods[:i:i], p.pods[i+1:]...)
			return
		}
	}
}

func (p *place) list(context.Context) ([]corev1.Pod, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.broken {
		return nil, errors.New("the API server is away")
	}
	out := make([]corev1.Pod, 0, len(p.pods))
	for i := range p.pods {
		out = append(out, *p.pods[i].DeepCopy())
	}
	return out, nil
}

func (p *place) breakLists(broken bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = broken
}

func measure(t *testing.T, s Session) analysis.Measurement {
	t.Helper()
	m, err := s.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// until polls the session until done, for half a minute at most.
func until(t *testing.T, s Session, what string, done func(analysis.Measurement) bool) analysis.Measurement {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		m, _ := s.Read(ctx)
		if done(m) {
			return m
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within half a minute: %d requests, %d errors", what, m.Requests, m.Errors)
		case <-tick.C:
		}
	}
}
