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
	why       error           // of stop
	timed     context.Context // made by the first Done
	cancel    context.CancelFunc
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

func (c *deadline) end() { c.stop(nil) }

// cause is what stop was given, or nil.
func (c *deadline) cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.why
}

// stop ends the context for a cause, and reports whether it had not ended.
func (c *deadline) stop(why error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancelled {
		return false
	}
	c.cancelled, c.why = true, why
	if c.cancel != nil {
		c.cancel()
	}
	return true
}
