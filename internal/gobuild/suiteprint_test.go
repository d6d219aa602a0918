package gobuild

import (
	"os"
	"testing"

	"github.com/fibership/fibership/internal/progress"
)

func TestSuiteFingerprint_countsWhatTestsSee(t *testing.T) {
	dir := repository(t, map[string]string{"go.mod": "module m\n\ngo 1.24\n"})
	with := func(environ ...string) string {
		t.Helper()
		toolchain := New(Source{Workspace: dir, Dir: dir, Package: "."}, append(os.Environ(), environ...), progress.Discard)
		sum, err := toolchain.SuiteFingerprint(t.Context(), Suite{})
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	before := with()
	for _, variable := range []string{"TZ=Asia/Tokyo", "LC_ALL=tr_TR", "GODEBUG=http2client=0", "HTTPS_PROXY=http://proxy", "CC=other", "CI=somewhere"} {
		if with(variable) == before {
			t.Errorf("%s does not count", variable)
		}
	}
	for _, variable := range []string{"TMPDIR=/elsewhere", "USER=somebody", "GITHUB_RUN_ID=2"} {
		if with(variable) != before {
			t.Errorf("%s counts", variable)
		}
	}
}
