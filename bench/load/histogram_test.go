package load

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestQuantiles compares with sorted values: never below, at most 0.8 % above.
func TestQuantiles(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 2))
	for _, count := range []int{1, 2, 3, 10, 999, 20_000} {
		var h, left, right Histogram
		values := make([]time.Duration, count)
		for i := range values {
			values[i] = time.Duration(1) << chance.IntN(40)
			values[i] += time.Duration(chance.Int64N(int64(values[i])))
			h.Record(values[i])
			[]*Histogram{&left, &right}[i%2].Record(values[i])
		}
		slices.Sort(values)
		left.Add(&right)
		for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999, 1} {
			rank := max(int(q*float64(count)+0.999999), 1)
			want := values[rank-1]
			got := h.Quantile(q)
			if got < want || float64(got) > float64(want)*1.008 {
				t.Errorf("%d values, quantile %g: %d, want %d to 0.8 %% above", count, q, got, want)
			}
			if sum := left.Quantile(q); sum != got {
				t.Errorf("%d values, quantile %g: %d of the sum of two, %d of all", count, q, sum, got)
			}
		}
		if h.Max() != values[count-1] || h.Count() != int64(count) {
			t.Errorf("%d values up to %d: counted %d up to %d", count, values[count-1], h.Count(), h.Max())
		}
	}
}

func TestEmptyHistogram(t *testing.T) {
	var h, other Histogram
	h.Add(&other)
	if h.Quantile(0.5) != 0 || h.Max() != 0 || h.Count() != 0 {
		t.Errorf("an empty histogram has %s, %s, %d", h.Quantile(0.5), h.Max(), h.Count())
	}
	if r := h.Result(0); r.PerSecond != 0 {
		t.Errorf("nothing in no time is %g per second", r.PerSecond)
	}
	h.Record(-time.Second)
	if h.Quantile(1) != 0 || h.Count() != 1 {
		t.Errorf("a negative duration counts as %s", h.Quantile(1))
	}
}

// TestBuckets walks over all borders: each bucket ends where the next begins.
func TestBuckets(t *testing.T) {
	for i := range buckets - 1 {
		upper := upperOf(i)
		if bucketOf(upper) != i || bucketOf(upper+1) != i+1 {
			t.Fatalf("bucket %d ends at %d, which is in %d; the next value is in %d", i, upper, bucketOf(upper), bucketOf(upper+1))
		}
	}
}
