package analysis

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// growth is the width of a bucket for samples: an estimate from within one is
// at most 1 % off.
const growth = 1.01

// mostBins bounds what is kept and decoded. Samples between a nanosecond and
// ten hours fill 3,200 bins at the most; histograms have some dozens.
const mostBins = 10_000

// open marks a bin without an upper bound: Prometheus' le="+Inf".
const open = time.Duration(math.MaxInt64)

// Latencies is a distribution of durations in bounded memory. It is filled
// from samples (logarithmic bins, estimates at most 1 % off, least and most
// exact) or from Prometheus' cumulative buckets (estimates interpolated
// linearly within the bucket, as histogram_quantile does). The zero value is
// empty. Methods without a pointer never change the receiver, and what they
// return shares nothing with it.
type Latencies struct {
	bins     map[bin]int64
	count    int64
	min, max time.Duration // exact where sampled
	sampled  bool          // every value came by Add, and none was taken away
}

// bin is the half-open interval (lo, hi].
type bin struct{ lo, hi time.Duration }

// Add counts one sample. Negative ones count as zero.
func (l *Latencies) Add(d time.Duration) {
	d = min(max(0, d), open-1)
	if l.count == 0 {
		l.sampled, l.min, l.max = true, d, d
	}
	l.min, l.max = min(l.min, d), max(l.max, d)
	l.add(binOf(d), 1)
}

func (l *Latencies) add(b bin, n int64) {
	if n <= 0 {
		return
	}
	if l.bins == nil {
		l.bins = map[bin]int64{}
	}
	l.bins[b] += n
	l.count += n
}

func binOf(d time.Duration) bin {
	if d <= 0 {
		return bin{-1, 0}
	}
	n := int(math.Ceil(math.Log(float64(d)) / math.Log(growth)))
	for edge(n) < d { // the logarithm is rounded
		n++
	}
	for n > 0 && edge(n-1) >= d {
		n--
	}
	return bin{edge(n - 1), edge(n)}
}

// edge is growth^n in whole nanoseconds; edge(-1) is 0.
func edge(n int) time.Duration {
	if n < 0 {
		return 0
	}
	f := math.Floor(math.Pow(growth, float64(n)))
	if f >= float64(open) {
		return open - 1
	}
	return time.Duration(f)
}

// Bucket is one of Prometheus' histogram buckets: Count observations lasted
// at most Upper seconds (+Inf for the last one). Counts are cumulative.
type Bucket struct {
	Upper float64
	Count float64
}

// FromBuckets makes a distribution from a histogram's buckets, in any order.
// Observations below the lowest bound are taken to lie between 0 and it.
func FromBuckets(buckets []Bucket) (Latencies, error) {
	sorted := slices.Clone(buckets)
	slices.SortFunc(sorted, func(a, b Bucket) int {
		switch {
		case a.Upper < b.Upper:
			return -1
		case a.Upper > b.Upper:
			return 1
		}
		return 0
	})
	var l Latencies
	if len(sorted) > mostBins {
		return l, fmt.Errorf("%d buckets: expected at most %d", len(sorted), mostBins)
	}
	lo, below := time.Duration(0), int64(0)
	for _, b := range sorted {
		if math.IsNaN(b.Upper) || math.IsNaN(b.Count) || b.Count < 0 || b.Count > 1<<53 {
			return Latencies{}, fmt.Errorf("bucket le=%v holds %v: expected a count", b.Upper, b.Count)
		}
		count := int64(math.Round(b.Count))
		if count < below {
			return Latencies{}, fmt.Errorf("bucket le=%v holds %v, less than the bucket before: counts must be cumulative", b.Upper, b.Count)
		}
		hi := seconds(b.Upper)
		if hi <= lo {
			hi = lo + 1
		}
		l.add(bin{lo, hi}, count-below)
		lo, below = hi, count
		if hi == open {
			break
		}
	}
	return l, nil
}

func seconds(s float64) time.Duration {
	d := math.Round(s * float64(time.Second))
	if d >= float64(open) {
		return open
	}
	return time.Duration(max(0, d))
}

// Count is the number of observations.
func (l Latencies) Count() int64 { return l.count }

// Interpolated says whether values come from a histogram's wide buckets, so
// that a quantile is a guess within one of them.
func (l Latencies) Interpolated() bool {
	for b := range l.bins {
		if float64(b.hi) > float64(b.lo)*growth*growth+2 {
			return true
		}
	}
	return false
}

