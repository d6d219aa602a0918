package promote

import (
	"strings"
	"testing"

	"github.com/fibership/fibership/internal/deploy"
	"github.com/fibership/fibership/internal/release"
)

func image(n string) string { return "ghcr.io/acme/orders@sha256:" + strings.Repeat(n, 64) }

func TestPassed_isWhatIsLiveAndNothingElse(t *testing.T) {
	t.Parallel()
	from := deploy.Target{Service: "orders", Environment: "staging"}
	good1 := release.Record{Revision: 1, Status: release.Succeeded, Image: image("1")}
	good2 := release.Record{Revision: 2, Status: release.Succeeded, Image: image("2")}
	bad3 := release.Record{Revision: 3, Status: release.RolledBack, Base: 2, TookBack: true, Image: image("3"), Failure: "it crashed"}
	kept3 := release.Record{Revision: 3, Status: release.Failed, Image: image("3"), Failure: "it crashed"}
	under3 := release.Record{Revision: 3, Status: release.Underway, Step: deploy.StepApply, Image: image("3")}
	for name, c := range map[string]struct {
		h     release.History
		image string
		want  int    // 0: refused
		says  string // the refusal
	}{
		"what is live":                         {release.History{good2, good1}, "", 2, ""},
		"what is live, by digest":              {release.History{good2, good1}, image("2"), 2, ""},
		"by digest in another repository":      {release.History{good2, good1}, strings.Replace(image("2"), "ghcr.io/acme", "mirror.test/x", 1), 2, ""},
		"a failed one after it was taken back": {release.History{bad3, good2}, "", 2, ""},
		"nothing yet":                          {nil, "", 0, "ever released"},
		"what passed once":                     {release.History{good2, good1}, image("1"), 0, "release 2 with"},
		"what failed":                          {release.History{bad3, good2}, image("3"), 0, "did not pass"},
		"what failed and was kept":             {release.History{kept3, good2}, "", 0, "failed"},
		"what was never there":                 {release.History{good2}, image("9"), 0, "never released"},
		"while it is changing":                 {release.History{under3, good2}, "", 0, "under way"},
	} {
		got, err := passed(c.h, from, c.image)
		switch {
		case c.want > 0 && (err != nil || got.Revision != c.want):
			t.Errorf("%s: release %d, %v; want %d", name, got.Revision, err, c.want)
		case c.want == 0 && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: %v, want a refusal with %q", name, err, c.says)
		}
	}
}
