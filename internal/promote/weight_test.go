package promote

import (
	"math/rand/v2"
	"testing"
)

// A gateway that sends the old share for a while, and then the new one.
func TestEvidence_waitsForTheGatewayToMove(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ before, weight, rate, late int }{
		{0, 10, 100, 0}, {0, 10, 100, 20}, {10, 50, 100, 20}, {50, 90, 20, 5}, {0, 100, 5, 20}, {0, 1, 200, 20}, {20, 50, 20, 0},
	} {
		chance := rand.New(rand.NewPCG(1, uint64(c.before*100+c.weight)))
		early, far := 0, 0
		const runs = 500
		for range runs {
			e := newEvidence(c.before, c.weight)
			second := 0
			for ; !e.holds() && second < 60; second++ {
				share := float64(c.before) / 100
				if second >= c.late {
					share = float64(c.weight) / 100
				}
				beside := 0.0
				for range c.rate {
					if chance.Float64() < share {
						beside++
					}
				}
				e.add(float64(c.rate)-beside, beside)
			}
			if second < c.late {
				early++
			}
			if second > c.late+15 {
				far++
			}
		}
		if early*50 > runs || far*50 > runs {
			t.Errorf("%+v: of %d runs %d were early, %d late by more than 15 s", c, runs, early, far)
		}
	}
}

func TestEvidence_isNoneWithoutRequests(t *testing.T) {
	t.Parallel()
	e := newEvidence(0, 50)
	for range 60 {
		e.add(0, 0)
	}
	if e.holds() || e.all != 0 {
		t.Errorf("no request showed the weight: %v", e)
	}
}

func TestEvidence_isNotAnotherWeightThanWasAskedFor(t *testing.T) {
	t.Parallel()
	e := newEvidence(0, 10)
	for range 30 {
		e.add(50, 50) // the gateway ignores the weights and takes turns
	}
	if e.holds() {
		t.Errorf("%v shows 10%%", e)
	}
}
