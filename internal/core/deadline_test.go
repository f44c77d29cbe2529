package core

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// withDeadline returns a context that ends after d, with its parent, or when
// the returned function is called.
func withDeadline(parent context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	c := &deadline{Context: parent, at: time.Now().Add(d)}
	return c, c.end
}

// TestDeadline holds the context of a statement against context.WithTimeout:
// whether somebody waits for its end or only looks, it ends the same way.
func TestDeadline(t *testing.T) {
	stop := errors.New("cancelled by the parent")
	cases := []struct {
		name string
		end  func(cancelParent context.CancelCauseFunc, cancel context.CancelFunc)
		want error
	}{
		{"time", func(context.CancelCauseFunc, context.CancelFunc) { time.Sleep(time.Minute) }, context.DeadlineExceeded},
		{"cancel", func(_ context.CancelCauseFunc, cancel context.CancelFunc) { cancel() }, context.Canceled},
		{"parent", func(parent context.CancelCauseFunc, _ context.CancelFunc) { parent(stop) }, context.Canceled},
	}
	for _, c := range cases {
		for _, waits := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				parent, cancelParent := context.WithCancelCause(context.Background())
				defer cancelParent(nil)
				ctx, cancel := withDeadline(parent, time.Minute)
				defer cancel()
				if at, ok := ctx.Deadline(); !ok || time.Until(at) != time.Minute {
					t.Errorf("%s: deadline %s, %t", c.name, at, ok)
				}
				var done <-chan struct{}
				if waits {
					done = ctx.Done()
				}
				if err := ctx.Err(); err != nil {
					t.Errorf("%s: %v before the end", c.name, err)
				}
				c.end(cancelParent, cancel)
				synctest.Wait()
				if err := ctx.Err(); !errors.Is(err, c.want) {
					t.Errorf("%s, waits %t: %v, want %v", c.name, waits, err, c.want)
				}
				if done == nil {
					done = ctx.Done()
				}
				<-done
				if err := ctx.Err(); !errors.Is(err, c.want) {
					t.Errorf("%s, waits %t: %v behind the end, want %v", c.name, waits, err, c.want)
				}
			})
		}
	}
}
