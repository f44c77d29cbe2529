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

// Open binds a table to a scope of the view. The caller has decided the scope:
// the user for USER and STREAM tables, schema.SharedScope for the others. The
// table is read while the view is held.
func (v *View) Open(t *schema.Table, scope schema.Scope, c Caller) (source.Table, error) {
	if t.Kind == schema.System {
		known, ok := v.relations.registry.find(t.Namespace, t.Name)
		if !ok {
			return nil, fault.New(fault.TableNotFound, "%s", t.QualifiedName())
		}
		return &systemSource{table: known, view: v, caller: c}, nil
	}
	fault.Assert(t.PerUser() == (scope != schema.SharedScope), "scope %q of table %s", scope, t.QualifiedName())
	v.NoteRead(t, scope)
	if c.Now == 0 {
		c.Now = v.relations.o.Now().UnixMicro()
	}
	rows := &rowSource{view: v, def: t, scope: scope, caller: c}
	if t.Present() {
		return v.openPresent(rows)
	}
	if p := v.staged.part(t, scope); p != nil {
		return &stagedSource{rowSource: rows, list: v.staged.list(p), lives: p.lives}, nil
	}
	return rows, nil
}

// rowSource is a stored table at one moment in one scope.
type rowSource struct {
	view   *View
	def    *schema.Table
	scope  schema.Scope
	caller Caller
}

// Definition returns the columns and key.
func (s *rowSource) Definition() *schema.Table { return s.def }

// Count returns the number of live rows. Rows of streams expire unseen by any
// counter.
func (s *rowSource) Count(context.Context) (int64, bool, error) {
	if s.def.Kind == schema.Stream {
		return 0, false, nil
	}
	counts, err := table.Counts(s.view.reader(), s.def, s.scope)
	return counts.HotRows + counts.ColdRows, err == nil, err
}

// Scan starts a scan.
func (s *rowSource) Scan(ctx context.Context, r source.Request) (source.Rows, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	stats := &s.view.relations.stats
	if r.Keys != nil {
		stats.points.Add(int64(len(r.Keys)))
	} else {
		stats.scans.Add(1)
	}
	switch {
	case s.def.Kind == schema.Stream:
		return s.scanStream(ctx, r)
	case r.Keys != nil:
		return s.scanPoints(ctx, r)
	case r.Index != nil:
		if rows, err := s.scanIndex(ctx, r); rows != nil || err != nil {
			return rows, err
		}
		r.Index = nil
		return s.scanRows(r)
	}
	return s.scanRows(r)
}

// scanRows starts a scan in the order of a request.
func (s *rowSource) scanRows(r source.Request) (source.Rows, error) {
	switch {
	case r.Order == source.BySeq || r.Order == source.BySeqDesc:
		return s.scanSeq(r)
	case r.Order == source.ByKey:
		return s.scanKey(r)
	}
	return s.scanAny(r)
}

// decode fills a row from a hot version.
func (s *rowSource) decode(v *table.Version, row []datum.Value) error {
	return s.decodeColumns(v, row, nil)
}

// decodeColumns fills the wanted columns of a row, nil for all.
func (s *rowSource) decodeColumns(v *table.Version, row []datum.Value, wanted []bool) error {
	if err := s.def.DecodeColumns(v.Row, row, wanted); err != nil {
		return err
	}
	s.def.Stamp(row, v.Seq, v.Deleted)
	return nil
}

// wanted marks the columns of a request, nil for all.
func (s *rowSource) wanted(r source.Request) []bool {
	if r.Columns == nil {
		return nil
	}
	last := -1
	for _, c := range r.Columns {
		last = max(last, c)
	}
	marks := make([]bool, last+1)
	for _, c := range r.Columns {
		marks[c] = true
	}
	return marks
}

// slab is rows in one piece of memory, reused from batch to batch.
type slab struct {
	width  int
	values []datum.Value
	rows   [][]datum.Value
}

