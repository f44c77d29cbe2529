package relation

import (
	"bytes"
	"context"
	"sort"

	"kalamdb/internal/cold"
	"kalamdb/internal/command"
	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/source"
	"kalamdb/internal/store/table"
)

// openFilesMost is how many cold files one scan keeps open.
const openFilesMost = 64

// Get returns the newest version of a row by its encoded key: from the hot
// store, tombstones included, or from its cold file; from what a transaction
// has staged before that. row is what schema.Table.DecodeRow reads; cold says
// where it is.
func (v *View) Get(ctx context.Context, t *schema.Table, scope schema.Scope, key []byte) (row []byte, seq uint64, deleted, cold, found bool, err error) {
	if own := v.staged.Find(t, scope, key); own != nil {
		return own.Write.Row, own.Seq, own.deleted(), false, true, nil
	}
	if t.Present() {
		row, seq, deleted, found, err = v.presentAt(t, scope, key, v.Position())
		return row, seq, deleted, false, found, err
	}
	hot, ok, err := table.Get(v.reader(), t, scope, key)
	if err != nil {
		return nil, 0, false, false, false, err
	}
	if ok && !hot.Moved {
		return hot.Row, hot.Seq, hot.Deleted, false, true, nil
	}
	row, seq, found, err = v.getCold(ctx, t, scope, key)
	return row, seq, false, found, found, err
}

// getCold reads a row at its place in a cold file.
func (v *View) getCold(ctx context.Context, t *schema.Table, scope schema.Scope, key []byte) (row []byte, seq uint64, found bool, err error) {
	place, ok, err := table.Location(v.reader(), t, scope, key)
	if err != nil || !ok {
		return nil, 0, false, err
	}
	files := v.coldFiles(t)
	defer files.close()
	values := make([]datum.Value, len(t.Columns))
	if err := files.fetch(ctx, nil, []schema.Location{place}, [][]datum.Value{values}); err != nil {
		return nil, 0, false, err
	}
	return t.AppendRow(nil, values), place.Seq, true, nil
}

// ValueAt returns the version of a row that was in force at a position, while
// history is kept.
func (v *View) ValueAt(ctx context.Context, t *schema.Table, scope schema.Scope, key []byte, p uint64) (row []byte, seq uint64, deleted, found bool, err error) {
	if t.Present() {
		return v.presentAt(t, scope, key, p)
	}
	hot, ok, err := table.ValueAt(v.reader(), t, scope, key, p)
	if err != nil {
		return nil, 0, false, false, err
	}
	if ok && !hot.Moved {
		return hot.Row, hot.Seq, hot.Deleted, true, nil
	}
	row, seq, found, err = v.getCold(ctx, t, scope, key)
	if err != nil || !found || seq > p {
		return nil, 0, false, false, err
	}
	return row, seq, false, true, nil
}

// PurgedTo returns the greatest _seq of the tombstones that were purged of a
// table.
func (v *View) PurgedTo(t *schema.Table) (uint64, error) { return table.PurgedTo(v.reader(), t.ID) }

// StreamFloor returns the position up to which events of a partition were removed
// before their time, or changes of present rows are forgotten.
func (v *View) StreamFloor(t *schema.Table, scope schema.Scope) (uint64, error) {
	if t.Present() && v.relations.o.Present != nil {
		return v.relations.o.Present.Floor(t.ID, scope), nil
	}
	return table.StreamFloor(v.reader(), t, scope)
}

// Changes hands the changes of a partition with from < position <= to to each,
// in commit order; a to of 0 is open. It does not judge whether history reaches
// back to from: CheckCursor does. The change and its slices are fresh copies.
func (v *View) Changes(ctx context.Context, t *schema.Table, scope schema.Scope, from, to uint64, each func(*command.Change) error) error {
	if t.Present() {
		return v.presentChanges(t, scope, from, to, each)
	}
	changes, err := table.NewChanges(v.reader(), t, scope, table.ChangeOptions{From: from, To: to})
	if err != nil {
		return err
	}
	for n := 0; changes.Next(); n++ {
		if n%256 == 0 && ctx.Err() != nil {
			err = ctx.Err()
			break
		}
		c := changes.Change()
		if err = each(&command.Change{
			Table: t.ID, SchemaVersion: c.SchemaVersion, Scope: scope, Op: command.Op(c.Op), Position: c.Position,
			Seq: c.Seq, PrevSeq: c.PrevSeq, Key: bytes.Clone(c.Key), Row: bytes.Clone(c.Row), Old: bytes.Clone(c.Old),
		}); err != nil {
			break
		}
	}
	if err == nil {
		err = changes.Err()
	}
	if closeErr := changes.Close(); err == nil {
		err = closeErr
	}
	return err
}

