package duck

import (
	"context"
	"sync/atomic"

	"kalamdb/internal/fault"
)

// gate lets a number of statements run and a number wait; more are refused.
type gate struct {
	running chan struct{} // holds one for each that runs
	closed  chan struct{} // closed when none may enter any more
	waiting atomic.Int64
	most    int64 // of those that wait
}

func (g *gate) enter(ctx context.Context) error {
	select {
	case <-g.closed:
		return errClosed()
	default:
	}
	select {
	case g.running <- struct{}{}:
		return nil
	default:
	}
	defer g.waiting.Add(-1)
	if g.waiting.Add(1) > g.most {
		return fault.New(fault.ServerBusy, "too many analytic statements are waiting; try again later")
	}
	select {
	case g.running <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-g.closed:
		return errClosed()
	}
}

func (g *gate) leave() { <-g.running }

func errClosed() error {
	return fault.New(fault.ShuttingDown, "the server is shutting down")
}
