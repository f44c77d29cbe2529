package maint

import (
	"testing"
	"time"
)

// TestManners shows the rows of slices while more and more statements come.
func TestManners(t *testing.T) {
	now, statements := time.Unix(1, 0), int64(0)
	c := manners{traffic: &traffic{statements: func() int64 { return statements }, now: func() time.Time { return now }}}
	expect := func(want int) {
		t.Helper()
		if got := c.slice(2048); got != want {
			t.Errorf("a slice has %d rows, want %d", got, want)
		}
	}
	come := func(n int64) {
		for range 20 {
			now = now.Add(rateSpan)
			statements += n
			c.traffic.look()
		}
	}
	expect(2048)
	come(10)
	expect(4 * sliceLeast) // nobody knows yet what a row takes
	c.applied(1000, 10*time.Millisecond)
	expect(100)
	for range 50 {
		c.applied(1000, time.Second)
	}
	expect(sliceLeast)
	for range 50 {
		c.applied(1000, time.Millisecond)
	}
	if got := c.slice(2048); got < 500 || got > 1000 {
		t.Errorf("a slice has %d rows of a microsecond", got)
	}
	if got := c.slice(10); got != 10 {
		t.Errorf("a slice has %d rows of 10", got)
	}
	come(0)
	expect(2048)
}
