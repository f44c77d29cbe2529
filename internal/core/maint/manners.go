package maint

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// How maintenance behaves while statements come. Below quietRate a second it
// behaves as if there were none; from busyRate on it rests as long as it works.
// A slice is meant to keep the builder for sliceTime.
const (
	quietRate  = 20.0
	busyRate   = 500.0
	sliceTime  = time.Millisecond
	sliceLeast = 64
	rateSpan   = 20 * time.Millisecond
	restLeast  = 500 * time.Microsecond
	restMost   = 20 * time.Millisecond
	workSpan   = time.Millisecond
	workRows   = 32
)

// traffic is how many statements come in a second. All jobs share it, so that
// one that begins knows.
type traffic struct {
	statements func() int64 // how many have come so far; nil for none ever
	now        func() time.Time
	mu         sync.Mutex
	seen       int64
	looked     time.Time
	rate       float64
}

// look returns statements a second, as of the last spans of rateSpan.
func (t *traffic) look() float64 {
	if t.statements == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	span := now.Sub(t.looked)
	if !t.looked.IsZero() && span < rateSpan {
		return t.rate
	}
	seen := t.statements()
	if !t.looked.IsZero() {
		t.rate = (t.rate + float64(seen-t.seen)/span.Seconds()) / 2
	}
	t.seen, t.looked = seen, now
	return t.rate
}

// manners make one job's work give way to statements: it works in short pieces
// and rests between them, the longer the more statements come. One goroutine
// uses it.
type manners struct {
	traffic *traffic
	owed    time.Duration
	row     time.Duration // what a row of a slice takes; 0 when unknown
	begun   time.Time     // of the present piece of work
	steps   int
}

func (m *Maintainer) newManners() *manners { return &manners{traffic: &m.traffic} }

// slice is how many rows a slice should have, at most so many.
func (c *manners) slice(most int) int {
	switch {
	case c.traffic.look() < quietRate:
		return most
	case c.row == 0:
		return min(most, 4*sliceLeast)
	}
	return min(most, max(int(sliceTime/c.row), sliceLeast))
}

// applied learns what the rows of a slice take.
func (c *manners) applied(rows int, took time.Duration) {
	if rows > 0 {
		row := max(took/time.Duration(rows), 1)
		if c.row == 0 {
			c.row = row
		}
		c.row = (3*c.row + row) / 4
	}
}

// step is called for each row that is read or written, and rests after a while.
func (c *manners) step(ctx context.Context) error {
	if c.steps++; c.traffic.statements == nil || c.steps%workRows != 0 {
		return nil
	}
	now := time.Now()
	took := now.Sub(c.begun)
	if c.begun.IsZero() {
		c.begun = now
		return nil
	}
	if took < workSpan {
		return nil
	}
	runtime.Gosched() // whoever has become runnable goes first
	err := c.rest(ctx, took)
	c.begun = time.Now()
	return err
}

// rest gives the processor and the disk to statements after so much work.
func (c *manners) rest(ctx context.Context, took time.Duration) error {
	rate := c.traffic.look()
	if rate < quietRate {
		c.owed = 0
		return nil
	}
	c.owed += time.Duration(float64(took) * min(rate/busyRate, 1))
	if c.owed < restLeast {
		return nil
	}
	begin := time.Now()
	timer := time.NewTimer(min(c.owed, restMost))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	c.owed = max(c.owed-time.Since(begin), -restMost)
	return nil
}
