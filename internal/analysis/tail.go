package analysis

import "math"

// mostConvolved bounds the work on a tail. Where more requests are bad than
// that, the evidence has spoken long before.
const mostConvolved = 20_000

// tail is the chance that versions which are alike show as many bad requests
// of the one judged, or more, over all the tables together: the exact
// stratified test (Cochran–Mantel–Haenszel's, by convolution of each table's
// hypergeometric distribution). Like the evidence it compares table by table,
// so a rate that drifts for both alike does no harm. It is 1 where there is
// nothing to compare, or too much.
func tail(tables []table) float64 {
	var seen, all int64
	for _, t := range tables {
		all += t.bad + t.baseBad
	}
	if all == 0 || all > mostConvolved {
		return 1
	}
	sum := []float64{1} // the distribution of what both had together, so far
	var least int64     // what sum[0] stands for
	for _, t := range tables {
		if t.empty() || t.bad+t.baseBad == 0 {
			continue
		}
		seen += t.bad
		var ps []float64
		lo := int64(-1)
		t.distribution(func(x int64, logP float64) {
			if lo < 0 {
				lo = x
			}
			ps = append(ps, math.Exp(logP))
		})
		least += lo
		sum = convolve(sum, ps)
	}
	var p float64
	for i := len(sum) - 1; i >= 0 && int64(i)+least >= seen; i-- { // from the small ones up
		p += sum[i]
	}
	return min(1, p)
}

func convolve(a, b []float64) []float64 {
	out := make([]float64, len(a)+len(b)-1)
	for i, p := range a {
		if p == 0 {
			continue
		}
		for j, q := range b {
			out[i+j] += p * q
		}
	}
	return out
}
