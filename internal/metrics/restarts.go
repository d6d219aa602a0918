package metrics

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fibership/fibership/internal/analysis"
)

// RestartsOnly is a Source that reads what the kubelet counts and asks the
// pods nothing.
type RestartsOnly struct{}

// Start begins to measure.
func (RestartsOnly) Start(ctx context.Context, list Lister) Session {
	r := restartsOnly{newRoster(list)}
	r.roster.begin(ctx)
	return r
}

type restartsOnly struct{ roster *roster }

func (r restartsOnly) Read(ctx context.Context) (analysis.Measurement, error) {
	if _, err := r.roster.read(ctx); err != nil {
		return unlisted(r.roster.measurement()), err
	}
	return r.roster.measurement(), nil
}

func (restartsOnly) Close() {}

// Restarts is the number of times that containers of the pods, init
// containers included, were restarted.
func Restarts(pods []corev1.Pod) int {
	n := 0
	for i := range pods {
		n += restarts(&pods[i])
	}
	return n
}

func restarts(pod *corev1.Pod) int {
	n := int32(0)
	for _, s := range pod.Status.InitContainerStatuses {
		n += s.RestartCount
	}
	for _, s := range pod.Status.ContainerStatuses {
		n += s.RestartCount
	}
	return int(n)
}

// roster follows the pods of a session and counts their restarts since it
// began. Pods that were there at first start at the count they had; later
// ones at zero, and what a pod counted stays when it goes.
type roster struct {
	list  Lister
	began time.Time

	mu     sync.Mutex
	known  bool // listed at least once
	pods   map[types.UID]*counted
	listed time.Time     // last
	ran    time.Duration // all pods together since it began
}

type counted struct{ first, last int }

func newRoster(list Lister) *roster {
	began := time.Now()
	return &roster{list: list, began: began, listed: began, pods: map[types.UID]*counted{}}
}

// begin lists for the first time. Where that fails, the first reading that
// succeeds takes its place.
func (r *roster) begin(ctx context.Context) []corev1.Pod {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	pods, err := r.read(ctx)
	if err != nil {
		return nil
	}
	return pods
}

func (r *roster) read(ctx context.Context) ([]corev1.Pod, error) {
	pods, err := r.list(ctx)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	for i := range pods {
		// A pod ran since it was listed before, or since it was made.
		r.ran += max(0, min(now.Sub(r.listed), now.Sub(pods[i].CreationTimestamp.Time)))
		n := restarts(&pods[i])
		seen, ok := r.pods[pods[i].UID]
		if !ok {
			seen = &counted{}
			if !r.known {
				seen.first = n
			}
			r.pods[pods[i].UID] = seen
		}
		seen.last = max(seen.last, n)
	}
	r.known, r.listed = true, now
	return pods, nil
}

// measurement has the window, and the restarts with the time of all pods.
func (r *roster) measurement() analysis.Measurement {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := analysis.Measurement{Window: time.Since(r.began), HasRestarts: len(r.pods) > 0, PodTime: r.ran}
	for _, c := range r.pods {
		m.Restarts += c.last - c.first
	}
	return m
}

// unlisted is a measurement of pods that cannot be listed now: how often they
// have restarted is not known.
func unlisted(m analysis.Measurement) analysis.Measurement {
	m.HasRestarts = false
	return m
}
