package promote

import (
	"testing"

	"github.com/fibership/fibership/internal/analysis"
)

func TestTrace_tellsWhatIsNewSinceTheLookBefore(t *testing.T) {
	t.Parallel()
	var tr trace
	tr.look("canary at 10%", 10, analysis.Measurement{Requests: 10, Errors: 1}, &analysis.Measurement{Requests: 90})
	tr.look("canary at 10%", 10, analysis.Measurement{Requests: 30, Errors: 11}, &analysis.Measurement{Requests: 270, Errors: 9})
	tr.look("watch", 100, analysis.Measurement{Requests: 5}, nil) // counted anew
	for i, want := range []Sample{
		{Step: "canary at 10%", Weight: 10, Fresh: Reading{Requests: 10, Errors: 1}, Live: Reading{Requests: 90}},
		{Step: "canary at 10%", Weight: 10, Fresh: Reading{Requests: 20, Errors: 10}, Live: Reading{Requests: 180, Errors: 9}},
		{Step: "watch", Weight: 100, Fresh: Reading{Requests: 5}},
	} {
		got := tr.samples[i]
		got.At = 0
		if got != want {
			t.Errorf("look %d: %+v, want %+v", i, got, want)
		}
	}
}

func TestTrace_losesNoRequestWhenItIsThinned(t *testing.T) {
	t.Parallel()
	var tr trace
	const looks = 3*mostSamples + 1
	for i := range int64(looks) {
		tr.look("watch", 100, analysis.Measurement{Requests: i + 1, Errors: i / 2}, nil)
	}
	if len(tr.samples) > mostSamples {
		t.Errorf("%d samples are kept, at most %d", len(tr.samples), mostSamples)
	}
	var all Reading
	for _, s := range tr.samples {
		all = sum(all, s.Fresh)
	}
	if all.Requests != looks || all.Errors != (looks-1)/2 {
		t.Errorf("%+v in all, want %d requests and %d errors", all, looks, (looks-1)/2)
	}
}
