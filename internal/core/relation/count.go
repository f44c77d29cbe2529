package relation

import (
	"context"

	"kalamdb/internal/schema"
	"kalamdb/internal/sql/source"
	"kalamdb/internal/store/table"
)

// CountWithin returns the number of live rows with after < _seq <= upTo: hot ones
// are passed over without being read, cold ones are windows minus marks. Of a
// file only the versions around a bound that lies inside of it are read.
func (s *rowSource) CountWithin(ctx context.Context, after, upTo uint64) (n int64, known bool, err error) {
	if s.def.Kind == schema.Stream {
		return 0, false, nil // its rows expire unseen by any counter
	}
	r := source.Request{AfterSeq: after, UpToSeq: upTo, Order: source.BySeq, Columns: []int{}}
	windows, pruned, err := s.windows(r)
	if err != nil {
		return 0, false, err
	}
	s.tell(r, len(windows), pruned)
	defer func() {
		if closeErr := closeWindows(windows); err == nil {
			err = closeErr
		}
	}()
	for _, w := range windows {
		if err := ctx.Err(); err != nil {
			return 0, false, err
		}
		rows, err := w.count(ctx)
		if err != nil {
			return 0, false, err
		}
		n += rows
	}
	hot, err := table.NewScan(s.view.reader(), s.def, s.scope, s.options(r))
	if err != nil {
		return 0, false, err
	}
	for hot.Next(ctx) {
		n++
	}
	if err := hot.Err(); err != nil {
		_ = hot.Close() // the first error is the one to report
		return 0, false, err
	}
	return n, true, hot.Close()
}

// count returns how many rows of the window count.
func (w *windowScan) count(ctx context.Context) (int64, error) {
	from, to := w.segment.From, w.segment.To
	if w.r.AfterSeq >= w.segment.MinSeq || w.r.UpToSeq != 0 && w.r.UpToSeq < w.segment.MaxSeq {
		var err error
		if w.file, err = w.source.view.openFile(w.segment.File); err != nil {
			return 0, err
		}
		if from, to, err = w.bound(ctx); err != nil {
			return 0, err
		}
	}
	n := int64(to - from)
	_, err := table.EachMark(w.source.view.reader(), w.segment.File, from, to, func(uint64) bool {
		n--
		return true
	})
	return n, err
}
