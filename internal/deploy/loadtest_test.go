package deploy

import (
	"strings"
	"testing"
	"time"

	"github.com/fibership/fibership/internal/analysis"
)

func TestThreshold_tellsThatTheFirstLoadTestHasNothingToCompareWith(t *testing.T) {
	check, err := analysis.Parse("error-rate worse-than baseline by 1%")
	if err != nil {
		t.Fatal(err)
	}
	measured := analysis.Measurement{Window: time.Second, Requests: 1000, Errors: 100}
	first := threshold(check, measured, nil)
	if !first.Exempt || first.Verdict != analysis.Inconclusive || !strings.HasPrefix(first.Detail, "first load test of this kind: nothing to compare with") {
		t.Errorf("the first load test: %+v", first)
	}
	if err := Passed(t.Context(), []analysis.Result{first}); err != nil {
		t.Errorf("the first load test fails the release: %v", err)
	}
	for what, result := range map[string]analysis.Result{
		"one without an answer":     threshold(check, analysis.Measurement{}, nil),
		"a later one that is worse": threshold(check, measured, &analysis.Measurement{Window: time.Second, Requests: 1000}),
	} {
		if result.Exempt || Passed(t.Context(), []analysis.Result{result}) == nil {
			t.Errorf("%s passes: %+v", what, result)
		}
	}
}
