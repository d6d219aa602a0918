package main

import (
	"strings"
	"testing"
	"time"
)

func TestFindings_areToldAsFarAsTheyCame(t *testing.T) {
	t.Parallel()
	f := findings{machine: "here", ours: []lost{
		{name: "rolling", runs: 2, sent: 10, took: []time.Duration{time.Second}},
		{name: "canary"}, // not one run of it came to its end
	}}
	text := f.text()
	for word, want := range map[string]bool{"| rolling | 2 |": true, "canary": false, "not come to its end": true, "The judge": false, "Argo": false} {
		if strings.Contains(text, word) != want {
			t.Errorf("%q is there: %v, want %v:\n%s", word, !want, want, text)
		}
	}
	f.judges = "soundly"
	if text := f.text(); strings.Contains(text, "not come to its end") || !strings.Contains(text, "soundly") {
		t.Errorf("at the end:\n%s", text)
	}
}

func TestFindings_failWhereOneOfOurRequestsDid(t *testing.T) {
	t.Parallel()
	f := findings{ours: []lost{{name: "rolling", runs: 2, sent: 10}}, theirs: argued{lost: lost{name: "theirs", runs: 1, sent: 10, failed: 3}}}
	if err := f.failed(); err != nil {
		t.Errorf("none failed: %v", err)
	}
	f.ours = append(f.ours, lost{name: "canary", runs: 1, sent: 100, failed: 2})
	if err := f.failed(); err == nil || err.Error() != "canary: 2 of 100 requests failed" {
		t.Errorf("got %v", err)
	}
}
