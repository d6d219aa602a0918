package analysis

// Series judges checks again and again while measurements grow, step by step.
// Not safe for concurrent use.
type Series struct {
	rules    Rules
	lines    []*line
	began    pair // the step
	abreast  pair // from where on, in the step, the two are compared
	newest   pair // the reading judged last
	compared pair // the newest reading that is part of the comparisons' evidence
	unasked  bool // the version has had no request since Start
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

// Start begins the comparisons of the first step at a reading: when the version
// has its share of traffic. What its baseline did while it was yet to come up
// is of no moment at which the two could be compared, nor is that time one in
// which requests could come. Limits and restarts count from the beginning: how
// it starts is the version's own.
func (s *Series) Start(now Measurement, baseline *Measurement) {
	s.newest, s.unasked = s.at(now, baseline), true
	s.abreast = pair{withRestarts(s.newest.now, s.began.now), withRestarts(s.newest.base, s.began.base)}
	s.compared = s.abreast
}

// withRestarts is a reading after which all is counted but restarts: these are
// from an earlier one on.
func withRestarts(m, earlier Measurement) Measurement {
	m.Restarts, m.PodTime = earlier.Restarts, earlier.PodTime
	return m
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
	s.began, s.abreast = s.newest, s.newest
	for _, l := range s.lines {
		l.evidence.step()
	}
}

func (s *Series) judge(now Measurement, baseline *Measurement, ended bool) []Result {
	at := s.at(now, baseline)
	s.newest = at
	s.await(at)
	step, abreast, fresh := at.since(s.began), at.since(s.abreast), at.since(s.compared)
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
		over := step
		if l.check.Baseline || l.check.Metric == Rate {
			over = abreast
		}
		results = append(results, l.judge(s.rules, over, baseline != nil, ended))
	}
	return results
}

// await moves the start of the comparisons on until the version has had its
// first request: gateways are late to act on a weight, and what the baseline
// does until then compares with nothing.
func (s *Series) await(at pair) {
	s.unasked = s.unasked && at.now.Requests <= s.compared.now.Requests
	if s.unasked {
		s.abreast.base = withRestarts(at.base, s.abreast.base)
		s.compared.base = withRestarts(at.base, s.compared.base)
	}
}

// Unmeasured judges where requests cannot be measured: restarts against their
// limits, as far as they were counted. All else is Inconclusive, and why.
func (s *Series) Unmeasured(now Measurement, why string) []Result {
	var results []Result
	for _, l := range s.lines {
		if l.check.Metric == Restarts && !l.check.Baseline && now.HasRestarts {
			results = append(results, l.judge(s.rules, pair{now: now.Sub(s.began.now)}, false, true))
			continue
		}
		results = append(results, Result{Check: l.check.Text, Detail: why})
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
