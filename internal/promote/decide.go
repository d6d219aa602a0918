package promote

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/fibership/fibership/internal/analysis"
)

// Policy is what too little data leads to.
type Policy string

// The policies.
const (
	AbortInconclusive   Policy = "abort"
	HoldInconclusive    Policy = "hold"
	AdvanceInconclusive Policy = "advance"
)

// Decision is what to do after a look.
type Decision int

// The decisions. What was forgotten keeps waiting and never promotes.
const (
	Wait Decision = iota
	Advance
	Abort
)

// Decide is the rule of the walk. Before the step's time is over only a
// failure ends it. At its end a pass advances, and the policy decides where
// there was too little data; hold waits until the limit and then aborts.
func Decide(v analysis.Verdict, elapsed, step, limit time.Duration, p Policy) Decision {
	switch {
	case v == analysis.Fail:
		return Abort
	case elapsed < step:
		return Wait
	case v == analysis.Pass:
		return Advance
	case p == AdvanceInconclusive:
		return Advance
	case p == HoldInconclusive && elapsed < limit:
		return Wait
	default:
		return Abort
	}
}

// ParseSteps reads weights such as 10%, 50%: rising, above 0; 100% is implied.
func ParseSteps(words []string) ([]int, error) {
	var steps []int
	for _, word := range words {
		number, percent := strings.CutSuffix(word, "%")
		n, err := strconv.ParseUint(number, 10, 8)
		if err != nil || !percent || n < 1 || n > 100 {
			return nil, fmt.Errorf("%q is no weight: a whole percentage from 1%% to 100%%", word)
		}
		if len(steps) > 0 && int(n) <= steps[len(steps)-1] {
			return nil, fmt.Errorf("%d%% comes after %d%%: weights rise from step to step", n, steps[len(steps)-1])
		}
		steps = append(steps, int(n))
	}
	if len(steps) > 0 && steps[len(steps)-1] == 100 {
		steps = steps[:len(steps)-1]
	}
	return steps, nil
}
