package build

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/fibership/fibership/internal/gobuild"
)

// lookUpGrace is how long work waits for the registry's word on what was built
// before. A registry that is in trouble costs the compiler no more than that.
const (
	lookUpGrace = 2 * time.Second
	forever     = time.Duration(math.MaxInt64)
)

// search is the question to the registry whether there is anything to do: the
// login that all later requests need, and then the record of the inputs.
type search struct {
	keys   keys
	done   chan struct{}
	record *record
	err    error
}

// search works out the keys and begins to ask. Without a push there is nobody
// to ask; a layout needs the image's bytes, wherever the image is already.
func (b *Build) search(ctx context.Context, main gobuild.Main, on base) *search {
	s := &search{done: make(chan struct{})}
	if !b.Push {
		close(s.done)
		return s
	}
	var known sync.WaitGroup
	known.Add(1)
	go func() {
		defer close(s.done)
		s.err = b.Registry.Login(ctx, b.Repository)
		known.Wait()
		if s.err != nil || s.keys.inputs == "" {
			return
		}
		var pinned *name.Digest
		if pinned, s.err = on.digest.wait(ctx); s.err != nil {
			return
		}
		if s.keys.build, s.err = b.key(s.keys.inputs, main, pinned); s.err == nil {
			s.record, s.err = b.recall(ctx, s.keys)
		}
	}()
	// Not beside tests, which may write to the files that are hashed.
	if b.Layout == "" {
		s.keys = b.fingerprint(ctx, main)
	}
	known.Done()
	return s
}

// answer gives the record, nil where there is none or where the registry has
// not answered in time.
func (s *search) answer(ctx context.Context, within time.Duration) (*record, error) {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-s.done:
		return s.record, s.err
	case <-timer.C:
		return nil, nil //nolint:nilnil // no answer yet
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
