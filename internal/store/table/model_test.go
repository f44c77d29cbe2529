package table_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/table"
)

// model is what a table must show, in plain maps.
type model struct {
	w      *world
	t      *schema.Table
	scope  schema.Scope
	chance *rand.Rand
	time   int64
	rows   map[int64]modelRow // newest version of every key ever written
	log    []modelChange
	files  map[uint64]map[uint64]int64 // rows of files that have no mark
}

type modelRow struct {
	seq  uint64
	text string
	dead bool
}

type modelChange struct {
	op        table.Op
	id        int64
	seq, prev uint64
	row, old  string
}

func (c modelChange) String() string {
	return fmt.Sprintf("%s %d %q @%s over %s %q", c.op, c.id, c.row, show(c.seq), show(c.prev), c.old)
}

// TestTablesAgainstModel runs random writes, flushes, purges, losses of history
// and restarts, and compares every read with the model: none of them may show.
func TestTablesAgainstModel(t *testing.T) {
	steps := 1500
	if testing.Short() {
		steps = 300
	}
	for seed := range uint64(4) {
		w := newWorld(t)
		d := &schema.Table{}
		*d = *w.note()
		m := &model{w: w, t: d, scope: "alice", chance: rand.New(rand.NewPCG(seed, 3)), time: 1000,
			rows: map[int64]modelRow{}, files: map[uint64]map[uint64]int64{}}
		for i := range steps {
			m.step()
			if i%10 == 0 {
				m.compare()
			}
			if t.Failed() {
				t.Fatalf("seed %d, step %d", seed, i)
			}
		}
	}
}

// note makes the table of the datadriven tests.
func (w *world) note() *schema.Table {
	t := noteTable(7, schema.User)
	w.tables[t.Name] = t
	return t
}

func (m *model) step() {
	m.time += int64(m.chance.IntN(3000))
	switch kind := m.chance.IntN(100); {
	case kind < 80:
		m.write()
	case kind < 88:
		m.adopt()
	case kind < 92:
		m.forget()
	case kind < 97:
		m.purge()
	default:
		m.w.restart(nil)
	}
}

// write runs a group of one to four commands of one row.
func (m *model) write() {
	err := m.w.commit(func(*store.Batch) error {
		for range 1 + m.chance.IntN(4) {
			if err := m.writeRow(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		m.w.t.Fatal(err)
	}
}

func (m *model) writeRow() error {
	id := int64(m.chance.IntN(25))
	row, known := m.rows[id]
	living := known && !row.dead
	seq := schema.NextSeq(m.w.last, micros(m.time), 1)
	text := fmt.Sprint("t", m.chance.IntN(1000))
	c := table.RowChange{Op: table.Op(1 + m.chance.IntN(3)), Scope: m.scope, Key: keyOf(id), Row: m.w.row(m.t, id, text)}
	if c.Op != table.Insert {
		c.ReadSeq = row.seq
		if living {
			c.Old = m.w.row(m.t, id, row.text)
		}
	}
	if c.Op == table.Delete {
		text = row.text
		c.Row = m.w.row(m.t, id, text)
	}
	err := m.w.writer.Check(m.t, &c, seq)
	want := error(nil)
	switch {
	case c.Op == table.Insert && living:
		want = table.ErrDuplicate
	case c.Op != table.Insert && !living:
		want = table.ErrStale
	}
	if !errors.Is(err, want) {
		m.w.t.Errorf("%s of row %d (%+v): %v, want %v", c.Op, id, row, err, want)
	}
	if err != nil {
		m.w.writer.Reject()
		return nil
	}
	m.w.writer.Accept()
	prev, old := m.w.writer.Write(m.t, &c, 0, seq, seq)
	m.w.writer.Done()
	m.w.last = seq
	change := modelChange{op: c.Op, id: id, seq: seq, row: text}
	if c.Op != table.Insert {
		change.prev, change.old = row.seq, row.text
	}
	if prev != change.prev || change.prev != 0 && m.w.text(m.t, old) != m.w.text(m.t, m.w.row(m.t, id, change.old)) {
		m.w.t.Errorf("%s supersedes %s %s", change, show(prev), m.w.text(m.t, old))
	}
	m.log = append(m.log, change)
	m.rows[id] = modelRow{seq, text, c.Op == table.Delete}
	m.unfile(id)
	return nil
}

// unfile marks a row in whatever file it is.
func (m *model) unfile(id int64) {
	for _, rows := range m.files {
		maps.DeleteFunc(rows, func(_ uint64, in int64) bool { return in == id })
	}
}

// adopt flushes the living hot rows as of some commits ago: those that have
// changed since are marked. Rows that are read after the file was reserved come
// with their sizes, mostly.
func (m *model) adopt() {
	type row struct {
		id   int64
		seq  uint64
		size int32
	}
	var rows []row
	read := func() {
		for id, r := range m.rows {
			if !r.dead && !m.filed(id) {
				rows = append(rows, row{id, r.seq, int32(len(m.w.row(m.t, id, r.text)))})
			}
		}
		slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.seq, b.seq) })
	}
	var f schema.File
	reserve := func() {
		err := m.w.commit(func(b *store.Batch) (err error) {
			f, err = m.w.writer.ReserveFile(b, schema.File{StorageID: "local", Path: "app/note", Table: m.t.ID, Scope: m.scope})
			return err
		})
		if err != nil {
			m.w.t.Fatal(err)
		}
	}
	sized := m.chance.IntN(2) == 0
	if sized {
		reserve()
		read()
	} else {
		read()
	}
	for range m.chance.IntN(3) {
		m.write()
	}
	if !sized {
		reserve()
	}
	if len(rows) == 0 {
		return
	}
	f.Rows = uint64(len(rows))
	m.files[f.Number] = map[uint64]int64{}
	for from := 0; from < len(rows); {
		slice := rows[from:min(len(rows), from+1+m.chance.IntN(8))]
		first := schema.NextSeq(m.w.last, micros(m.time), 1)
		m.w.last = schema.SeqAt(first, len(slice)-1)
		a := &table.Adoption{Table: m.t, File: f, Scope: m.scope, From: uint64(from), Rows: len(slice), First: first, Floor: m.w.floor,
			Row:    func(i int) ([]byte, uint64) { return keyOf(slice[i].id), slice[i].seq },
			Window: schema.Segment{To: f.Rows, MinSeq: rows[0].seq, MaxSeq: rows[len(rows)-1].seq}}
		if sized && m.chance.IntN(10) > 0 {
			for _, r := range slice {
				a.Sizes = append(a.Sizes, r.size)
			}
		}
		if err := m.w.commit(func(*store.Batch) error { _, err := m.w.writer.Adopt(a); return err }); err != nil {
			m.w.t.Fatal(err)
		}
		for i, r := range slice {
			if m.rows[r.id].seq == r.seq {
				m.files[f.Number][uint64(from+i)] = r.id
			}
		}
		from += len(slice)
		if m.chance.IntN(3) == 0 {
			m.write()
		}
	}
}

