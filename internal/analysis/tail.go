package analysis

import "math"

const (
	// widest is the variance up to which a distribution is worked out, number by
	// number. A wider one is normal but for its skewness, and too much work.
	widest = 10_000
	// negligible is a chance that decides nothing, however many there are of it.
	negligible = 1e-18
)

// tail is the chance that versions which are alike show as many bad requests
// of the one judged, or more, over all the tables together: the stratified
// test (Cochran–Mantel–Haenszel's), exact where that is little work. Like the
// evidence it compares table by table, so a rate that drifts for both alike
// does no harm. It is 1 where there is nothing to compare.
func tail(tables []table) float64 {
	var told []table
	var seen int64
	var mean, variance float64
	for _, t := range tables {
		if t.empty() || t.bad+t.baseBad == 0 {
			continue
		}
		m, v := t.moments()
		told, seen, mean, variance = append(told, t), seen+t.bad, mean+m, variance+v
	}
	if variance > widest {
		return normalTail(float64(seen)-mean, math.Sqrt(variance))
	}
	return exactTail(told, seen)
}

// moments are the mean and the variance of the table's distribution.
func (t table) moments() (mean, variance float64) {
	mine, bad := float64(t.all), float64(t.bad+t.baseBad)
	all := mine + float64(t.baseAll)
	mean = mine * bad / all
	return mean, mean * (1 - bad/all) * (all - mine) / (all - 1)
}

// normalTail is the chance of a number that lies so far above the mean of a
// wide distribution, or farther: half a number off, since they are whole ones,
// and more by Edgeworth's term for the skewness. That is at most one in a
// deviation, whatever the tables; the most is taken, so that the chance is
// hardly ever told smaller than it is.
func normalTail(above, deviation float64) float64 {
	z := (above - 0.5) / deviation
	density := math.Exp(-z*z/2) / math.Sqrt(2*math.Pi)
	return min(1, math.Erfc(z/math.Sqrt2)/2+density*max(0, z*z-1)/(6*deviation))
}

// exactTail is the chance of seen or more, by convolution of each table's
// hypergeometric distribution.
func exactTail(tables []table, seen int64) float64 {
	sum := []float64{1} // the distribution of what all tables so far have together
	var least int64     // what sum[0] stands for
	for _, t := range tables {
		var ps []float64
		var lo int64
		t.distribution(func(x int64, logP float64) {
			p := math.Exp(logP)
			if p < negligible {
				return
			}
			if len(ps) == 0 {
				lo = x
			}
			ps = append(ps, p)
		})
		if len(ps) == 0 { // counts so large that nothing is left of the digits
			return 1
		}
		sum, least = trimmed(convolve(sum, ps), least+lo)
	}
	var p float64
	for i := len(sum) - 1; i >= 0 && int64(i)+least >= seen; i-- { // from the small ones up
		p += sum[i]
	}
	return min(1, p)
}

// trimmed leaves out the ends that decide nothing; the first of ps stands for
// least.
func trimmed(ps []float64, least int64) ([]float64, int64) {
	for len(ps) > 1 && ps[0] < negligible {
		ps, least = ps[1:], least+1
	}
	for len(ps) > 1 && ps[len(ps)-1] < negligible {
		ps = ps[:len(ps)-1]
	}
	return ps, least
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
