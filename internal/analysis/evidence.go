package analysis

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

// table is two versions' requests, sorted into bad ones (failed, or slow) and
// the rest.
type table struct {
	bad, all         int64 // of the version judged
	baseBad, baseAll int64
}

// mostCounted bounds the work on a table whose counts a pod may have made up.
const mostCounted = 1_000_000

// shrunk scales a table down that is too large to sum over; with that many
// requests the rounding decides nothing.
func (t table) shrunk() table {
	t.bad, t.baseBad = min(max(0, t.bad), t.all), min(max(0, t.baseBad), t.baseAll)
	by := max(t.bad, t.baseBad)/mostCounted + 1
	return table{t.bad / by, (t.all + by - 1) / by, t.baseBad / by, (t.baseAll + by - 1) / by}
}

func (t table) empty() bool { return t.all <= 0 || t.baseAll <= 0 }

// distribution calls visit with every number of bad requests that the version
// could have had, given how many both had together, and the logarithm of its
// probability if the two are alike: Fisher's hypergeometric distribution.
func (t table) distribution(visit func(x int64, logP float64)) {
	bad, all := t.bad+t.baseBad, t.all+t.baseAll
	lo, hi := max(0, bad-t.baseAll), min(bad, t.all)
	logP := logChoose(t.all, lo) + logChoose(t.baseAll, bad-lo) - logChoose(all, bad)
	for x := lo; x <= hi; x++ {
		visit(x, logP)
		logP += math.Log(float64(t.all-x)) + math.Log(float64(bad-x)) -
			math.Log(float64(x+1)) - math.Log(float64(t.baseAll-bad+x+1))
	}
}

func logChoose(n, k int64) float64 {
	lg := func(x int64) float64 {
		v, _ := math.Lgamma(float64(x) + 1)
		return v
	}
	return lg(n) - lg(k) - lg(n-k)
}

// fisher is the chance that a version as good as the baseline looks this bad
// or worse: Fisher's exact test, one-sided.
func fisher(t table) float64 {
	if t.empty() {
		return 1
	}
	t = t.shrunk()
	var p float64
	t.distribution(func(x int64, logP float64) {
		if x >= t.bad {
			p += math.Exp(logP)
		}
	})
	return min(1, p)
}

// overLimit is the chance of at least bad in all, each bad with probability
// limit: the exact binomial test, one-sided.
func overLimit(bad, all int64, limit float64) float64 {
	switch {
	case bad <= 0 || all <= 0 || limit >= 1:
		return 1
	case limit <= 0:
		return 0
	}
	bad = min(bad, all)
	return mathext.RegIncBeta(float64(bad), float64(all-bad)+1, limit)
}

// odds are the alternatives that evidence bets on: how many times the odds of
// a bad request are raised. Spread evenly, they serve a bad version under much
// traffic as well as a broken one under little.
var odds = [...]float64{2, 4, 8, 16}

// evidence is a bet against "as good as allowed" that may be looked at after
// every interval. Each interval multiplies the stake placed on each of the
// odds by its likelihood ratio; while the version is as good as allowed, the
// whole stake is a martingale that starts at 1 at most, so the chance that it
// ever reaches 1/α is at most α, however often one looks and whenever one
// stops (Ville's inequality). Given the margins of an interval's table the
// ratio is exact, and a rate that drifts for both versions alike does no
// harm, since intervals are compared one by one.
//
// A part of the stake is kept back for every later step: what comes up late is
// bet on without the losses of the good time before. The zero value has staked
// nothing.
//
// A bet that may be called off at any time wins slowly. So half of α is kept
// for the ends of steps: there one test of all intervals together speaks once,
// with its full power.
type evidence struct {
	stakes []stake
	tables []table // every interval's
	ended  bool    // this step's end had its say
	tail   bool    // and found the version worse
}

// stake is the logarithm of what became of it, for each of the odds.
type stake [len(odds)]float64

// step places the stake for a new step: 4/5 for the first, of the rest 1/2,
// 1/6, 1/12 …, never more than 1 together. Most that is bad is so at once.
func (e *evidence) step() {
	share := 0.8
	if n := float64(len(e.stakes)); n > 0 {
		share = 0.2 / (n * (n + 1))
	}
	var s stake
	for i := range s {
		s[i] = math.Log(share / float64(len(odds)))
	}
	e.stakes = append(e.stakes, s)
	e.ended, e.tail = false, false
}

// end gives the end of the step its say: once, also where the step is
// prolonged. Of alpha each of the steps has an equal share; where nobody knows
// how many there will be, 1/2, 1/6, 1/12 …
func (e *evidence) end(alpha float64, steps int) {
	if e.ended {
		return
	}
	e.ended = true
	n := float64(len(e.stakes))
	share := 1 / (n * (n + 1))
	if steps > 0 {
		share = 1 / float64(steps)
		if len(e.stakes) > steps {
			share = 0
		}
	}
	e.tail = share > 0 && tail(e.tables) <= alpha/2*share
}

// compare takes an interval's table.
func (e *evidence) compare(t table) {
	if t.empty() {
		return
	}
	t = t.shrunk()
	e.tables = append(e.tables, t)
	var sums [len(odds)]logSum
	t.distribution(func(x int64, logP float64) {
		for i, ratio := range odds {
			sums[i].add(logP + float64(x)*math.Log(ratio))
		}
	})
	for i, ratio := range odds {
		e.win(i, float64(t.bad)*math.Log(ratio)-sums[i].log())
	}
}

func (e *evidence) win(i int, log float64) {
	for n := range e.stakes {
		e.stakes[n][i] += log
	}
}

// limit takes a count of bad requests where the share limit is allowed.
func (e *evidence) limit(bad, all int64, limit float64) {
	if all <= 0 || limit >= 1 {
		return
	}
	for i, ratio := range odds {
		switch {
		case limit > 0:
			e.win(i, float64(bad)*math.Log(ratio)-float64(all)*math.Log1p(limit*(ratio-1)))
		case bad > 0:
			e.win(i, math.Inf(1)) // what may never happen did
		}
	}
}

// worse says whether the evidence of the comparisons is strong enough for alpha.
func (e *evidence) worse(alpha float64) bool { return e.tail || e.sound(alpha/2) }

// sound says whether the stakes alone have won enough for alpha.
func (e *evidence) sound(alpha float64) bool {
	var sum logSum
	for _, s := range e.stakes {
		for _, l := range s {
			sum.add(l)
		}
	}
	return sum.log() >= -math.Log(alpha)
}

// logSum adds up numbers that are given as logarithms.
type logSum struct {
	top, rest float64 // sum = exp(top)·rest
	any       bool
}

func (s *logSum) add(l float64) {
	switch {
	case math.IsInf(l, -1):
	case !s.any:
		s.top, s.rest, s.any = l, 1, true
	case math.IsInf(s.top, 1):
	case l > s.top:
		s.rest = s.rest*math.Exp(s.top-l) + 1
		s.top = l
	default:
		s.rest += math.Exp(l - s.top)
	}
}

func (s *logSum) log() float64 {
	if !s.any {
		return math.Inf(-1)
	}
	return s.top + math.Log(s.rest)
}
