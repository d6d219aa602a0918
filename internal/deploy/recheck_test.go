package deploy

import (
	"errors"
	"testing"

	"github.com/fibership/fibership/internal/release"
)

func TestLasting_comparesWithNoLoadTestThatDidNotPass(t *testing.T) {
	then, now := &release.Load{Text: "then"}, &release.Load{Text: "now"}
	for what, c := range map[string]struct {
		load *release.Load
		err  error
		want *release.Load
	}{
		"passed":              {now, nil, now},
		"passed without load": {nil, nil, then},
		"failed":              {now, errors.New("too slow\nby far"), then},
	} {
		got := lasting(release.Record{Load: then}, release.Record{Load: c.load, Recheck: rechecked("", c.err)})
		if got.Load != c.want || got.Relapsed() != (c.err != nil) {
			t.Errorf("%s: load test %q, relapsed %v", what, got.Load.Text, got.Relapsed())
		}
		if c.err != nil && got.Recheck.Failure != "too slow" {
			t.Errorf("%s: failure %q", what, got.Recheck.Failure)
		}
	}
}