// Quantile estimates the duration that the share q of the observations do
// not exceed; q is 0 to 1, false without observations. In a bucket without
// upper bound the estimate is its lower one.
func (l Latencies) Quantile(q float64) (time.Duration, bool) {
	if l.count <= 0 || math.IsNaN(q) || q < 0 || q > 1 {
		return 0, false
	}
	if l.sampled && q == 0 {
		return l.min, true
	}
	if l.sampled && q == 1 {
		return l.max, true
	}
	rank, below := q*float64(l.count), 0.0
	var d time.Duration
	for _, b := range l.sorted() {
		n := float64(l.bins[b])
		d = b.at((rank - below) / n)
		if below += n; below >= rank {
			break
		}
	}
	if l.sampled {
		d = min(max(d, l.min), l.max)
	}
	return d, true
}

func (b bin) at(share float64) time.Duration {
	lo := max(0, b.lo)
	if b.hi == open {
		return lo
	}
	return lo + time.Duration(math.Round(float64(b.hi-lo)*min(1, max(0, share))))
}

func (l Latencies) sorted() []bin {
	return slices.SortedFunc(maps.Keys(l.bins), func(a, b bin) int {
		if a.hi != b.hi {
			return compare(a.hi, b.hi)
		}
		return compare(a.lo, b.lo)
	})
}

func compare(a, b time.Duration) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Merge is both together.
func (l Latencies) Merge(other Latencies) Latencies {
	if l.count == 0 {
		l, other = other, l
	}
	sum := l.clone()
	if other.count == 0 {
		return sum
	}
	sum.sampled = l.sampled && other.sampled
	sum.min, sum.max = min(l.min, other.min), max(l.max, other.max)
	for b, n := range other.bins {
		sum.add(b, n)
	}
	return sum
}

// Sub is what was observed after earlier, a former reading of l. Least and
// most of the difference are known to 1 % only.
func (l Latencies) Sub(earlier Latencies) Latencies {
	if earlier.count == 0 {
		return l.clone()
	}
	var rest Latencies
	for b, n := range l.bins {
		rest.add(b, n-earlier.bins[b])
	}
	return rest
}

func (l Latencies) clone() Latencies {
	l.bins = maps.Clone(l.bins)
	return l
}

// IsZero says that nothing was observed.
func (l Latencies) IsZero() bool { return l.count == 0 }

type latenciesJSON struct {
	Min  *time.Duration `json:"min,omitempty"`
	Max  *time.Duration `json:"max,omitempty"`
	Bins [][3]int64     `json:"bins"` // lower and upper bound in nanoseconds (-1: none), observations
}

// MarshalJSON writes the bins that are not empty, in nanoseconds.
func (l Latencies) MarshalJSON() ([]byte, error) {
	out := latenciesJSON{Bins: [][3]int64{}}
	if l.sampled {
		out.Min, out.Max = &l.min, &l.max
	}
	for _, b := range l.sorted() {
		hi := int64(b.hi)
		if b.hi == open {
			hi = -1
		}
		out.Bins = append(out.Bins, [3]int64{int64(b.lo), hi, l.bins[b]})
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads what MarshalJSON wrote and refuses what it cannot have
// written.
func (l *Latencies) UnmarshalJSON(raw []byte) error {
	var in latenciesJSON
	if err := json.Unmarshal(raw, &in); err != nil {
		return fmt.Errorf("latencies: %w", err)
	}
	if len(in.Bins) > mostBins {
		return fmt.Errorf("latencies: %d bins, expected at most %d", len(in.Bins), mostBins)
	}
	var read Latencies
	for _, b := range in.Bins {
		lo, hi := time.Duration(b[0]), time.Duration(b[1])
		if hi == -1 {
			hi = open
		}
		if lo < -1 || hi <= lo || b[2] <= 0 || b[2] > 1<<53 || read.count > 1<<53 {
			return fmt.Errorf("latencies: no such bin: %v", b)
		}
		read.add(bin{lo, hi}, b[2])
	}
	if (in.Min == nil) != (in.Max == nil) {
		return errors.New("latencies: least without most")
	}
	if in.Min != nil && read.count > 0 {
		if *in.Min < 0 || *in.Max < *in.Min {
			return errors.New("latencies: least is more than most")
		}
		read.sampled, read.min, read.max = true, *in.Min, *in.Max
	}
	*l = read
	return nil
}
