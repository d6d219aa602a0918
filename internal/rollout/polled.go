package rollout

import (
	"context"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/release"
)

// polled is the objects of one kind that is not known, read once in a while,
// all together: such objects are few, and a read costs less than to learn a
// kind's watch.
type polled struct {
	objects []release.Object

	mu    sync.Mutex
	read  bool
	items map[string]*unstructured.Unstructured // by release.Object.Key
	err   error
}

func (p *polled) run(ctx context.Context, c *cluster.Client, poke func()) {
	for pause := 250 * time.Millisecond; ctx.Err() == nil; pause = min(2*pause, 2*time.Second) {
		items, _, err := c.Find(ctx, p.objects)
		final := apierrors.IsForbidden(err)
		p.mu.Lock()
		if err == nil {
			p.items, p.read, p.err = items, true, nil
		} else if final {
			p.read, p.err = true, fmt.Errorf("%s cannot be read: %w", p.objects[0], err)
		}
		p.mu.Unlock()
		poke()
		if final {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

func (p *polled) get(o release.Object) *unstructured.Unstructured {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.items[o.Key()]
}

func (p *polled) ready() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.read
}

func (p *polled) refused() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}
