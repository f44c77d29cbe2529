package maint

import (
	"context"
	"time"

	"kalamdb/internal/command"
)

// slicesAhead is how many slices may wait for their fsync while the next one is
// applied.
const slicesAhead = 3

// belt carries the slices of one file to the commits. The next slice is proposed
// when the one before has been applied, not when it is on the disk: slices are
// applied in their order, and one behind a refused one is refused too. At most
// one waits for the builder, so a writer waits for one slice at most. One
// goroutine uses it.
type belt struct {
	m       *Maintainer
	manners *manners
	waiting []proposed
	moved   int64 // rows of slices that were answered
	flushes bool  // they count as flushed
}

// proposed is a slice that has been applied, or refused.
type proposed struct {
	steps int
	done  chan answer
}

type answer struct {
	receipt command.Receipt
	err     error
}

func (m *Maintainer) newBelt(flushes bool) *belt {
	return &belt{m: m, manners: m.newManners(), flushes: flushes}
}

// rows is how many rows the next slice should have at most.
func (b *belt) rows() int { return b.manners.slice(b.m.o.SliceRows) }

// propose commits a slice of rows behind those before it, and returns when it has
// been applied. An error is of this slice or of one before.
func (b *belt) propose(ctx context.Context, body command.Body, rows, steps int) error {
	for len(b.waiting) > 0 && len(b.waiting) >= b.m.o.SlicesAhead {
		if err := b.settle(ctx); err != nil {
			return err
		}
	}
	p := proposed{steps: steps, done: make(chan answer, 1)}
	applied := make(chan struct{})
	begin := time.Now()
	go func() {
		receipt, err := b.m.o.Committer.Commit(ctx, &command.Command{Time: b.m.o.Now().UnixMicro(), Body: body, OnApplied: func() { close(applied) }})
		p.done <- answer{receipt, err}
	}()
	select {
	case <-applied:
	case a := <-p.done: // a committer of tests may refuse it himself
		p.done <- a
	}
	took := time.Since(begin)
	b.waiting = append(b.waiting, p)
	if b.m.o.SlicesAhead <= 0 {
		if err := b.settle(ctx); err != nil {
			return err
		}
	}
	b.manners.applied(rows, took)
	return b.manners.rest(ctx, took)
}

// settle waits for the oldest slice.
func (b *belt) settle(ctx context.Context) error {
	p := b.waiting[0]
	b.waiting = b.waiting[1:]
	a := <-p.done
	if a.err != nil {
		return a.err
	}
	b.moved += a.receipt.Rows
	if b.flushes {
		b.m.stats.rows.Add(a.receipt.Rows)
	}
	advance(ctx, int64(p.steps))
	return nil
}

// end waits for all slices and returns err, or else the first error among them.
func (b *belt) end(ctx context.Context, err error) error {
	for len(b.waiting) > 0 {
		err = firstOf(err, b.settle(ctx))
	}
	return err
}
