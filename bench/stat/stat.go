// Package stat sums up what rounds have shown: medians and how sure they are.
package stat

import (
	"math"
	"math/rand/v2"
	"slices"
)

// resamples is how often Interval draws; two digits of a percentile are then
// steady.
const resamples = 4000

// Summary is the median of some values with its 95 % interval.
type Summary struct {
	Median, Low, High float64
	Count             int
}

// Of sums up values; NaN is not a value. The interval is a bootstrap of the
// median: it spans all values when there are few.
func Of(values []float64) Summary {
	clean := slices.DeleteFunc(slices.Clone(values), math.IsNaN)
	if len(clean) == 0 {
		nan := math.NaN()
		return Summary{Median: nan, Low: nan, High: nan}
	}
	low, high := interval(clean)
	return Summary{Median: Median(clean), Low: low, High: high, Count: len(clean)}
}

// Ratios divides pairwise, as the rounds were paired. What has no partner or a
// zero one is left out.
func Ratios(a, b []float64) []float64 {
	var ratios []float64
	for i := range min(len(a), len(b)) {
		if r := a[i] / b[i]; !math.IsNaN(r) && !math.IsInf(r, 0) {
			ratios = append(ratios, r)
		}
	}
	return ratios
}

// Median is the middle value, or the mean of the two; NaN without values.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// interval draws medians of resamples; the draw is the same every time.
func interval(values []float64) (low, high float64) {
	chance := rand.New(rand.NewPCG(1, uint64(len(values))))
	medians := make([]float64, resamples)
	drawn := make([]float64, len(values))
	for i := range medians {
		for j := range drawn {
			drawn[j] = values[chance.IntN(len(values))]
		}
		medians[i] = Median(drawn)
	}
	slices.Sort(medians)
	const tail = 0.025
	return medians[int(tail*resamples)], medians[int((1-tail)*resamples)-1]
}
