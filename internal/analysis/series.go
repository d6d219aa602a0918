package analysis

// Series judges checks again and again while measurements grow.
type Series struct {
	rules  Rules
	checks []Check
}

// NewSeries begins a series over checks.
func NewSeries(checks []Check, rules Rules) *Series { return &Series{rules: rules, checks: checks} }

// Look judges in the middle of a step. Both measurements are cumulative
// since the series began.
func (s *Series) Look(now Measurement, baseline *Measurement) []Result { return s.judge(now, baseline) }

// End judges at the end of a step, as written, and begins the next one.
func (s *Series) End(now Measurement, baseline *Measurement) []Result { return s.judge(now, baseline) }

func (s *Series) judge(now Measurement, baseline *Measurement) []Result {
	var results []Result
	for _, c := range s.checks {
		results = append(results, s.rules.Judge(c, now, baseline))
	}
	return results
}
