package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fibership/fibership/internal/promote"
)

// aborted is a canary that went bad at 50 %.
func aborted() []promote.Sample {
	var all []promote.Sample
	for i := range 30 {
		s := promote.Sample{
			At: time.Duration(i) * 2 * time.Second, Step: "canary at 10%", Weight: 11.1,
			Fresh: promote.Reading{Requests: 20, P95: 12 * time.Millisecond},
			Live:  promote.Reading{Requests: 180, Errors: int64(i % 3), P95: 11 * time.Millisecond},
		}
		if i >= 20 {
			s.Step, s.Weight = "canary at 50%", 50
			s.Fresh = promote.Reading{Requests: 100, Errors: int64(i-20) * 3, P95: 40 * time.Millisecond}
			s.Live.Requests = 100
		}
		all = append(all, s)
	}
	return all
}

func TestPicture_drawsWeightAndErrorRates(t *testing.T) {
	t.Parallel()
	got := picture(aborted())
	const golden = "testdata/picture.md"
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestPicture_leavesOutWhatWasNotThere(t *testing.T) {
	t.Parallel()
	if got := picture(nil); got != "" {
		t.Errorf("without a look: %q", got)
	}
	once := picture([]promote.Sample{{Step: "canary at 50%", Weight: 50, Fresh: promote.Reading{Requests: 15, Errors: 7}, Live: promote.Reading{Requests: 20}}})
	if strings.Contains(once, "xychart") || !strings.Contains(once, "15 requests, 46.67 % failed | 20 requests, 0.00 % failed") {
		t.Errorf("a single look is told as\n%s", once)
	}
	alone := picture([]promote.Sample{
		{Step: "watch", Weight: 100, Fresh: promote.Reading{Requests: 10}},
		{At: time.Second, Step: "watch", Weight: 100, Fresh: promote.Reading{Requests: 10}},
	})
	if strings.Contains(alone, "Green") || strings.Count(alone, "line [") != 1 {
		t.Errorf("a live version is drawn that was not there:\n%s", alone)
	}
}