// ColdRows returns how many live rows of a partition are in cold files.
func (v *View) ColdRows(t *schema.Table, scope schema.Scope) (int64, error) {
	if t.Kind == schema.System || t.Kind == schema.Stream {
		return 0, nil
	}
	return table.ColdRows(v.reader(), t, scope)
}

// TableStats are the figures of a table.
type TableStats struct {
	HotRows, ColdRows int64
	// Segments counts windows of cold files.
	Segments int64
	// HotBytes and ColdBytes are about what hot rows and cold files take.
	HotBytes, ColdBytes int64
}

// TableStats returns the figures of one partition, or of all together.
func (v *View) TableStats(ctx context.Context, t *schema.Table, scope schema.Scope, all bool) (s TableStats, err error) {
	if t.Kind == schema.System || t.Kind == schema.Stream {
		return s, nil
	}
	var counts schema.Counts
	if all {
		counts, err = table.TotalCounts(v.reader(), t)
	} else {
		counts, err = table.Counts(v.reader(), t, scope)
	}
	if err != nil {
		return s, err
	}
	s.HotRows, s.ColdRows, s.HotBytes = counts.HotRows, counts.ColdRows, counts.Bytes
	files := map[uint64]struct{}{}
	note := func(segment schema.Segment) bool {
		s.Segments++
		files[segment.File] = struct{}{}
		return ctx.Err() == nil
	}
	if all {
		err = table.AllSegments(v.reader(), t.ID, note)
	} else {
		var segments []schema.Segment
		segments, err = table.Segments(v.reader(), t.ID, scope)
		for _, segment := range segments {
			note(segment)
		}
	}
	for number := range files {
		if err != nil {
			break
		}
		var f schema.File
		f, _, err = table.File(v.reader(), number)
		s.ColdBytes += f.Size
	}
	if err == nil {
		err = ctx.Err()
	}
	return s, err
}

// coldFiles are the cold files of one table that a reader has open.
type coldFiles struct {
	view *View
	def  *schema.Table
	open map[uint64]*cold.Reader // by number, at most openFilesMost
	// tally counts what is read, if not nil.
	tally *source.Tally
	// wanted are the stretches of files that may hold rows which meet where, by
	// number.
	where  []schema.Condition
	wanted map[uint64][]cold.Stretch
}

func (v *View) coldFiles(t *schema.Table) *coldFiles {
	return &coldFiles{view: v, def: t, open: map[uint64]*cold.Reader{}}
}

// reader returns the reader of a file. It is valid until the next call.
func (c *coldFiles) reader(number uint64) (*cold.Reader, error) {
	if r, ok := c.open[number]; ok {
		return r, nil
	}
	r, err := c.view.openFile(number)
	if err != nil {
		return nil, err
	}
	if len(c.open) >= openFilesMost {
		c.close()
	}
	c.open[number] = r
	return r, nil
}

// may reports whether the row at a place may meet the conditions.
func (c *coldFiles) may(place schema.Location) (bool, error) {
	if len(c.where) == 0 {
		return true, nil
	}
	parts, ok := c.wanted[place.File]
	if !ok {
		var err error
		if parts, err = c.stretches(place.File); err != nil {
			return false, err
		}
		if c.wanted == nil {
			c.wanted = map[uint64][]cold.Stretch{}
		}
		c.wanted[place.File] = parts
	}
	i := sort.Search(len(parts), func(i int) bool { return parts[i].To > place.Row })
	return i < len(parts) && parts[i].From <= place.Row, nil
}

// stretches returns the parts of a file that may hold rows which meet the
// conditions.
func (c *coldFiles) stretches(file uint64) ([]cold.Stretch, error) {
	// What the version was does not stand here: none is the newest.
	may, err := c.view.mayHold(c.def, file, 0, c.where)
	if err != nil {
		return nil, err
	}
	if !may {
		c.view.relations.stats.pruned.Add(1)
		c.tally.AddSegments(0, 1)
		return nil, nil
	}
	r, err := c.reader(file)
	if err != nil {
		return nil, err
	}
	parts, some, all, err := r.Stretches(c.def, c.where, 0, r.Rows())
	c.view.relations.stats.segments.Add(1)
	c.tally.AddSegments(1, 0)
	c.tally.AddGroups(0, all-some)
	return parts, err
}

// openFile opens a cold file by its number.
func (v *View) openFile(number uint64) (*cold.Reader, error) {
	f, st, err := v.file(number)
	if err != nil {
		return nil, err
	}
	return v.relations.o.Cold.Open(*st, f)
}

// close gives all readers back.
func (c *coldFiles) close() {
	for _, r := range c.open {
		r.Close()
	}
	clear(c.open)
}
