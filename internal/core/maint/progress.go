package maint

import (
	"context"

	"kalamdb/internal/core/job"
)

// meter counts the steps of one job for its percentage: a row that is written
// to a file is one, a row that is moved there another. One goroutine uses it.
type meter struct{ done, total int64 }

// meterKey finds the meter in the context of a job's work.
type meterKey struct{}

// metered returns a context under which steps count, of so many in all.
func metered(ctx context.Context, total int64) context.Context {
	return context.WithValue(ctx, meterKey{}, &meter{total: total})
}

// advance says that n more steps are done. Work that nobody measures ignores it.
func advance(ctx context.Context, n int64) {
	if m, ok := ctx.Value(meterKey{}).(*meter); ok && n > 0 {
		m.done += n
		job.Progress(ctx, m.done, m.total)
	}
}

// reached says that n steps are done in all, and those that were not needed with
// them.
func reached(ctx context.Context, n int64) {
	if m, ok := ctx.Value(meterKey{}).(*meter); ok && n > m.done {
		advance(ctx, n-m.done)
	}
}

// report returns a function that takes how many bytes of all are done.
func report(ctx context.Context) func(done, total int64) {
	return func(done, total int64) { job.Progress(ctx, done, total) }
}
