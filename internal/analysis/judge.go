package analysis

// Rules bound how readily a judge speaks. The zero value takes the defaults.
type Rules struct {
	// Least is the number of requests below which no check on requests passes,
	// whatever it asks; 20 by default. A check may need more: see [Judge].
	Least int64
	// Alpha is the chance that a comparison condemns a version that is as good
	// as the baseline, or a limit one that keeps it: 0.002 by default, so that
	// a release with five checks is aborted wrongly in at most 1 % of cases.
	// In a Series it holds for all looks together.
	Alpha float64
}

// Judge looks once, with the default rules.
func Judge(c Check, now Measurement, baseline *Measurement) Result {
	return Rules{}.Judge(c, now, baseline)
}

// Judge looks once.
func (r Rules) Judge(c Check, now Measurement, _ *Measurement) Result {
	return Result{Check: c.Text, Samples: now.Requests, Detail: "nothing was measured"}
}
