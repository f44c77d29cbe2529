package relation

import (
	"bytes"
	"context"
	"slices"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/source"
	"kalamdb/internal/store/table"
)

// seqScan merges hot rows and windows by _seq, up or down. A window is opened
// when its turn comes, so those that do not overlap are read one by one.
type seqScan struct {
	source  *rowSource
	down    bool
	hot     *table.Scan
	hasHot  bool // hot stands at a row
	begun   bool
	waiting []*windowScan // not opened yet, the next one first
	active  []*windowScan // open ones
	wanted  []bool        // columns of hot rows
	rows    slab
	size    int // rows of the next batch
}

func (s *rowSource) scanSeq(r source.Request) (source.Rows, error) {
	windows, pruned, err := s.windows(r)
	if err != nil {
		return nil, err
	}
	s.tell(r, len(windows), pruned)
	hot, err := table.NewScan(s.view.reader(), s.def, s.scope, s.options(r))
	if err != nil {
		return nil, err
	}
	return &seqScan{
		source: s, down: r.Order == source.BySeqDesc, hot: hot, waiting: windows, wanted: s.wanted(r), rows: slab{width: len(s.def.Columns)},
		size: batchRows(r),
	}, nil
}

// Next returns the next batch.
func (s *seqScan) Next(ctx context.Context) (*source.Batch, error) {
	if s.hot == nil {
		return nil, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !s.begun {
		s.begun = true
		s.hasHot = s.hot.Next(ctx)
	}
	rows := s.rows.take(s.size)
	n := 0
	for n < len(rows) {
		more, err := s.take(ctx, &rows[n])
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
		n++
	}
	if err := s.hot.Err(); err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, nil
	}
	s.size = source.BatchRows
	return &source.Batch{Rows: rows[:n]}, nil
}

// take puts the next row into row.
func (s *seqScan) take(ctx context.Context, row *[]datum.Value) (bool, error) {
	w, err := s.nextWindow(ctx)
	if err != nil {
		return false, err
	}
	if s.hasHot {
		v := s.hot.Version()
		if w == nil || s.before(v.Seq, w.seqOf(w.rows[0])) {
			err := s.source.decodeColumns(&v, *row, s.wanted)
			s.hasHot = s.hot.Next(ctx)
			return true, err
		}
	}
	if w == nil {
		return false, nil
	}
	*row, w.rows[0] = w.rows[0], *row
	w.pass()
	return true, nil
}

// before reports whether a comes before b.
func (s *seqScan) before(a, b uint64) bool { return (a < b) != s.down }

// nextWindow returns the open window with the next row, having opened those
// whose first row may come before it. A window that is at its end is closed.
func (s *seqScan) nextWindow(ctx context.Context) (*windowScan, error) {
	best, err := s.bestActive(ctx)
	for err == nil && len(s.waiting) > 0 {
		next := s.waiting[0]
		if best != nil && !s.before(next.first(), best.seqOf(best.rows[0])) {
			break
		}
		if best == nil && s.hasHot && s.before(s.hot.Version().Seq, next.first()) {
			break
		}
		s.active, s.waiting = append(s.active, next), s.waiting[1:]
		best, err = s.bestActive(ctx)
	}
	return best, err
}

func (s *seqScan) bestActive(ctx context.Context) (*windowScan, error) {
	var best *windowScan
	for i := 0; i < len(s.active); {
		w := s.active[i]
		row, err := w.peek(ctx)
		if err != nil {
			return nil, err
		}
		if row == nil {
			s.active = slices.Delete(s.active, i, i+1)
			if err := w.close(); err != nil {
				return nil, err
			}
			continue
		}
		if best == nil || s.before(w.seqOf(*row), best.seqOf(best.rows[0])) {
			best = w
		}
		i++
	}
	return best, nil
}

// Close releases what the scan holds. It may be called more than once.
func (s *seqScan) Close() {
	if s.hot == nil {
		return
	}
	_ = s.hot.Close()          // a broken iterator has told its error already
	_ = closeWindows(s.active) // the same
	s.hot, s.active = nil, nil // those that wait hold nothing
	s.waiting, s.begun = nil, true
}

// anyScan delivers hot rows, then window after window.
type anyScan struct {
	source  *rowSource
	hot     *table.Part // nil when it is at its end
	windows []*windowScan
	wanted  []bool // columns of hot rows
	rows    slab
	size    int
}

func (s *rowSource) scanAny(r source.Request) (source.Rows, error) {
	windows, pruned, err := s.windows(r)
	if err != nil {
		return nil, err
	}
	s.tell(r, len(windows), pruned)
	if bounded(r) && len(windows) > 0 {
		return s.scanKey(r)
	}
	return s.scanHot(r, windows, len(windows) > 0)
}

// anyScan delivers the rows of a part, which it closes, and of windows.
func (s *rowSource) anyScan(r source.Request, hot *table.Part, windows []*windowScan) *anyScan {
	return &anyScan{source: s, hot: hot, windows: windows, wanted: s.wanted(r), rows: slab{width: len(s.def.Columns)}, size: batchRows(r)}
}

// scanHot scans hot rows and the given windows. Where rows are cold there may be
// no hot ones left, but markers of those that were moved for as long as history
// is kept: then the counter spares passing over them.
func (s *rowSource) scanHot(r source.Request, windows []*windowScan, cold bool) (source.Rows, error) {
	if cold && !r.Deleted {
		hot, err := table.HotRows(s.view.reader(), s.def, s.scope)
		if err != nil {
			return nil, err
		}
		if hot == 0 {
			return s.anyScan(r, nil, windows), nil
		}
	}
	hot, err := table.NewParts(s.view.reader(), s.def, s.scope, s.options(r)).Next()
	if err != nil {
		return nil, err
	}
	return s.anyScan(r, hot, windows), nil
}

