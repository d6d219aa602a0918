package promote

import (
	"slices"
	"testing"
	"time"

	"github.com/fibership/fibership/internal/analysis"
)

func TestDecide_neverAdvancesOnLessThanItWasTold(t *testing.T) {
	t.Parallel()
	const step, limit = 10 * time.Second, 30 * time.Second
	for name, c := range map[string]struct {
		verdict analysis.Verdict
		elapsed time.Duration
		policy  Policy
		want    Decision
	}{
		"passing in the middle waits":            {analysis.Pass, 5 * time.Second, AbortInconclusive, Wait},
		"passing at the end advances":            {analysis.Pass, step, AbortInconclusive, Advance},
		"failing in the middle aborts":           {analysis.Fail, time.Second, AdvanceInconclusive, Abort},
		"failing at the end aborts":              {analysis.Fail, step, AdvanceInconclusive, Abort},
		"no data in the middle waits":            {analysis.Inconclusive, time.Second, AbortInconclusive, Wait},
		"no data at the end aborts":              {analysis.Inconclusive, step, AbortInconclusive, Abort},
		"no data at the end may advance":         {analysis.Inconclusive, step, AdvanceInconclusive, Advance},
		"no data at the end may be waited for":   {analysis.Inconclusive, step, HoldInconclusive, Wait},
		"but not for ever":                       {analysis.Inconclusive, limit, HoldInconclusive, Abort},
		"a policy that was forgotten aborts":     {analysis.Inconclusive, step, "", Abort},
		"while held, what passes then advances":  {analysis.Pass, step + time.Second, HoldInconclusive, Advance},
		"while held, what fails then is aborted": {analysis.Fail, step + time.Second, HoldInconclusive, Abort},
	} {
		if got := Decide(c.verdict, c.elapsed, step, limit, c.policy); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestParseSteps_takesRisingWeights(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		words []string
		want  []int // nil: an error
	}{
		{[]string{"10%", "50%"}, []int{10, 50}},
		{[]string{"10%", "100%"}, []int{10}},
		{[]string{"1%"}, []int{1}},
		{[]string{"50%", "10%"}, nil},
		{[]string{"10%", "10%"}, nil},
		{[]string{"0%"}, nil},
		{[]string{"101%"}, nil},
		{[]string{"10"}, nil},
		{[]string{"10%x"}, nil},
		{[]string{"10% 50%"}, nil},
		{[]string{"10% of them"}, nil},
		{[]string{"+10%"}, nil},
		{[]string{"-5%"}, nil},
		{[]string{"ten"}, nil},
	} {
		got, err := ParseSteps(c.words)
		if (err != nil) != (c.want == nil) || !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, %v; want %v", c.words, got, err, c.want)
		}
	}
}