func (m *model) filed(id int64) bool {
	for _, rows := range m.files {
		for _, in := range rows {
			if in == id {
				return true
			}
		}
	}
	return false
}

func (m *model) forget() {
	window := table.HistoryWindow(m.w.last)
	if window < 2 {
		return
	}
	window -= uint64(m.chance.IntN(3))
	m.w.floor = max(m.w.floor, min(table.HistoryFloor(window), m.w.last))
	for more := true; more; {
		err := m.w.commit(func(*store.Batch) (err error) {
			_, more, err = m.w.writer.Forget(window, 1+m.chance.IntN(20))
			return err
		})
		if err != nil {
			m.w.t.Fatal(err)
		}
		switch m.chance.IntN(6) { // in the middle of forgetting
		case 0, 1:
			m.write()
		case 2:
			m.adopt()
		}
	}
}

func (m *model) purge() {
	id := int64(m.chance.IntN(25))
	m.w.last = schema.NextSeq(m.w.last, micros(m.time), 1)
	_, known := m.rows[id]
	err := m.w.commit(func(*store.Batch) error {
		purged, _, err := m.w.writer.Purge(m.t, m.scope, [][]byte{keyOf(id)}, 0, m.w.last)
		if (purged == 1) != known {
			m.w.t.Errorf("purge of row %d removed %d", id, purged)
		}
		return err
	})
	if err != nil {
		m.w.t.Fatal(err)
	}
	delete(m.rows, id)
	m.log = slices.DeleteFunc(m.log, func(c modelChange) bool { return c.id == id })
	m.unfile(id)
}

func (m *model) compare() {
	m.compareRows()
	m.compareChanges()
	m.compareFiles()
	m.compareMoment()
}

