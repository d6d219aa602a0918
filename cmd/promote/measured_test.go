package main

import (
	"strings"
	"testing"
)

func TestParseCheck_doesNotCompareWhatFollowsFromTheWeight(t *testing.T) {
	t.Parallel()
	for line, says := range map[string]string{
		"rate worse-than baseline by 10%":      "follows from its weight",
		"rate worse-than baseline by 10/s":     "follows from its weight",
		"rate > 10/s":                          "",
		"error-rate worse-than baseline by 1%": "",
		"restarts worse-than baseline by 1":    "",
		"speed < 1":                            "speed",
	} {
		_, err := parseCheck(line)
		if (err != nil) != (says != "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", line, err, says)
		}
	}
}