// Next returns the next batch.
func (s *anyScan) Next(ctx context.Context) (*source.Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.hot != nil {
		if batch, err := s.nextHot(ctx); err != nil || batch != nil {
			return batch, err
		}
	}
	for len(s.windows) > 0 {
		w := s.windows[0]
		row, err := w.peek(ctx)
		if err != nil {
			return nil, err
		}
		if row != nil {
			batch := &source.Batch{Rows: w.rows}
			w.rows = nil
			return batch, nil
		}
		s.windows = s.windows[1:]
		if err := w.close(); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func (s *anyScan) nextHot(ctx context.Context) (*source.Batch, error) {
	rows, def := s.rows.take(s.size), s.source.def
	n := 0
	_, err := s.hot.Each(ctx, len(rows), func(body []byte, seq uint64, deleted bool) error {
		row := rows[n]
		n++
		if err := def.DecodeColumns(body, row, s.wanted); err != nil {
			return err
		}
		def.Stamp(row, seq, deleted)
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.size = source.BatchRows
	if n < len(rows) {
		err = s.endHot()
	}
	if n == 0 || err != nil {
		return nil, err
	}
	return &source.Batch{Rows: rows[:n]}, nil
}

// endHot closes the hot rows after the last one.
func (s *anyScan) endHot() error {
	hot := s.hot
	s.hot = nil
	return hot.Close()
}

// Stored hands the hot rows on as they are stored.
func (s *anyScan) Stored(ctx context.Context, most int, each func(body []byte, seq uint64, deleted bool) error) (n int, err error) {
	if s.hot == nil {
		return 0, ctx.Err()
	}
	n, err = s.hot.Each(ctx, most, each)
	if err == nil && n < most {
		err = s.endHot()
	}
	return n, err
}

// Close releases what the scan holds. It may be called more than once.
func (s *anyScan) Close() {
	if s.hot != nil {
		_ = s.hot.Close() // a broken iterator has told its error already
	}
	_ = closeWindows(s.windows) // the same
	s.hot, s.windows = nil, nil
}

// streamScan delivers events that have not expired, in order of _seq.
type streamScan struct {
	source *rowSource
	events *table.Scan
	bounds keyBounds
	rows   slab
	size   int
}

// scanStream scans a STREAM table. Events have no key in the store, so bounds
// of the key are looked at here, and another order than that of _seq is made
// in memory.
func (s *rowSource) scanStream(ctx context.Context, r source.Request) (source.Rows, error) {
	o := s.options(r)
	o.Low, o.High = nil, nil
	if o.Order == table.ByKey {
		o.Order = table.BySeq
	}
	events, err := table.NewScan(s.view.reader(), s.def, s.scope, o)
	if err != nil {
		return nil, err
	}
	scan := &streamScan{source: s, events: events, bounds: boundsOf(s.def, r), rows: slab{width: len(s.def.Columns)}, size: batchRows(r)}
	if r.Order != source.ByKey || len(s.def.Key) == 0 {
		return scan, nil
	}
	defer scan.Close()
	return scan.sorted(ctx)
}

// Next returns the next batch.
func (s *streamScan) Next(ctx context.Context) (*source.Batch, error) {
	if err := ctx.Err(); err != nil || s.events == nil {
		return nil, err
	}
	rows := s.rows.take(s.size)
	n := 0
	for looked := 1; n < len(rows) && s.events.Next(ctx); looked++ {
		if looked%lookEvery == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		v := s.events.Version()
		if err := s.source.decode(&v, rows[n]); err != nil {
			return nil, err
		}
		if s.bounds.contains(rows[n]) {
			n++
		}
	}
	s.size = source.BatchRows
	if n == 0 {
		return nil, s.events.Err()
	}
	return &source.Batch{Rows: rows[:n]}, nil
}

// Close releases what the scan holds. It may be called more than once.
func (s *streamScan) Close() {
	if s.events != nil {
		_ = s.events.Close() // a broken iterator has told its error already
		s.events = nil
	}
}

// sortedMost bounds the bytes of events that are sorted by key in memory.
const sortedMost = 256 << 20

// sorted reads all events and orders them by key.
func (s *streamScan) sorted(ctx context.Context) (source.Rows, error) {
	type keyed struct {
		key []byte
		row []datum.Value
	}
	var all []keyed
	size := 0
	for {
		batch, err := s.Next(ctx)
		if err != nil {
			return nil, err
		}
		if batch == nil {
			break
		}
		for _, row := range batch.Rows {
			if size += int(datum.RowSize(row)); size > sortedMost {
				return nil, fault.New(fault.LimitExceeded, "the events of %s are too many to be put in order of their key; add a condition on %s",
					s.source.def.QualifiedName(), schema.SeqName)
			}
			all = append(all, keyed{s.source.def.KeyOf(nil, row), slices.Clone(row)})
		}
	}
	slices.SortStableFunc(all, func(a, b keyed) int { return bytes.Compare(a.key, b.key) })
	rows := make([][]datum.Value, len(all))
	for i := range all {
		rows[i] = all[i].row
	}
	return &buffered{rows: rows}, nil
}
