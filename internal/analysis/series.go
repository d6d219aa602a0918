package analysis

// Series judges checks again and again while measurements grow, step by step.
// Not safe for concurrent use.
type Series struct {
	rules    Rules
	lines    []*line
	began    pair // the step
	newest   pair // the reading judged last
	compared pair // the newest reading that is part of the comparisons' evidence
}

// pair is the measurement of a version and of its baseline.
type pair struct{ now, base Measurement }

// line is one check with the evidence, from all intervals of all steps, that
// the version is worse than its baseline.
type line struct {
	check    Check
	evidence evidence
}

// apiece is the number of requests of each version that make an interval.
// Finer ones would waste evidence: an interval with requests of one version
// only compares nothing. How many there were says nothing of how they went,
// so the choice does not harm the bound.
const apiece = 5

// NewSeries begins a series over checks, and its first step.
func NewSeries(checks []Check, rules Rules) *Series {
	s := &Series{rules: rules}
	comparisons := 0
	for _, c := range checks {
		if c.Baseline {
			comparisons++
		}
		l := &line{check: c}
		l.evidence.step()
		s.lines = append(s.lines, l)
	}
	s.rules.Alpha = rules.alpha() / float64(max(1, comparisons)) // shared out: together they keep it
	return s
}

// Look judges in the middle of a step, as often as one likes. Both
// measurements are cumulative since the series began; baseline is nil where
// there is none. What was measured since the step began is what must keep the
// limit, or be worse; whether a difference is sound rests on all steps.
//
// Fail is final: a limit that is passed only by chance, so far, is
// Inconclusive. A rate below its limit never fails before the end.
func (s *Series) Look(now Measurement, baseline *Measurement) []Result {
	return s.judge(now, baseline, false)
}

// End judges at the end of a step: limits as written, as [Rules.Judge] does.
// Where the step is prolonged it may be called again.
func (s *Series) End(now Measurement, baseline *Measurement) []Result {
	return s.judge(now, baseline, true)
}

// Next begins the next step at the reading judged last.
func (s *Series) Next() {
	s.began = s.newest
	for _, l := range s.lines {
		l.evidence.step()
	}
}

func (s *Series) judge(now Measurement, baseline *Measurement, ended bool) []Result {
	at := s.at(now, baseline)
	s.newest = at
	step, fresh := at.since(s.began), at.since(s.compared)
	closes := ended || fresh.now.Requests >= apiece && fresh.base.Requests >= apiece
	if closes {
		s.compared = at
	}
	var results []Result
	for _, l := range s.lines {
		if closes && l.check.Baseline {
			l.evidence.compare(l.check.table(fresh.now, fresh.base))
		}
		if ended {
			l.evidence.end(s.rules.alpha(), s.rules.Steps)
		}
		results = append(results, l.judge(s.rules, step, baseline != nil, ended))
	}
	return results
}

// at is the newest reading of both, kept apart from what the caller goes on
// counting with. A baseline that is not there has not moved since it was.
func (s *Series) at(now Measurement, baseline *Measurement) pair {
	at := pair{now, s.newest.base}
	if baseline != nil {
		at.base = *baseline
		at.base.Latency = at.base.Latency.clone()
	}
	at.now.Latency = at.now.Latency.clone()
	return at
}

func (p pair) since(earlier pair) pair {
	return pair{p.now.Sub(earlier.now), p.base.Sub(earlier.base)}
}

func (l *line) judge(rules Rules, step pair, hasBaseline, ended bool) Result {
	if l.check.Baseline {
		base := &step.base
		if !hasBaseline {
			base = nil
		}
		return rules.compare(l.check, step.now, base, func(table) bool { return l.evidence.worse(rules.alpha()) }, ended)
	}
	return rules.limit(l.check, step.now, func(bad, all int64, share float64) bool {
		var against evidence // a limit stays the same, so the sum of the step's intervals says all
		against.step()
		against.limit(bad, all, share)
		return against.sound(rules.alpha())
	}, ended)
}
