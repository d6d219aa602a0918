package metrics

import (
	"context"
	"errors"
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/fibership/fibership/internal/progress"
)

// Counts is how many requests each pod has counted since it began.
type Counts map[types.UID]float64

// Total is all of them.
func (c Counts) Total() float64 {
	sum := 0.0
	for _, n := range c {
		sum += n
	}
	return sum
}

// Since is how many came after before: a pod that is new, or began anew, counts
// from zero.
func (c Counts) Since(before Counts) float64 {
	sum := 0.0
	for pod, n := range c {
		if was := before[pod]; n >= was {
			n -= was
		}
		sum += n
	}
	return sum
}

// Count is how many requests each pod says have reached it, by the metrics
// that Pods reads; one that tells none of them counts as 0, since many tell a
// metric only once it has counted something. Pods that do not run are left out.
// The error names those that cannot be asked: then nobody can say how many
// there were.
func Count(ctx context.Context, to Reacher, port int, path string, names Names, pods []corev1.Pod) (Counts, error) {
	s := &scraping{scraper: scraper{to, port, path, names, progress.Discard}, says: &once{log: progress.Discard}}
	var (
		work   sync.WaitGroup
		mu     sync.Mutex
		errs   []error
		counts = Counts{}
		slots  = make(chan struct{}, atOnce)
	)
	for i := range pods {
		pod := &pods[i]
		if pod.Status.Phase != corev1.PodRunning || pod.DeletionTimestamp != nil {
			continue
		}
		slots <- struct{}{}
		work.Go(func() {
			defer func() { <-slots }()
			told, err := s.fetch(ctx, pod)
			mu.Lock()
			defer mu.Unlock()
			if err != nil && !errors.Is(err, errNone) {
				errs = append(errs, fmt.Errorf("pod %s: %w", pod.Name, err))
				return
			}
			counts[pod.UID] = told.requests
		})
	}
	work.Wait()
	return counts, errors.Join(errs...)
}
