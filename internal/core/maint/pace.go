package maint

import (
	"context"
	"math"

	"golang.org/x/time/rate"
)

// paceStep is how many bytes of rows are written between two looks at the pace,
// and paceBurst how many may come at once after a rest.
const (
	paceStep  = 64 << 10
	paceBurst = 4 << 20
)

// defaultPace is how many bytes of rows are written to cold files in a second
// where nothing else is said.
const defaultPace = 64 << 20

// newPace returns what holds all flushes and compactions back together; nil for
// no bound.
func newPace(bytesPerSecond int64) *rate.Limiter {
	if bytesPerSecond < 0 || bytesPerSecond == math.MaxInt64 {
		return nil
	}
	if bytesPerSecond == 0 {
		bytesPerSecond = defaultPace
	}
	return rate.NewLimiter(rate.Limit(bytesPerSecond), int(min(max(bytesPerSecond, paceStep), paceBurst)))
}

// stride counts the bytes of rows that one goroutine writes to a file, and waits
// when there were too many, so that statements get the disk and the processor
// in between.
type stride struct {
	limiter *rate.Limiter
	manners *manners
	bytes   int
}

func (m *Maintainer) newStride() stride { return stride{limiter: m.pace, manners: m.newManners()} }

func (s *stride) took(ctx context.Context, n int) error {
	if err := s.manners.step(ctx); err != nil || s.limiter == nil {
		return err
	}
	for s.bytes += n; s.bytes >= paceStep; s.bytes -= paceStep {
		if err := s.limiter.WaitN(ctx, paceStep); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return err // a deadline that the wait would pass
		}
	}
	return nil
}
