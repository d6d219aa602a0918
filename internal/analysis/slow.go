package analysis

import (
	"math"
	"slices"
	"time"
)

// Above is the number of observations that surely exceeded d: those in the
// bucket that holds d do not count.
func (l Latencies) Above(d time.Duration) int64 {
	var n int64
	for b, count := range l.bins {
		if b.lo >= d {
			n += count
		}
	}
	return n
}

// slower sorts the requests of both into slow ones and the rest, cutting
// where as close to the share q as the buckets allow of both together is fast.
// If the versions are alike, each request is as likely as any other to be
// among the slow: a rank test, with the weight where the check looks (for
// q = ½ it is Mood's median test). A cut inside of a bucket of either side is
// none, so histograms with other buckets are compared at the bounds they
// share. Empty where there is no cut.
func slower(now, base Latencies, q float64) table {
	if now.count == 0 || base.count == 0 {
		return table{}
	}
	all := float64(now.count + base.count)
	a, b := newCutter(now), newCutter(base)
	best, found := table{}, math.Inf(1)
	for _, cut := range slices.Sorted(slices.Values(slices.Concat(a.bounds(), b.bounds()))) {
		slow, ok := a.above(cut)
		baseSlow, baseOK := b.above(cut)
		if !ok || !baseOK || slow+baseSlow == 0 {
			continue
		}
		if off := math.Abs(float64(slow+baseSlow)/all - (1 - q)); off < found {
			found = off
			best = table{slow, now.count, baseSlow, base.count}
		}
	}
	return best
}

// cutter answers how many observations lie above ascending cuts.
type cutter struct {
	bins   []bin
	counts []int64
	lowest []time.Duration // the least lower bound among this bin and all after it
	next   int
	left   int64
}

func newCutter(l Latencies) *cutter {
	c := &cutter{bins: l.sorted(), left: l.count}
	c.counts = make([]int64, len(c.bins))
	c.lowest = make([]time.Duration, len(c.bins))
	least := open
	for i, b := range slices.Backward(c.bins) {
		least = min(least, b.lo)
		c.counts[i], c.lowest[i] = l.bins[b], least
	}
	return c
}

func (c *cutter) bounds() []time.Duration {
	var out []time.Duration
	for _, b := range c.bins {
		out = append(out, b.hi)
	}
	return out
}

// above is false where the cut goes through a bucket.
func (c *cutter) above(cut time.Duration) (int64, bool) {
	for c.next < len(c.bins) && c.bins[c.next].hi <= cut {
		c.left -= c.counts[c.next]
		c.next++
	}
	return c.left, c.next == len(c.bins) || c.lowest[c.next] >= cut
}
