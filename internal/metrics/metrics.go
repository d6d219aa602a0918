// Package metrics measures the pods of one version — by requests of its own,
// or from what the pods tell about themselves — and knows nothing of what
// would be good or bad. Pods are reached through the API server alone, so
// nothing has to be installed in the cluster and no port has to be open.
package metrics

import (
	"context"
	"net/http"
	"net/url"

	corev1 "k8s.io/api/core/v1"

	"github.com/fibership/fibership/internal/analysis"
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
	// Requests are 0. An error says that the pods could not be listed.
	Read(ctx context.Context) (analysis.Measurement, error)
	// Close ends what the session does beside Read and waits for it. What was
	// measured can still be read.
	Close()
}

// Reacher finds the way to a pod's port; *cluster.Client does.
type Reacher interface {
	PodURL(namespace, pod string, port int) (*http.Client, *url.URL, error)
}

// Restarts is the number of times that containers of the pods, init
// containers included, were restarted.
func Restarts(pods []corev1.Pod) int {
	n := int32(0)
	for i := range pods {
		for _, s := range pods[i].Status.InitContainerStatuses {
			n += s.RestartCount
		}
		for _, s := range pods[i].Status.ContainerStatuses {
			n += s.RestartCount
		}
	}
	return int(n)
}

// Names are the metrics that Pods reads; empty ones are recognised.
type Names struct {
	Requests string // a counter or a histogram with the status as a label
	Latency  string // a histogram in seconds
}
