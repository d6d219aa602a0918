package rollout

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/fibership/fibership/internal/cluster"
	"github.com/fibership/fibership/internal/release"
)

// polled is one object of a kind that is not known, read once in a while:
// such objects are few, and a read costs less than to learn a kind's watch.
type polled struct {
	mu   sync.Mutex
	read bool
	u    *unstructured.Unstructured
	err  error
}

func (p *polled) run(ctx context.Context, c *cluster.Client, o release.Object, poke func()) {
	for pause := 250 * time.Millisecond; ctx.Err() == nil; pause = min(2*pause, 2*time.Second) {
		u, err := c.Get(ctx, o)
		var unknown *cluster.UnknownKindError
		final := apierrors.IsForbidden(err) || errors.As(err, &unknown)
		p.mu.Lock()
		if err == nil {
			p.u, p.read, p.err = u, true, nil
		} else if final {
			p.read, p.err = true, fmt.Errorf("%s cannot be read: %w", o, err)
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

func (p *polled) get() *unstructured.Unstructured {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.u
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
