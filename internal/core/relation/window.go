package relation

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sort"

	"kalamdb/internal/cold"
	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/source"
	"kalamdb/internal/store/table"
)

// windowRows is how many rows of a window are read at a time.
const windowRows = 256

// windowScan delivers the rows of one window that count: those without a mark,
// inside the bounds, in order of _seq, up or down.
type windowScan struct {
	source  *rowSource
	r       source.Request
	segment schema.Segment
	columns []int // wanted positions, _seq and what the bounds need included
	seq     int   // position of _seq
	bounds  keyBounds

	file *cold.Reader // nil before the first row is asked for
	scan *cold.Scan   // when going up, of the present stretch
	mark *table.MarkScan
	// stretches are the parts of the window that may hold wanted rows and whose
	// turn is still to come, the next one first.
	stretches []cold.Stretch
	at        cold.Stretch // going down: what is left of the present stretch

	slab slab
	rows [][]datum.Value // of the present piece, in the order of delivery
	done bool
}

// windows returns scans of the windows that may hold rows of a request, in the
// order in which their first rows come, and how many others there are.
func (s *rowSource) windows(r source.Request) (scans []*windowScan, pruned int, err error) {
	segments, err := table.Segments(s.view.reader(), s.def.ID, s.scope)
	if err != nil {
		return nil, 0, err
	}
	bounds := boundsOf(s.def, r)
	columns := s.windowColumns(r)
	for i := range segments {
		segment := &segments[i]
		if segment.From >= segment.To {
			continue
		}
		may, err := s.may(segment, r)
		if err != nil {
			return nil, 0, err
		}
		if !may {
			pruned++
			continue
		}
		scans = append(scans, &windowScan{
			source: s, r: r, segment: *segment, columns: columns, seq: s.def.Column(schema.SeqName), bounds: bounds,
			slab: slab{width: len(s.def.Columns)},
		})
	}
	slices.SortFunc(scans, func(a, b *windowScan) int {
		switch x, y := a.first(), b.first(); {
		case x == y:
			return 0
		case (x < y) == (r.Order != source.BySeqDesc):
			return -1
		}
		return 1
	})
	return scans, pruned, nil
}

// tell counts segments that a scan looks into, and those that it need not.
func (s *rowSource) tell(r source.Request, read, pruned int) {
	s.view.relations.stats.segments.Add(int64(read))
	s.view.relations.stats.pruned.Add(int64(pruned))
	r.Tally.AddSegments(read, pruned)
}

// may reports whether a window may hold wanted rows, as far as can be told
// without opening its file.
func (s *rowSource) may(segment *schema.Segment, r source.Request) (bool, error) {
	if segment.MaxSeq <= r.AfterSeq || r.UpToSeq != 0 && segment.MinSeq > r.UpToSeq {
		return false, nil
	}
	if low, high := keyRange(r); len(segment.MaxKey) > 0 && bytes.Compare(segment.MaxKey, low) < 0 ||
		high != nil && len(segment.MinKey) > 0 && bytes.Compare(segment.MinKey, high) >= 0 {
		return false, nil
	}
	return s.view.mayHold(s.def, segment.File, segment.SchemaVersion, r.Where)
}

// mayHold reports whether a file may hold rows that meet conditions. version is
// that of the table when it was written.
func (v *View) mayHold(def *schema.Table, number uint64, version uint32, where []schema.Condition) (bool, error) {
	if len(where) == 0 {
		return true, nil
	}
	f, ok, err := table.File(v.reader(), number)
	if err != nil || !ok {
		return true, err // who opens it says what is missing
	}
	return v.relations.o.Cold.May(&f, def, version, where), nil
}

// windowColumns are the positions that windows are read for.
func (s *rowSource) windowColumns(r source.Request) []int {
	if r.Columns == nil {
		return nil
	}
	columns := append(slices.Clone(r.Columns), s.def.Column(schema.SeqName))
	if len(r.Low.Values) > 0 || len(r.High.Values) > 0 {
		columns = append(columns, s.def.KeyPositions()...)
	}
	slices.Sort(columns)
	return slices.Compact(columns)
}

// first is a bound of the _seq of the row that comes first.
func (w *windowScan) first() uint64 {
	if w.r.Order == source.BySeqDesc {
		return w.segment.MaxSeq
	}
	return w.segment.MinSeq
}

// down reports whether rows come from the newest to the oldest.
func (w *windowScan) down() bool { return w.r.Order == source.BySeqDesc }

// peek returns the next row without passing it, nil at the end. The row may be
// swapped for another of its length before pass is called.
func (w *windowScan) peek(ctx context.Context) (*[]datum.Value, error) {
	for len(w.rows) == 0 && !w.done {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := w.fill(ctx); err != nil {
			return nil, err
		}
	}
	if len(w.rows) == 0 {
		return nil, nil
	}
	return &w.rows[0], nil
}

// pass moves behind the row of peek.
func (w *windowScan) pass() { w.rows = w.rows[1:] }

