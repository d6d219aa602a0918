package metrics

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
)

// pace is how often the server scrapes, as its samples show.
type pace struct {
	mu     sync.Mutex
	spaces []time.Duration
}

// mostSpaces bounds what is remembered: the last ones count.
const mostSpaces = 101

func (p *pace) note(space time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.spaces) == mostSpaces {
		p.spaces = p.spaces[1:]
	}
	p.spaces = append(p.spaces, space)
}

// interval is the median; 0 where nothing was seen twice.
func (p *pace) interval() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.spaces) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(p.spaces))
	return sorted[len(sorted)/2].Round(100 * time.Millisecond)
}

// leastScrapes is how many scrapes a step must see: two ends of an interval
// that lies within it.
const leastScrapes = 2

// notePace learns from the times of a target's samples, and says once where
// they are too rare to judge a step by.
func (s *Server) notePace(at []model.Time) {
	for i := 1; i < len(at); i++ {
		s.pace.note(at[i].Sub(at[i-1]))
	}
	interval := s.pace.interval()
	if need := (leastScrapes + 1) * interval; s.step > 0 && s.step < need {
		s.says.sayf("Prometheus scrapes these pods every %v: to judge by, a step must last %v, and one of %v may end without data", interval, need, s.step)
	}
}

// learnPace looks at the samples of whether the pods answered scrapes, for
// sessions that read no others.
func (s *Server) learnPace(ctx context.Context, pods []corev1.Pod) {
	if len(pods) == 0 {
		return
	}
	for _, labels := range podLabels {
		series, err := s.series(ctx, selector(pods[:min(len(pods), podsAtOnce)], labels, []string{"up"}), lookback)
		if err != nil {
			return
		}
		for _, one := range series {
			var at []model.Time
			for _, sample := range one.Values {
				at = append(at, sample.Timestamp)
			}
			s.notePace(at)
		}
		if len(series) > 0 {
			return
		}
	}
}