// take returns n rows with undefined values.
func (s *slab) take(n int) [][]datum.Value {
	if len(s.rows) < n {
		s.values = make([]datum.Value, n*s.width)
		s.rows = make([][]datum.Value, n)
		for i := range s.rows {
			s.rows[i] = s.values[i*s.width : (i+1)*s.width : (i+1)*s.width]
		}
	}
	return s.rows[:n]
}

// batchRows is how many rows the first batch of a scan holds.
func batchRows(r source.Request) int {
	if r.Limit > 0 && r.Limit < source.BatchRows {
		return r.Limit
	}
	return source.BatchRows
}

// buffered delivers rows that are in memory.
type buffered struct{ rows [][]datum.Value }

// Next returns the next batch.
func (b *buffered) Next(ctx context.Context) (*source.Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	n := min(len(b.rows), source.BatchRows)
	if n == 0 {
		return nil, nil
	}
	batch := &source.Batch{Rows: b.rows[:n]}
	b.rows = b.rows[n:]
	return batch, nil
}

// Close ends the delivery.
func (b *buffered) Close() { b.rows = nil }

// scanPoints reads rows by key.
func (s *rowSource) scanPoints(ctx context.Context, r source.Request) (source.Rows, error) {
	keys := make([][]byte, len(r.Keys))
	for i, values := range r.Keys {
		keys[i] = schema.AppendKeyValues(nil, values)
	}
	slices.SortFunc(keys, bytes.Compare)
	keys = slices.CompactFunc(keys, bytes.Equal)
	o, wanted := s.options(r), s.wanted(r)
	rows := slab{width: len(s.def.Columns)}
	all := rows.take(len(keys))
	places, into := []schema.Location(nil), [][]datum.Value(nil)
	kept := 0
	for n, key := range keys {
		if n%lookEvery == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if bytes.Compare(key, o.Low) < 0 || o.High != nil && bytes.Compare(key, o.High) >= 0 {
			continue
		}
		v, ok, err := table.Get(s.view.reader(), s.def, s.scope, key)
		if err != nil {
			return nil, err
		}
		if ok && !v.Moved {
			if v.Deleted && !r.Deleted || !within(r, v.Seq) {
				continue
			}
			if err := s.decodeColumns(&v, all[kept], wanted); err != nil {
				return nil, err
			}
			kept++
			continue
		}
		place, ok, err := table.Location(s.view.reader(), s.def, s.scope, key)
		if err != nil {
			return nil, err
		}
		if ok && within(r, place.Seq) {
			places, into = append(places, place), append(into, all[kept])
			kept++
		}
	}
	if len(places) > 0 {
		files := s.view.coldFiles(s.def)
		files.tally = r.Tally
		defer files.close()
		if err := files.fetch(ctx, r.Columns, places, into); err != nil {
			return nil, err
		}
	}
	all = all[:kept]
	s.orderBySeq(r, all)
	return &buffered{rows: all}, nil
}

// orderBySeq sorts rows that are in memory when the request wants that.
func (s *rowSource) orderBySeq(r source.Request, rows [][]datum.Value) {
	if r.Order != source.BySeq && r.Order != source.BySeqDesc {
		return
	}
	seq := s.def.Column(schema.SeqName)
	slices.SortFunc(rows, func(a, b []datum.Value) int {
		if r.Order == source.BySeqDesc {
			a, b = b, a
		}
		return datum.Compare(a[seq], b[seq])
	})
}

// within reports whether a version lies inside the bounds of seq of a request.
func within(r source.Request, seq uint64) bool {
	return seq > r.AfterSeq && (r.UpToSeq == 0 || seq <= r.UpToSeq)
}

// options returns the request as the hot store takes it.
func (s *rowSource) options(r source.Request) table.ScanOptions {
	o := table.ScanOptions{AfterSeq: r.AfterSeq, UpToSeq: r.UpToSeq, Deleted: r.Deleted, Now: s.caller.Now}
	o.Low, o.High = keyRange(r)
	switch r.Order {
	case source.BySeq:
		o.Order = table.BySeq
	case source.BySeqDesc:
		o.Order = table.BySeqDesc
	}
	return o
}
