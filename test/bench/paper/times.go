package paper

import (
	"fmt"
	"slices"
	"time"
)

// Median of times; 0 of none.
func Median(times []time.Duration) time.Duration {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Spread is the median with the least and the most: "2.09 s (2.02 to 3.11)".
func Spread(times []time.Duration) string {
	return fmt.Sprintf("%.2f s (%.2f to %.2f)", Median(times).Seconds(), slices.Min(times).Seconds(), slices.Max(times).Seconds())
}

// Ratio is that of the medians.
func Ratio(ours, theirs []time.Duration) float64 {
	return Median(ours).Seconds() / Median(theirs).Seconds()
}