// open begins to read: at the first row above AfterSeq, or at the last one up
// to UpToSeq.
func (w *windowScan) open(ctx context.Context) error {
	file, err := w.source.view.openFile(w.segment.File)
	if err != nil {
		return err
	}
	w.file = file
	if w.mark, err = table.NewMarkScan(w.source.view.reader(), w.segment.File); err != nil {
		return err
	}
	from, to, err := w.bound(ctx)
	if err != nil {
		return err
	}
	var some, all int
	if w.stretches, some, all, err = file.Stretches(w.source.def, w.r.Where, from, to); err != nil {
		return err
	}
	w.r.Tally.AddGroups(some, all-some)
	if w.down() {
		slices.Reverse(w.stretches)
	}
	return nil
}

// bound returns the rows of the window within the bounds of _seq.
func (w *windowScan) bound(ctx context.Context) (from, to uint64, err error) {
	from, to = w.segment.From, w.segment.To
	if w.r.AfterSeq >= w.segment.MinSeq {
		if from, err = w.search(ctx, from, to, w.r.AfterSeq); err != nil {
			return 0, 0, err
		}
	}
	if w.r.UpToSeq != 0 && w.r.UpToSeq < w.segment.MaxSeq {
		to, err = w.search(ctx, from, to, w.r.UpToSeq)
	}
	return from, to, err
}

// search returns the first row of [from, to) above a seq: rows of a file ascend.
func (w *windowScan) search(ctx context.Context, from, to, seq uint64) (uint64, error) {
	var failed error
	row := [][]datum.Value{make([]datum.Value, len(w.source.def.Columns))}
	n := sort.Search(int(to-from), func(i int) bool {
		if failed != nil {
			return true
		}
		failed = w.file.Fetch(ctx, w.source.def, []int{w.seq}, []uint64{from + uint64(i)}, row)
		return failed != nil || uint64(row[0][w.seq].Int()) > seq
	})
	return from + uint64(n), failed
}

// fill reads the next piece.
func (w *windowScan) fill(ctx context.Context) error {
	if w.file == nil {
		if err := w.open(ctx); err != nil {
			return err
		}
	}
	rows := w.slab.take(windowRows)
	for {
		first, n, err := w.read(ctx, rows)
		if err != nil {
			return err
		}
		if n > 0 {
			return w.keep(first, rows[:n])
		}
		if len(w.stretches) == 0 {
			w.done = true
			return nil
		}
		if err := w.enter(w.stretches[0]); err != nil {
			return err
		}
		w.stretches = w.stretches[1:]
	}
}

// enter begins with the next stretch.
func (w *windowScan) enter(s cold.Stretch) (err error) {
	if w.down() {
		w.at = s
		return nil
	}
	if w.scan != nil {
		w.scan.Close()
	}
	w.scan, err = w.file.Scan(w.source.def, w.columns, s.From, s.To)
	return err
}

// read reads the next piece of the present stretch, 0 rows at its end.
func (w *windowScan) read(ctx context.Context, rows [][]datum.Value) (first uint64, n int, err error) {
	switch {
	case w.down():
		return w.readDown(ctx, rows)
	case w.scan == nil:
		return 0, 0, nil
	}
	return w.scan.Next(ctx, rows)
}

// readDown reads the piece before the last one.
func (w *windowScan) readDown(ctx context.Context, rows [][]datum.Value) (first uint64, n int, err error) {
	n = int(min(uint64(len(rows)), w.at.To-w.at.From))
	if n == 0 {
		return 0, 0, nil
	}
	w.at.To -= uint64(n)
	numbers := make([]uint64, n)
	for i := range numbers {
		numbers[i] = w.at.To + uint64(i)
	}
	return w.at.To, n, w.file.Fetch(ctx, w.source.def, w.columns, numbers, rows)
}

// keep leaves the rows that count. Rows are swapped, never dropped, so that the
// slab stays whole.
func (w *windowScan) keep(first uint64, rows [][]datum.Value) error {
	kept := 0
	for i := range rows {
		marked, err := w.mark.Marked(first + uint64(i))
		if err != nil {
			return err
		}
		if marked || !within(w.r, w.seqOf(rows[i])) || !w.bounds.contains(rows[i]) {
			continue
		}
		rows[kept], rows[i] = rows[i], rows[kept]
		kept++
	}
	if w.down() {
		slices.Reverse(rows[:kept])
	}
	w.rows = rows[:kept]
	return nil
}

func (w *windowScan) seqOf(row []datum.Value) uint64 { return uint64(row[w.seq].Int()) }

// close releases what the scan holds. It may be called more than once.
func (w *windowScan) close() error {
	var err error
	if w.scan != nil {
		w.scan.Close()
	}
	if w.mark != nil {
		err = w.mark.Close()
	}
	if w.file != nil {
		w.file.Close()
	}
	w.scan, w.mark, w.file, w.rows, w.stretches, w.done = nil, nil, nil, nil, nil, true
	return err
}

// closeWindows closes scans of windows.
func closeWindows(scans []*windowScan) error {
	var errs []error
	for _, w := range scans {
		errs = append(errs, w.close())
	}
	return errors.Join(errs...)
}
