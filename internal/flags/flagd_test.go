package flags

import (
	"fmt"
	"testing"

	"github.com/open-feature/flagd/core/pkg/evaluator"
	"github.com/open-feature/flagd/core/pkg/logger"
	"github.com/open-feature/flagd/core/pkg/store"
	"github.com/open-feature/flagd/core/pkg/sync"
	"go.uber.org/zap"
)

// The tests here are not parallel: flagd keeps its operators for the whole
// process.

// askers is how many keys are asked for.
const askers = 3000

// answers asks flagd for new-checkout: who has it, by key; "" is one without a key.
func answers(t *testing.T, f *File, more map[string]any) map[string]bool {
	t.Helper()
	log := logger.NewLogger(zap.NewNop(), false)
	flagd := evaluator.NewJSON(log, store.NewFlags())
	if _, _, err := flagd.SetState(sync.DataSync{FlagData: f.JSON(), Source: "test"}); err != nil {
		t.Fatal(err)
	}
	has := map[string]bool{}
	for n := range askers + 1 {
		asking := map[string]any{}
		key := ""
		if n > 0 {
			key = fmt.Sprintf("customer-%d", n)
			asking["targetingKey"] = key
		}
		for name, value := range more {
			asking[name] = value
		}
		value, _, _, _, err := flagd.ResolveBooleanValue(t.Context(), "", "new-checkout", asking)
		if err != nil {
			t.Fatalf("%q: %v\n%s", key, err, f.JSON())
		}
		if value {
			has[key] = true
		}
	}
	return has
}

func TestOpen_neverTakesAFlagFromWhoHasIt(t *testing.T) {
	for name, content := range map[string]string{
		"without rules":         text(""),
		"the other way about":   text(`, "targeting": {"fractional": [["off", 90], ["on", 10]]}`),
		"bucketed by something": text(`, "targeting": {"fractional": [{"cat": [{"var": "$flagd.flagKey"}, {"var": "targetingKey"}]}, ["off", 1], ["on", 1]]}`),
		"among other rules":     text(`, "targeting": {"if": [{"==": [{"var": "plan"}, "free"]}, {"fractional": [["off"], ["on"]]}, "off"]}`),
	} {
		f := parse(t, content)
		var before map[string]bool
		for _, percent := range []int{0, 1, 5, 25, 50, 99, 100} {
			opened, err := f.Open("new-checkout", "on", percent)
			if err != nil {
				t.Fatal(err)
			}
			has := answers(t, opened, map[string]any{"plan": "free"})
			for key := range before {
				if !has[key] {
					t.Fatalf("%s: %s had it before it was opened to %d%%", name, key, percent)
				}
			}
			share := 100 * float64(len(has)) / (askers + 1)
			exact := percent == 0 || percent == 100
			if exact && share != float64(percent) || share < float64(percent)-3 || share > float64(percent)+3 {
				t.Errorf("%s: opened to %d%%, %.2f%% have it", name, percent, share)
			}
			before = has
		}
	}
}

func TestOpen_leavesOtherRulesAlone(t *testing.T) {
	f := parse(t, text(`, "targeting": {"if": [{"==": [{"var": "plan"}, "free"]}, {"fractional": [["off"], ["on"]]}, "off"]}`))
	opened, err := f.Open("new-checkout", "on", 100)
	if err != nil {
		t.Fatal(err)
	}
	if has := answers(t, opened, map[string]any{"plan": "gold"}); len(has) > 0 {
		t.Errorf("%d have it who are kept from it by another rule", len(has))
	}
}
