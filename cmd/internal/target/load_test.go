package target

import (
	"strings"
	"testing"
	"time"

	"github.com/fibership/fibership/internal/release"
)

// tested is a load test of 100 requests that took from unit to 100 units.
func tested(unit time.Duration) *release.Load {
	l := &release.Load{Text: "rate=10 duration=10s", Statuses: map[int]int64{200: 97, 0: 3}, Problems: map[string]int64{"refused | <b>": 3}}
	l.Window, l.Requests, l.Errors = 10*time.Second, 100, 3
	for i := range 100 {
		l.Latency.Add(time.Duration(i+1) * unit)
	}
	return l
}

func TestLoad_drawsWhatItIsComparedWith(t *testing.T) {
	now := tested(time.Millisecond)
	now.Against = 3
	text := Load(*now, release.History{{Revision: 4}, {Revision: 3, Status: release.Succeeded, Load: tested(2 * time.Millisecond)}})
	for _, want := range []string{
		"| this release | 100 | 3 | 10.0/s | 50", "| release 3 | 100 | 3 | 10.0/s | 101ms", "```mermaid\nxychart-beta\n",
		`y-axis "ms" 0 --> 200.00`, "    line [", "| 200 | 97 |", `refused \| &lt;b&gt; | 3 |`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
	now.Against = 0
	if text := Load(*now, nil); strings.Contains(text, "line [") || !strings.Contains(text, "bar [") {
		t.Errorf("a first load test:\n%s", text)
	}
	if text := Load(release.Load{}, nil); text != "" {
		t.Errorf("a load test without an answer: %q", text)
	}
}