// compareRows looks at every key, in scans and by point.
func (m *model) compareRows() {
	r := m.w.store.Reader()
	hot := map[int64]uint64{}
	for _, order := range []table.Order{table.ByKey, table.BySeq, table.BySeqDesc} {
		scan, err := table.NewScan(r, m.t, m.scope, table.ScanOptions{Order: order, Deleted: true})
		if err != nil {
			m.w.t.Fatal(err)
		}
		found := map[int64]uint64{}
		var seqs []uint64
		for scan.Next(context.Background()) {
			v := scan.Version()
			id := m.idOf(v.Key)
			want := m.rows[id]
			if v.Seq != want.seq || v.Deleted != want.dead || m.w.text(m.t, v.Row) != m.w.text(m.t, m.w.row(m.t, id, want.text)) {
				m.w.t.Errorf("scan %d delivers row %d %s, want %+v", order, id, m.w.version(m.t, v, true, nil), want)
			}
			found[id] = v.Seq
			seqs = append(seqs, v.Seq)
		}
		if err := errors.Join(scan.Err(), scan.Close()); err != nil {
			m.w.t.Fatal(err)
		}
		if order == table.BySeqDesc {
			slices.Reverse(seqs)
		}
		if order != table.ByKey && !slices.IsSorted(seqs) {
			m.w.t.Errorf("scan %d is out of order: %v", order, seqs)
		}
		if order == table.ByKey {
			hot = found
		} else if !maps.Equal(found, hot) {
			m.w.t.Errorf("by seq %v, by key %v", found, hot)
		}
	}
	counts := schema.Counts{}
	for id, row := range m.rows {
		l, isCold, err := table.Location(r, m.t, m.scope, keyOf(id))
		if err != nil {
			m.w.t.Fatal(err)
		}
		_, isHot := hot[id]
		if isHot == isCold || isCold && (l.Seq != row.seq || m.files[l.File][l.Row] != id) {
			m.w.t.Errorf("row %d %+v: hot %t, cold %t at %+v", id, row, isHot, isCold, l)
		}
		switch {
		case isCold:
			counts.ColdRows++
		case !row.dead:
			counts.HotRows++
			counts.Bytes += int64(len(m.w.row(m.t, id, row.text)))
		default:
			counts.Tombstones++
		}
	}
	got, err := table.Counts(r, m.t, m.scope)
	if err != nil {
		m.w.t.Fatal(err)
	}
	if got.OldestUnflushed = 0; got != counts || len(hot) > len(m.rows) {
		m.w.t.Errorf("counts are %+v, want %+v; %d hot keys of %d", got, counts, len(hot), len(m.rows))
	}
}

func (m *model) idOf(key []byte) int64 {
	values, err := table.KeyValues(m.t, key)
	if err != nil {
		m.w.t.Fatal(err)
	}
	return values[0].Int()
}

// compareChanges replays history from its floor.
func (m *model) compareChanges() {
	from := m.w.floor + uint64(m.chance.Int64N(int64(m.w.last-min(m.w.floor, m.w.last)+1)))
	changes, err := table.NewChanges(m.w.store.Reader(), m.t, m.scope, table.ChangeOptions{From: from})
	if err != nil {
		m.w.t.Fatal(err)
	}
	var got []string
	for changes.Next() {
		c := changes.Change()
		id := m.idOf(c.Key)
		got = append(got, fmt.Sprintf("%s %d %s @%s over %s %s", c.Op, id, m.w.text(m.t, c.Row), show(c.Seq), show(c.PrevSeq), m.w.text(m.t, c.Old)))
	}
	if err := errors.Join(changes.Err(), changes.Close()); err != nil {
		m.w.t.Fatal(err)
	}
	var want []string
	for _, c := range m.log {
		if c.seq <= from {
			continue
		}
		old := "-"
		if c.prev != 0 {
			old = m.w.text(m.t, m.w.row(m.t, c.id, c.old))
		}
		want = append(want, fmt.Sprintf("%s %d %s @%s over %s %s", c.op, c.id, m.w.text(m.t, m.w.row(m.t, c.id, c.row)), show(c.seq), show(c.prev), old))
	}
	if !slices.Equal(got, want) {
		m.w.t.Errorf("changes from %s are\n%q\nwant\n%q", show(from), got, want)
	}
}

// compareFiles checks that windows minus marks are the cold rows.
func (m *model) compareFiles() {
	segments, err := table.Segments(m.w.store.Reader(), m.t.ID, m.scope)
	if err != nil {
		m.w.t.Fatal(err)
	}
	for _, s := range segments {
		unmarked := map[uint64]bool{}
		for row := s.From; row < s.To; row++ {
			unmarked[row] = true
		}
		if err := table.Marks(m.w.store.Reader(), s.File, func(row, _ uint64) bool { delete(unmarked, row); return true }); err != nil {
			m.w.t.Fatal(err)
		}
		if len(unmarked) != len(m.files[s.File]) {
			m.w.t.Errorf("file %d has %d rows without a mark, want %v", s.File, len(unmarked), m.files[s.File])
		}
		for row := range m.files[s.File] {
			if !unmarked[row] {
				m.w.t.Errorf("row %d of file %d is marked", row, s.File)
			}
		}
	}
}

