package stat_test

import (
	"math"
	"slices"
	"testing"

	"kalamdb/bench/stat"
)

func TestMedian(t *testing.T) {
	f := func(values []float64, want float64) {
		t.Helper()
		before := slices.Clone(values)
		if got := stat.Median(values); got != want {
			t.Errorf("median of %v is %g, want %g", values, got, want)
		}
		if !slices.Equal(values, before) {
			t.Errorf("%v became %v", before, values)
		}
	}
	f([]float64{3}, 3)
	f([]float64{9, 1}, 5)
	f([]float64{9, 1, 2}, 2)
	f([]float64{4, 1, 3, 2}, 2.5)
	if got := stat.Median(nil); !math.IsNaN(got) {
		t.Errorf("median of nothing is %g", got)
	}
}

func TestInterval(t *testing.T) {
	s := stat.Of([]float64{10, 11, 12, 13, 50})
	if s.Median != 12 || s.Low != 10 || s.High != 50 || s.Count != 5 {
		t.Errorf("five values: %+v; few values are spanned as a whole", s)
	}
	var many []float64
	for i := range 201 {
		many = append(many, float64(i))
	}
	s = stat.Of(many)
	// The 95 % interval of the median of 201 even values is about 100 +- 14.
	if s.Median != 100 || s.Low < 78 || s.Low > 95 || s.High < 105 || s.High > 122 {
		t.Errorf("many values: %+v", s)
	}
	if again := stat.Of(many); again != s {
		t.Errorf("the same values give %+v and %+v", s, again)
	}
	if s := stat.Of([]float64{math.NaN(), 4}); s.Median != 4 || s.Low != 4 || s.High != 4 || s.Count != 1 {
		t.Errorf("NaN is no value: %+v", s)
	}
	if s := stat.Of(nil); !math.IsNaN(s.Median) || s.Count != 0 {
		t.Errorf("nothing: %+v", s)
	}
}

func TestRatios(t *testing.T) {
	got := stat.Ratios([]float64{6, 1, 0, 8, 5}, []float64{2, 0, 0, 4})
	if want := []float64{3, 2}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
