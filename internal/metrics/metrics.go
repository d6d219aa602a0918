// Package metrics measures the pods of one version — by requests of its own,
// from what the pods tell about themselves, or from what a Prometheus has
// scraped of it — and knows nothing of what would be good or bad. Pods, and a
// Prometheus in the cluster, are reached through the API server, so nothing
// has to be installed in the cluster and no port has to be open.
package metrics

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/progress"
)

// A Source can measure the pods of a version. It may be started several
// times, once for each version.
type Source interface {
	// Start begins to measure the pods that list gives; list is asked again
	// and again, since pods come and go. ctx bounds the session's work beside
	// Read: when it ends the session goes quiet.
	Start(ctx context.Context, list Lister) Session
}

// A Lister gives the pods of one version as they are now.
type Lister func(context.Context) ([]corev1.Pod, error)

// A Session is one measurement that grows.
type Session interface {
	// Read gives what was measured since Start: cumulative. Without data its
	// Requests are 0. An error says that the pods could not be listed, or
	// that what used to be measured has gone silent; in the latter case the
	// restarts were counted all the same, and HasRestarts says so.
	Read(ctx context.Context) (analysis.Measurement, error)
	// Close ends what the session does beside Read and waits for it. What was
	// measured can still be read.
	Close()
}

// Reacher finds the way to a pod's port; *cluster.Client does.
type Reacher interface {
	PodURL(namespace, pod string, port int) (*http.Client, *url.URL, error)
}

// patience is the time that one request for a pod's metrics, or for the list
// of pods at the start, may take.
const patience = 5 * time.Second

// join gives the URL of path, with its query, under base.
func join(base *url.URL, path string) (*url.URL, error) {
	u, err := url.ParseRequestURI(path)
	if err != nil || u.Host != "" || u.Scheme != "" {
		return nil, fmt.Errorf("path %q: expected a path like /readyz", path)
	}
	to := base.JoinPath(u.EscapedPath())
	to.RawQuery = u.RawQuery
	return to, nil
}

// once says each thing one time only: sessions go on for hours.
type once struct {
	log  progress.Log
	mu   sync.Mutex
	said map[string]bool
}

func (o *once) sayf(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.said[line] || len(o.said) > 20 {
		return
	}
	if o.said == nil {
		o.said = map[string]bool{}
	}
	o.said[line] = true
	o.log.Linef("%s", line)
}

// Names are the metrics that Pods and Server.Source read; empty ones are
// recognised.
type Names struct {
	Requests string // a counter or a histogram with the status as a label
	Latency  string // a histogram in seconds
}
