package core

import (
	"context"
	"sync"
	"time"
)

// deadline is a context that ends at a time, as context.WithTimeout makes one,
// but starts a timer only when somebody waits for its end: a statement that
// looks at Err between batches costs none.
type deadline struct {
	context.Context
	at time.Time

	mu        sync.Mutex
	cancelled bool
	timed     context.Context // made by the first Done
	cancel    context.CancelFunc
}

// withDeadline returns a context that ends after d, with its parent, or when
// the returned function is called.
func withDeadline(parent context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	c := &deadline{Context: parent, at: time.Now().Add(d)}
	return c, c.end
}

// Deadline implements context.Context.
func (c *deadline) Deadline() (time.Time, bool) {
	if at, ok := c.Context.Deadline(); ok && at.Before(c.at) {
		return at, true
	}
	return c.at, true
}

// Done implements context.Context.
func (c *deadline) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timed == nil {
		c.timed, c.cancel = context.WithDeadline(c.Context, c.at)
		if c.cancelled {
			c.cancel()
		}
	}
	return c.timed.Done()
}

// Err implements context.Context.
func (c *deadline) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.timed != nil:
		return c.timed.Err()
	case c.cancelled:
		return context.Canceled
	}
	if err := c.Context.Err(); err != nil {
		return err
	}
	if !time.Now().Before(c.at) {
		return context.DeadlineExceeded
	}
	return nil
}

func (c *deadline) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancelled = true
	if c.cancel != nil {
		c.cancel()
	}
}
