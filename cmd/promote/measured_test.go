package main

import (
	"strings"
	"testing"

	"github.com/fibership/fibership/internal/analysis"
	"github.com/fibership/fibership/internal/promote"
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

func TestCompared_refusesComparisonsWithNothingBeside(t *testing.T) {
	t.Parallel()
	parse := func(line string) []analysis.Check {
		c, err := parseCheck(line)
		if err != nil {
			t.Fatal(err)
		}
		return []analysis.Check{c}
	}
	limit, worse := parse("error-rate < 1%"), parse("error-rate worse-than baseline by 1%")
	for what, c := range map[string]struct {
		strategy promote.Strategy
		steps    []int
		checks   []analysis.Check
		says     string // empty: it is taken
	}{
		"rolling":                {promote.Rolling, []int{10}, worse, "under strategy: rolling nothing stands beside"},
		"blue-green":             {promote.BlueGreen, []int{10}, worse, "only one has traffic"},
		"a canary of no steps":   {promote.Canary, nil, worse, "with steps: 100% nothing stands beside"},
		"a canary":               {promote.Canary, []int{10}, worse, ""},
		"a limit, rolling":       {promote.Rolling, []int{10}, limit, ""},
		"a limit, blue-green":    {promote.BlueGreen, []int{10}, limit, ""},
		"a limit, without steps": {promote.Canary, nil, limit, ""},
	} {
		err := compared(c.strategy, c.steps, c.checks)
		if (err != nil) != (c.says != "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", what, err, c.says)
		}
	}
}
