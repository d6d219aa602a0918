package release_test

import (
	"testing"

	"github.com/fibership/fibership/internal/release"
)

func TestAway_isWhenAllTrafficIsOnWhatStandsBeside(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		steered *release.Steered
		want    bool
	}{
		"nothing steered":    {nil, false},
		"a service held":     {&release.Steered{Services: []release.Pinned{{Name: "web", Hash: "a"}}}, false},
		"a service switched": {&release.Steered{Services: []release.Pinned{{Name: "web", Hash: "a", Beside: true}}}, true},
		"a route half-way":   {&release.Steered{Services: []release.Pinned{{Name: "web", Hash: "a"}}, Route: &release.Route{Weight: 50}}, false},
		"a route switched":   {&release.Steered{Services: []release.Pinned{{Name: "web", Hash: "a"}}, Route: &release.Route{Weight: 100}}, true},
	} {
		if got := c.steered.Away(); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
