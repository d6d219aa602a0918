package deploy

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/fibership/fibership/internal/progress"
	"github.com/fibership/fibership/internal/release"
)

func TestWentBack_isOnlyWhatWasMadeMeanwhile(t *testing.T) {
	t.Parallel()
	good := func(n, restored int) release.Record {
		return release.Record{Revision: n, Status: release.Succeeded, Restored: restored}
	}
	before := release.History{good(6, 0), good(5, 0), good(4, 0)}
	for name, c := range map[string]struct {
		before, now release.History
		want        bool
	}{
		"nothing happened":                   {before, before, false},
		"somebody restored the previous one": {before, append(release.History{good(7, 5)}, before...), true},
		"somebody was about to":              {append(release.History{{Revision: 7, Status: release.Underway, Restored: 5}}, before...), append(release.History{good(7, 5)}, before...), true},
		"somebody restored an older one":     {before, append(release.History{good(7, 4)}, before...), false},
		"somebody deployed":                  {before, append(release.History{good(7, 0)}, before...), false},
		"it was restored before we came":     {append(release.History{good(7, 5)}, before...), append(release.History{good(7, 5)}, before...), false},
		"there was none before":              {release.History{good(1, 0)}, release.History{good(2, 1), good(1, 0)}, false},
	} {
		s := &Session{Target: Target{Log: progress.Discard}, History: c.now}
		if got := s.wentBack(c.before); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}

type away struct{}

func (away) Platforms(ctx context.Context, _ name.Digest) ([]v1.Platform, error) {
	<-ctx.Done() // no answer, ever
	return nil, ctx.Err()
}

func TestHurried_waitsForNoRegistry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		image := "ghcr.io/acme/orders@sha256:0123456789012345678901234567890123456789012345678901234567890123"
		platforms, err := CheckImage(t.Context(), hurried{away{}}, image, progress.Discard)
		if took := time.Since(began); err != nil || platforms != nil || took != hurry {
			t.Errorf("after %v: %v, %v", took, platforms, err)
		}
	})
}
