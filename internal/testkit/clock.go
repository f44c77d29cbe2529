package testkit

import (
	"sync"
	"time"
)

// Clock is a clock that stands still until a test turns it.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock at 2026-05-04 10:00 UTC.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)} }

// Now returns what the clock shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance turns the clock forward.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
