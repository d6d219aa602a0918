package metrics

import (
	"io"
	"net/http"
	"testing"
)

func TestCount_isWhatEachPodTellsByNow(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.run("a", tells(7, 3))
	p.run("fresh", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "go_goroutines 9\n") })
	count := func() (Counts, error) {
		pods, err := p.list(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return Count(t.Context(), p, 3000, "/metrics", Names{}, pods)
	}
	first, err := count()
	if err != nil || first.Total() != 10 || len(first) != 2 {
		t.Fatalf("%v, %v; want 10 requests of two pods, one of which has told none yet", first, err)
	}
	p.run("a", tells(20, 5))
	p.run("b", tells(4, 0))
	second, err := count()
	if err != nil {
		t.Fatal(err)
	}
	if since := second.Since(first); since != 19 && since != 29 { // a new process of a counts from zero
		t.Errorf("%v requests since, want 15 more of a, or 25 of its new process, and 4 of b", since)
	}
	p.run("b", status(http.StatusServiceUnavailable))
	if _, err := count(); err == nil {
		t.Error("a pod that cannot be asked has no count, and nobody was told")
	}
}

func TestSince_takesAProcessThatBeganAnewFromZero(t *testing.T) {
	t.Parallel()
	if since := (Counts{"a": 5, "b": 12, "new": 2}).Since(Counts{"a": 100, "b": 10, "gone": 50}); since != 9 {
		t.Errorf("%v requests, want 5 of a, 2 of b and 2 of the new one", since)
	}
}
