package load

import (
	"math"
	"math/bits"
	"time"
)

const (
	subBits  = 7 // 128 steps per power of two: a value is known to 0.8 %
	subCount = 1 << subBits
	buckets  = (64 - subBits) * subCount
)

// Histogram counts durations in steps of at most 0.8 %; the extremes are
// exact. The zero value is empty.
type Histogram struct {
	counts   [buckets]int64
	total    int64
	max, min time.Duration
}

// Record adds one duration; a negative one counts as zero.
func (h *Histogram) Record(d time.Duration) {
	d = max(d, 0)
	if h.total == 0 || d < h.min {
		h.min = d
	}
	h.max = max(h.max, d)
	h.total++
	h.counts[bucketOf(uint64(d))]++
}

// Add adds all that o has counted.
func (h *Histogram) Add(o *Histogram) {
	if o.total == 0 {
		return
	}
	if h.total == 0 || o.min < h.min {
		h.min = o.min
	}
	h.max = max(h.max, o.max)
	h.total += o.total
	for i, n := range o.counts {
		h.counts[i] += n
	}
}

// Count is how many durations were recorded.
func (h *Histogram) Count() int64 { return h.total }

// Max is the longest one.
func (h *Histogram) Max() time.Duration { return h.max }

// Quantile returns the duration that a share q of all does not exceed; 0 when
// nothing was recorded.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := min(max(int64(math.Ceil(q*float64(h.total))), 1), h.total)
	seen := int64(0)
	for i, n := range h.counts {
		if seen += n; seen >= rank {
			return min(max(time.Duration(upperOf(i)), h.min), h.max)
		}
	}
	return h.max
}

// Result is what was recorded within so many seconds.
func (h *Histogram) Result(seconds float64) Result {
	us := func(q float64) float64 { return micros(h.Quantile(q)) }
	r := Result{
		Operations: h.total, Acked: h.total, Seconds: seconds,
		P50: us(0.50), P90: us(0.90), P99: us(0.99), P999: us(0.999), Max: micros(h.max),
	}
	if seconds > 0 {
		r.PerSecond = float64(h.total) / seconds
	}
	return r
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// bucketOf maps small values to themselves and larger ones to the step of their
// seven bits below the first.
func bucketOf(v uint64) int {
	if v < subCount {
		return int(v)
	}
	shift := bits.Len64(v) - 1 - subBits
	return min((shift+1)*subCount+int(v>>shift)-subCount, buckets-1)
}

// upperOf is the greatest value of a bucket.
func upperOf(i int) uint64 {
	if i < subCount {
		return uint64(i)
	}
	shift := i/subCount - 1
	return (uint64(subCount+i%subCount)+1)<<shift - 1
}