// compareMoment reads one row as of a position within history.
func (m *model) compareMoment() {
	if len(m.log) == 0 || m.w.last <= m.w.floor {
		return
	}
	at := m.w.floor + 1 + uint64(m.chance.Int64N(int64(m.w.last-m.w.floor)))
	id := m.log[m.chance.IntN(len(m.log))].id
	var want *modelChange
	later := false
	for i := range m.log {
		if c := &m.log[i]; c.id == id {
			if c.seq <= at {
				want = c
			} else {
				later = true
			}
		}
	}
	v, ok, err := table.ValueAt(m.w.store.Reader(), m.t, m.scope, keyOf(id), at)
	if err != nil {
		m.w.t.Fatal(err)
	}
	switch {
	case want == nil && ok && !v.Moved:
		m.w.t.Errorf("row %d at %s is %+v, want none", id, show(at), v)
	case want != nil && later && (!ok || v.Moved || v.Seq != want.seq):
		m.w.t.Errorf("row %d at %s is %+v (%t), want %s", id, show(at), v, ok, want)
	case want != nil && ok && !v.Moved && v.Seq != want.seq:
		m.w.t.Errorf("row %d at %s is %+v, want %s", id, show(at), v, want)
	}
}

// event is one event of a stream and what hides it, 0 for nothing.
type event struct {
	seq    uint64
	hidden uint64
}

// TestStreamsAgainstModel compares scans of a stream in both orders and with
// all bounds with a plain list.
func TestStreamsAgainstModel(t *testing.T) {
	for seed := range uint64(6) {
		w := newWorld(t)
		chance := rand.New(rand.NewPCG(seed, 8))
		d := noteTable(3, schema.Stream)
		d.Options.TTLSeconds = []int64{1, 60, 3600}[seed%3]
		d.Options.StreamWindowSeconds = table.StreamWindowSeconds(d.Options.TTLSeconds)
		scopes := []schema.Scope{"a", "a\x00", "b", "bb", "c"}
		model := map[schema.Scope][]event{}
		time := int64(0)
		for range 120 {
			time += chance.Int64N(d.Options.TTLSeconds * 100)
			scope := scopes[chance.IntN(len(scopes))]
			c := table.RowChange{Op: table.Insert, Scope: scope, Row: w.row(d, 1, "x")}
			seq := schema.NextSeq(w.last, micros(time), 1)
			list := model[scope]
			if len(list) > 0 && chance.IntN(4) == 0 {
				if e := &list[chance.IntN(len(list))]; e.hidden == 0 {
					c.Op, c.ReadSeq, e.hidden = table.Delete, e.seq, seq
				}
			}
			if c.Op == table.Insert {
				model[scope] = append(list, event{seq: seq})
			}
			w.last = seq
			if err := w.commit(func(*store.Batch) error {
				if err := w.writer.Check(d, &c, seq); err != nil {
					return err
				}
				w.writer.Accept()
				w.writer.Write(d, &c, 0, seq, seq)
				w.writer.Done()
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		for range 300 {
			compareStream(t, w, d, chance, scopes[chance.IntN(len(scopes))], model, time)
		}
	}
}

// compareStream makes a random scan and compares it with the list of events.
func compareStream(t *testing.T, w *world, d *schema.Table, chance *rand.Rand, scope schema.Scope, model map[schema.Scope][]event, time int64) {
	t.Helper()
	o := table.ScanOptions{Order: table.Order(chance.IntN(3)), AfterSeq: uint64(chance.Int64N(int64(w.last)))}
	if chance.IntN(2) == 0 {
		o.UpToSeq = uint64(chance.Int64N(int64(w.last)))
	}
	if chance.IntN(3) == 0 {
		o.AfterSeq = 0
	}
	if chance.IntN(2) == 0 {
		o.Now = micros(chance.Int64N(time + 1000))
	}
	var want []uint64
	for _, e := range model[scope] {
		expired := o.Now != 0 && schema.SeqTime(e.seq)+d.Options.TTLSeconds*1_000_000 <= o.Now
		if e.seq > o.AfterSeq && (o.UpToSeq == 0 || e.seq <= o.UpToSeq) && !expired && (e.hidden == 0 || o.UpToSeq != 0 && e.hidden > o.UpToSeq) {
			want = append(want, e.seq)
		}
	}
	if o.Order == table.BySeqDesc {
		slices.Reverse(want)
	}
	scan, err := table.NewScan(w.store.Reader(), d, scope, o)
	if err != nil {
		t.Fatal(err)
	}
	var got []uint64
	for scan.Next(context.Background()) {
		got = append(got, scan.Version().Seq)
	}
	if err := errors.Join(scan.Err(), scan.Close()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("scope %q, %+v:\n got %v\nwant %v", scope, o, got, want)
	}
}
