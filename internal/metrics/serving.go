package metrics

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"github.com/fibership/fibership/internal/analysis"
)

// Serving is the source with the requests of those pods alone for which serves
// is true: what no request is sent to, a worker for example, has no port to be
// asked at, and is no worse for it. Restarts, and queries, are of all pods.
func Serving(source Source, serves func(*corev1.Pod) bool) Source {
	if q, ok := source.(queried); ok {
		q.Source = Serving(q.Source, serves)
		return q
	}
	return narrowed{source, serves}
}

type narrowed struct {
	source Source
	serves func(*corev1.Pod) bool
}

func (n narrowed) Start(ctx context.Context, list Lister) Session {
	all := newRoster(list)
	return &narrowedSession{all: all, Session: n.source.Start(ctx, func(ctx context.Context) ([]corev1.Pod, error) {
		pods, err := all.read(ctx)
		var serving []corev1.Pod
		for i := range pods {
			if n.serves(&pods[i]) {
				serving = append(serving, pods[i])
			}
		}
		return serving, err
	})}
}

type narrowedSession struct {
	Session
	all *roster
}

// Step begins a step.
func (s *narrowedSession) Step() {
	if stepper, ok := s.Session.(Stepper); ok {
		stepper.Step()
	}
}

func (s *narrowedSession) Read(ctx context.Context) (analysis.Measurement, error) {
	m, err := s.Session.Read(ctx)
	listed := err == nil || m.HasRestarts
	all := s.all.measurement()
	m.Restarts, m.PodTime, m.HasRestarts = all.Restarts, all.PodTime, all.HasRestarts && listed
	return m, err
}
