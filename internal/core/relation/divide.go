package relation

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"kalamdb/internal/cold"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/source"
	"kalamdb/internal/store/table"
)

// Divide finds the windows that lie in files of the operating system in a form
// that any reader of Parquet understands as we do. Scans by key are not divided:
// they know the places of their rows.
func (s *rowSource) Divide(ctx context.Context, r source.Request, least int64, files int) (*source.Division, error) {
	if s.def.Kind == schema.Stream || r.Keys != nil || r.Index != nil || r.Columns == nil || r.Order != source.Any ||
		len(r.Low.Values) > 0 || len(r.High.Values) > 0 {
		return nil, nil
	}
	windows, pruned, err := s.windows(r)
	if err != nil {
		return nil, err
	}
	rows := int64(0)
	for _, w := range windows {
		rows += int64(w.segment.To - w.segment.From)
	}
	if rows < least || len(windows) > files {
		return nil, nil
	}
	d := divider{source: s, columns: r.Columns, groups: map[string]*fileGroup{}}
	for _, w := range windows {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := d.add(w); err != nil {
			return nil, err
		}
	}
	if d.rows < least {
		return nil, nil
	}
	out := &source.Division{
		Rows: d.rows,
		Rest: func(context.Context) (source.Rows, error) { return s.scanHot(r, d.fresh(), true) },
		Pieces: func(_ context.Context, least int64) (source.Pieces, error) {
			p, err := s.pieces(r, d.fresh(), true, least)
			if p == nil || err != nil {
				return nil, err
			}
			return p, nil
		},
	}
	for _, g := range d.order {
		if len(g.marked) > 0 {
			g.files.Marks = g.marks
		}
		out.Files = append(out.Files, g.files)
	}
	s.view.relations.stats.scans.Add(1)
	s.tell(r, len(windows), pruned)
	r.Tally.AddGroups(d.some, d.all-d.some)
	return out, nil
}

// divider sorts windows into those that are read as files and the rest.
type divider struct {
	source  *rowSource
	columns []int
	groups  map[string]*fileGroup // by what their files lack
	order   []*fileGroup
	rest    []*windowScan
	rows    int64
	// some of all row groups may hold wanted rows.
	some, all int
}

// fileGroup is the files that lack the same columns.
type fileGroup struct {
	view    *View
	files   source.Files
	numbers []uint64 // of the files
	marked  []int    // indexes of the ranges that have marks
}

// fresh returns the windows that are not read as files, not begun: a plan may
// scan more than once.
func (d *divider) fresh() []*windowScan {
	rest := make([]*windowScan, len(d.rest))
	for i, w := range d.rest {
		fresh := *w
		fresh.slab = slab{width: len(d.source.def.Columns)}
		rest[i] = &fresh
	}
	return rest
}

func (d *divider) add(w *windowScan) error {
	view := d.source.view
	f, st, err := view.file(w.segment.File)
	if err != nil {
		return err
	}
	folder, path, ok := view.relations.o.Cold.Place(*st, f)
	var absent map[int]datum.Value
	var rows uint64
	if ok {
		var file *cold.Reader
		if file, err = view.relations.o.Cold.Open(*st, f); err != nil {
			return err
		}
		absent, ok, err = file.Direct(d.source.def, d.columns)
		rows = file.Rows()
		some, all := 0, 0
		if err == nil && ok {
			_, some, all, err = file.Stretches(d.source.def, w.r.Where, w.segment.From, w.segment.To)
			d.some, d.all = d.some+some, d.all+all
		}
		file.Close()
		if err == nil && ok && some == 0 {
			return nil // DuckDB leaves out the others by the same figures
		}
	}
	if err != nil {
		return err
	}
	if !ok || w.segment.To > rows {
		d.rest = append(d.rest, w)
		return nil
	}
	g := d.group(absent)
	if !slices.Contains(g.files.Folders, folder) {
		g.files.Folders = append(g.files.Folders, folder)
	}
	some, err := table.EachMark(view.reader(), w.segment.File, w.segment.From, w.segment.To, func(uint64) bool { return false })
	if err != nil {
		return err
	}
	if some {
		g.marked = append(g.marked, len(g.files.Ranges))
	}
	g.files.Ranges = append(g.files.Ranges, source.FileRange{Path: path, From: w.segment.From, To: w.segment.To, Rows: rows})
	g.numbers = append(g.numbers, w.segment.File)
	d.rows += int64(w.segment.To - w.segment.From)
	return nil
}

// group returns the files that lack columns as given.
func (d *divider) group(absent map[int]datum.Value) *fileGroup {
	var name strings.Builder
	for _, c := range d.columns {
		if v, lacks := absent[c]; lacks {
			fmt.Fprintf(&name, "%d:%x;", c, datum.AppendValue(nil, v))
		}
	}
	g, ok := d.groups[name.String()]
	if !ok {
		g = &fileGroup{view: d.source.view, files: source.Files{Absent: absent}}
		d.groups[name.String()] = g
		d.order = append(d.order, g)
	}
	return g
}

// marks delivers the marked rows of the group.
func (g *fileGroup) marks(context.Context) (source.Rows, error) { return &markRows{group: g}, nil }

// markRows delivers the marks of files, range by range.
type markRows struct {
	group *fileGroup
	at    int    // of group.marked
	next  uint64 // the row to go on with, 0 for the first of the range
	slab  slab
}

// Next returns the next batch.
func (m *markRows) Next(ctx context.Context) (*source.Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.slab.width = 2
	rows := m.slab.take(source.BatchRows)
	n := 0
	for m.at < len(m.group.marked) && n < len(rows) {
		index := m.group.marked[m.at]
		in := &m.group.files.Ranges[index]
		_, err := table.EachMark(m.group.view.reader(), m.group.numbers[index], max(in.From, m.next), in.To, func(row uint64) bool {
			rows[n][0], rows[n][1] = datum.NewInt(datum.BigInt, int64(index)), datum.NewInt(datum.BigInt, int64(row))
			n++
			m.next = row + 1
			return n < len(rows)
		})
		if err != nil {
			return nil, err
		}
		if n < len(rows) {
			m.at, m.next = m.at+1, 0
		}
	}
	if n == 0 {
		return nil, nil
	}
	return &source.Batch{Rows: rows[:n]}, nil
}

// Close ends the delivery.
func (m *markRows) Close() { m.at = len(m.group.marked) }

// file returns the row of a cold file and its storage.
func (v *View) file(number uint64) (schema.File, *schema.Storage, error) {
	f, ok, err := table.File(v.reader(), number)
	if err == nil && !ok {
		err = fmt.Errorf("no cold file has the number %d", number)
	}
	if err != nil {
		return f, nil, err
	}
	st, ok := v.moment.Definitions().Storage(f.StorageID)
	if !ok {
		return f, nil, fault.New(fault.ObjectNotFound, "Storage '%s' does not exist", f.StorageID)
	}
	return f, st, nil
}
