package table_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"kalamdb/internal/datum"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/internal/engine"
	"kalamdb/internal/store/table"
)

// world is a store with tables, driven by a text: see the verbs below.
type world struct {
	t      *testing.T
	store  *store.Store
	writer *table.Writer
	tables map[string]*schema.Table
	last   uint64
	floor  uint64
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s, err := store.Open(store.Options{FS: disk.NewMem(), Dir: "data"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	w, err := table.NewWriter(s.Reader())
	if err != nil {
		t.Fatal(err)
	}
	return &world{t: t, store: s, writer: w, tables: map[string]*schema.Table{}}
}

// TestTables runs testdata/*: operations and the keys and reads that follow.
//
//	table NAME id=N kind=user|shared|stream [ttl=SECONDS] [index=N] [unique=N]
//	group time=MS            one group of commands; a blank line ends a command:
//	  insert|update|delete NAME SCOPE KEY [TEXT] [read=SEQ] [fresh] [old=TEXT] [was=TEXT]
//	keys [all]               every key, all with those of the store itself
//	bytes                    the same as bytes
//	get|at|scan|changes|counts|scopes|points …   reads
//	reserve|adopt|forget|purge|expire|drop|fill|dropindex …   maintenance
//
// A scope "-" is the one of SHARED tables. A seq is ms.node.counter.
func TestTables(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if strings.HasPrefix(path, "testdata/fuzz/") {
			return // seeds of the fuzz targets
		}
		w := newWorld(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			w.t = t
			return w.run(d)
		})
	})
}

func (w *world) run(d *datadriven.TestData) string {
	verbs := map[string]func(*datadriven.TestData) string{
		"table": w.define, "group": w.group, "keys": w.keys,
		"get": w.get, "at": w.at, "scan": w.scan, "changes": w.changes, "counts": w.counts, "scopes": w.scopes,
		"reserve": w.reserve, "adopt": w.adopt, "forget": w.forget, "purge": w.purge, "expire": w.expire,
		"fill": w.fill, "dropindex": w.dropIndex,
		"bytes": w.bytes, "drop": w.drop, "windows": w.windows, "marks": w.marks, "restart": w.restart, "dropfiles": w.dropFiles,
	}
	verb, ok := verbs[d.Cmd]
	if !ok {
		w.t.Fatalf("unknown verb %s", d.Cmd)
	}
	return verb(d)
}

// arg returns the value of name=value, or a default.
func arg(d *datadriven.TestData, name, missing string) string {
	for _, a := range d.CmdArgs {
		if a.Key == name {
			if len(a.Vals) == 0 {
				return "yes"
			}
			return a.Vals[0]
		}
	}
	return missing
}

func (w *world) number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		w.t.Fatal(err)
	}
	return n
}

// seq reads ms.node.counter, or 0.
func (w *world) seq(text string) uint64 {
	if text == "" || text == "0" {
		return 0
	}
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		w.t.Fatalf("%q is no seq", text)
	}
	return uint64(w.number(parts[0]))<<22 | uint64(w.number(parts[1]))<<12 | uint64(w.number(parts[2]))
}

func show(seq uint64) string {
	return fmt.Sprintf("%d.%d.%d", seq>>22, seq>>12&1023, seq&4095)
}

func micros(ms int64) int64 { return (schema.SeqEpochMillis + ms) * 1000 }

func scopeOf(text string) schema.Scope {
	if text == "-" {
		return schema.SharedScope
	}
	return schema.Scope(strings.ReplaceAll(text, `\0`, "\x00"))
}

func (w *world) table(name string) *schema.Table {
	t, ok := w.tables[name]
	if !ok {
		w.t.Fatalf("no table %s", name)
	}
	return t
}

func (w *world) lookup(id schema.TableID) (*schema.Table, bool) {
	for _, t := range w.tables {
		if t.ID == id {
			return t, true
		}
	}
	return nil, false
}

func keyOf(id int64) []byte {
	return schema.AppendKeyValues(nil, []datum.Value{datum.NewInt(datum.BigInt, id)})
}

func (w *world) row(t *schema.Table, id int64, text string) []byte {
	row := make([]datum.Value, len(t.Columns))
	row[0] = datum.NewInt(datum.BigInt, id)
	if text != "" {
		row[1] = datum.NewText(text)
	}
	return t.AppendRow(nil, row)
}

// text prints the bytes of a row.
func (w *world) text(t *schema.Table, body []byte) string {
	if body == nil {
		return "-"
	}
	row := make([]datum.Value, len(t.Columns))
	if err := t.DecodeRow(body, row); err != nil {
		w.t.Fatal(err)
	}
	return fmt.Sprintf("(%v, %v)", row[0], row[1])
}

// noteTable returns a table of (id BIGINT PRIMARY KEY, body TEXT).
func noteTable(id schema.TableID, kind schema.Kind) *schema.Table {
	return &schema.Table{
		ID: id, Namespace: "app", Name: "note", Kind: kind, Version: 1,
		Columns: []schema.Column{
			{ID: 1, Name: "id", Type: datum.Type{Kind: datum.BigInt}, NotNull: true},
			{ID: 2, Name: "body", Type: datum.Type{Kind: datum.Text}},
			{ID: 3, Name: schema.SeqName, Type: datum.Type{Kind: datum.BigInt}, System: schema.SeqColumn},
		},
		Key: []schema.ColumnID{1}, NextColumnID: 4,
	}
}

func (w *world) define(d *datadriven.TestData) string {
	kinds := map[string]schema.Kind{"user": schema.User, "shared": schema.Shared, "stream": schema.Stream}
	t := noteTable(schema.TableID(w.number(arg(d, "id", ""))), kinds[arg(d, "kind", "")])
	t.Name = d.CmdArgs[0].Key
	if t.Kind == schema.Stream {
		t.Options.TTLSeconds = w.number(arg(d, "ttl", "10"))
		t.Options.StreamWindowSeconds = table.StreamWindowSeconds(t.Options.TTLSeconds)
	}
	for at, a := range []string{"index", "unique"} {
		if id := arg(d, a, ""); id != "" {
			t.Indexes = append(t.Indexes, schema.Index{ID: schema.IndexID(w.number(id)), Name: a, Columns: []schema.ColumnID{2}, Unique: at == 1})
		}
	}
	w.tables[t.Name] = t
	return ""
}

// entries are what a change from one text to another means for the indexes.
func (w *world) entries(t *schema.Table, op table.Op, was, text string) (list []schema.IndexEntry) {
	values := func(x *schema.Index, text string) []byte {
		row := make([]datum.Value, len(t.Columns))
		if text != "" {
			row[1] = datum.NewText(text)
		}
		encoded, _ := t.AppendIndexValues(nil, x, row)
		return encoded
	}
	for i := range t.Indexes {
		var e schema.IndexEntry
		if op != table.Insert {
			e.Old = values(&t.Indexes[i], was)
		}
		if op != table.Delete {
			e.New = values(&t.Indexes[i], text)
		}
		list = append(list, e)
	}
	return list
}

// fill gives rows of the lines KEY SEQ [TEXT] their entry in the first index.
func (w *world) fill(d *datadriven.TestData) string {
	t, scope := w.table(d.CmdArgs[0].Key), scopeOf(d.CmdArgs[1].Key)
	var out string
	err := w.commit(func(*store.Batch) error {
		lines := strings.Split(strings.TrimSpace(d.Input), "\n")
		filled, err := w.writer.FillIndex(t, 0, scope, len(lines), func(i int) ([]byte, uint64, []byte) {
			words := append(strings.Fields(lines[i]), "")
			return keyOf(w.number(words[0])), w.seq(words[1]), w.entries(t, table.Insert, "", words[2])[0].New
		})
		out = fmt.Sprintf("%d filled\n", filled)
		return err
	})
	if err != nil {
		return refusal(err) + "\n"
	}
	return out
}

// dropIndex drops the first index of a table.
func (w *world) dropIndex(d *datadriven.TestData) string {
	t := w.table(d.CmdArgs[0].Key)
	if err := w.commit(func(*store.Batch) error {
		w.writer.DropIndex(t.Indexes[0].ID)
		return nil
	}); err != nil {
		w.t.Fatal(err)
	}
	t.Indexes = t.Indexes[1:]
	return ""
}

// commit runs a change in a batch of its own.
func (w *world) commit(change func(b *store.Batch) error) error {
	b := w.store.NewBatch()
	defer b.Close()
	w.writer.Begin(w.store.Reader(), b)
	err := change(b)
	if finish := w.writer.Finish(); finish != nil {
		w.t.Fatal(finish)
	}
	if err != nil {
		return err
	}
	if err := b.Commit(true); err != nil {
		w.t.Fatal(err)
	}
	return b.Wait()
}

// next draws the seqs of a commit with so many rows.
func (w *world) next(d *datadriven.TestData, rows int) (first, position uint64) {
	first = schema.NextSeq(w.last, micros(w.number(arg(d, "time", "0"))), 1)
	w.last = schema.SeqAt(first, max(rows, 1)-1)
	return first, w.last
}

type change struct {
	table *schema.Table
	row   table.RowChange
}

// change reads one line of a group.
func (w *world) change(line string) change {
	words := strings.Fields(line)
	ops := map[string]table.Op{"insert": table.Insert, "update": table.Update, "delete": table.Delete}
	t := w.table(words[1])
	c := change{t, table.RowChange{Op: ops[words[0]], Scope: scopeOf(words[2]), Key: keyOf(w.number(words[3]))}}
	text, was := "", ""
	for _, word := range words[4:] {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "read":
			c.row.ReadSeq = w.seq(value)
		case "fresh":
			c.row.Fresh = true
		case "was":
			was = value
		case "old":
			c.row.Old = w.row(t, w.number(words[3]), value)
		default:
			text = word
		}
	}
	c.row.Row = w.row(t, w.number(words[3]), text)
	c.row.Index = w.entries(t, c.row.Op, was, text)
	return c
}

func (w *world) group(d *datadriven.TestData) string {
	var out strings.Builder
	err := w.commit(func(*store.Batch) error {
		for command := range strings.SplitSeq(strings.TrimSpace(d.Input), "\n--\n") {
			var rows []change
			for line := range strings.Lines(command) {
				rows = append(rows, w.change(line))
			}
			w.command(d, rows, &out)
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out.String()
}

// command checks and writes one command of a group.
func (w *world) command(d *datadriven.TestData, rows []change, out *strings.Builder) {
	first := schema.NextSeq(w.last, micros(w.number(arg(d, "time", "0"))), 1)
	for i, c := range rows {
		if err := w.writer.Check(c.table, &c.row, schema.SeqAt(first, i)); err != nil {
			w.writer.Reject()
			fmt.Fprintf(out, "row %d: %s\n", i, refusal(err))
			return
		}
	}
	for i, c := range rows {
		if err := w.writer.CheckUnique(c.table, &c.row); err != nil {
			w.writer.Reject()
			fmt.Fprintf(out, "row %d: %s\n", i, refusal(err))
			return
		}
	}
	w.writer.Accept()
	position := schema.SeqAt(first, len(rows)-1)
	for i, c := range rows {
		seq := schema.SeqAt(first, i)
		prev, old := w.writer.Write(c.table, &c.row, i, seq, position)
		fmt.Fprintf(out, "%s", show(seq))
		if prev != 0 {
			fmt.Fprintf(out, " over %s %s", show(prev), w.text(c.table, old))
		}
		out.WriteByte('\n')
	}
	w.writer.Done()
	w.last = position
}

func refusal(err error) string {
	var f *fault.Error
	if errors.As(err, &f) {
		return string(f.Code) + " " + f.Message
	}
	return err.Error()
}

func (w *world) keys(d *datadriven.TestData) string {
	var out strings.Builder
	if err := table.Dump(w.store.Reader(), &out, w.lookup); err != nil {
		w.t.Fatal(err)
	}
	if arg(d, "all", "") != "" {
		return out.String()
	}
	var kept strings.Builder
	for line := range strings.Lines(out.String()) {
		if !strings.HasPrefix(line, `"`+string(engine.KeyspaceSys)) {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// bytes prints keys, versions and values of the rooms' keyspaces as they are.
func (w *world) bytes(*datadriven.TestData) string {
	it, err := engine.NewIter(w.store.Reader(), nil, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	var out strings.Builder
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.Value()
		if err != nil {
			w.t.Fatal(err)
		}
		switch it.Key()[0] {
		case engine.KeyspaceSys:
		case engine.KeyspaceRow:
			fmt.Fprintf(&out, "%c %x @ %016x = %x\n", it.Key()[0], it.Key()[1:], it.Seq(), value)
		default:
			fmt.Fprintf(&out, "%c %x = %x\n", it.Key()[0], it.Key()[1:], value)
		}
	}
	if err := it.Close(); err != nil {
		w.t.Fatal(err)
	}
	return out.String()
}

// place reads the first two words of a command: table and scope.
func (w *world) place(d *datadriven.TestData) (*schema.Table, schema.Scope) {
	return w.table(d.CmdArgs[0].Key), scopeOf(d.CmdArgs[1].Key)
}

func (w *world) version(t *schema.Table, v table.Version, ok bool, err error) string {
	switch {
	case err != nil:
		w.t.Fatal(err)
	case !ok:
		return "none"
	case v.Moved:
		return "moved @" + show(v.Seq)
	case v.Deleted:
		return "tombstone " + w.text(t, v.Row) + " @" + show(v.Seq)
	}
	return w.text(t, v.Row) + " @" + show(v.Seq)
}

func (w *world) get(d *datadriven.TestData) string {
	t, scope := w.place(d)
	var out strings.Builder
	points, err := table.NewPoints(w.store.Reader(), t, scope)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, a := range d.CmdArgs[2:] {
		key := keyOf(w.number(a.Key))
		v, ok, err := table.Get(w.store.Reader(), t, scope, key)
		text := w.version(t, v, ok, err)
		v, ok, err = points.Get(key)
		if again := w.version(t, v, ok, err); again != text {
			w.t.Errorf("Points.Get says %s, Get says %s", again, text)
		}
		l, isCold, err := table.Location(w.store.Reader(), t, scope, key)
		if err != nil {
			w.t.Fatal(err)
		}
		if isCold {
			text += fmt.Sprintf(", cold in file %d row %d @%s", l.File, l.Row, show(l.Seq))
		}
		fmt.Fprintf(&out, "%s: %s\n", a.Key, text)
	}
	if err := points.Close(); err != nil {
		w.t.Fatal(err)
	}
	return out.String()
}

func (w *world) at(d *datadriven.TestData) string {
	t, scope := w.place(d)
	v, ok, err := table.ValueAt(w.store.Reader(), t, scope, keyOf(w.number(d.CmdArgs[2].Key)), w.seq(arg(d, "position", "")))
	return w.version(t, v, ok, err) + "\n"
}

func (w *world) scan(d *datadriven.TestData) string {
	t, scope := w.place(d)
	o := table.ScanOptions{AfterSeq: w.seq(arg(d, "after", "")), UpToSeq: w.seq(arg(d, "upto", "")), Deleted: arg(d, "deleted", "") != ""}
	o.Order = map[string]table.Order{"": table.ByKey, "seq": table.BySeq, "desc": table.BySeqDesc}[arg(d, "order", "")]
	if low := arg(d, "low", ""); low != "" {
		o.Low = keyOf(w.number(low))
	}
	if high := arg(d, "high", ""); high != "" {
		o.High = keyOf(w.number(high))
	}
	if now := arg(d, "now", ""); now != "" {
		o.Now = micros(w.number(now))
	}
	scan, err := table.NewScan(w.store.Reader(), t, scope, o)
	if err != nil {
		w.t.Fatal(err)
	}
	var out strings.Builder
	for scan.Next(context.Background()) {
		v := scan.Version()
		fmt.Fprintln(&out, w.version(t, v, true, nil))
	}
	if err := errors.Join(scan.Err(), scan.Close()); err != nil {
		w.t.Fatal(err)
	}
	return out.String()
}

func (w *world) changes(d *datadriven.TestData) string {
	t, scope := w.place(d)
	o := table.ChangeOptions{From: w.seq(arg(d, "from", "")), To: w.seq(arg(d, "to", ""))}
	if now := arg(d, "now", ""); now != "" {
		o.Now = micros(w.number(now))
	}
	changes, err := table.NewChanges(w.store.Reader(), t, scope, o)
	if err != nil {
		w.t.Fatal(err)
	}
	var out strings.Builder
	for changes.Next() {
		c := changes.Change()
		fmt.Fprintf(&out, "%s %s @%s", c.Op, w.text(t, c.Row), show(c.Seq))
		if c.PrevSeq != 0 {
			fmt.Fprintf(&out, " over %s %s", show(c.PrevSeq), w.text(t, c.Old))
		}
		if c.Position != c.Seq {
			fmt.Fprintf(&out, " of %s", show(c.Position))
		}
		out.WriteByte('\n')
	}
	if err := errors.Join(changes.Err(), changes.Close()); err != nil {
		w.t.Fatal(err)
	}
	return out.String()
}

func (w *world) counts(d *datadriven.TestData) string {
	t, scope := w.place(d)
	c, err := table.Counts(w.store.Reader(), t, scope)
	if err != nil {
		w.t.Fatal(err)
	}
	total, err := table.TotalCounts(w.store.Reader(), t)
	if err != nil {
		w.t.Fatal(err)
	}
	oldest := "none"
	if c.OldestUnflushed != 0 {
		oldest = strconv.FormatInt(c.OldestUnflushed/1000-schema.SeqEpochMillis, 10)
	}
	return fmt.Sprintf("hot %d cold %d bytes %d oldest %s; table hot %d cold %d\n",
		c.HotRows, c.ColdRows, c.Bytes, oldest, total.HotRows, total.ColdRows)
}

func (w *world) scopes(d *datadriven.TestData) string {
	scopes, err := table.Scopes(w.store.Reader(), w.table(d.CmdArgs[0].Key), schema.Scope(arg(d, "after", "")),
		int(w.number(arg(d, "limit", "0"))))
	if err != nil {
		w.t.Fatal(err)
	}
	return fmt.Sprintf("%q\n", scopes)
}

func (w *world) reserve(d *datadriven.TestData) string {
	t := w.table(d.CmdArgs[0].Key)
	var f schema.File
	err := w.commit(func(b *store.Batch) (err error) {
		f, err = w.writer.ReserveFile(b, schema.File{StorageID: "local", Path: arg(d, "folder", "app/note"), Table: t.ID})
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return fmt.Sprintf("%d %s\n", f.Number, f.Path)
}

// adopt reads "KEY SEQ" lines.
func (w *world) adopt(d *datadriven.TestData) string {
	t, scope := w.place(d)
	f, ok, err := table.File(w.store.Reader(), uint64(w.number(arg(d, "file", ""))))
	if err != nil {
		w.t.Fatal(err)
	}
	if !ok {
		f.Number = 99
	}
	type row struct {
		key []byte
		seq uint64
	}
	var rows []row
	for line := range strings.Lines(d.Input) {
		words := strings.Fields(line)
		rows = append(rows, row{keyOf(w.number(words[0])), w.seq(words[1])})
	}
	first, _ := w.next(d, len(rows))
	from := uint64(w.number(arg(d, "from", "0")))
	f.Rows = uint64(w.number(arg(d, "of", strconv.Itoa(len(rows)))))
	window := schema.Segment{To: f.Rows, MinSeq: w.seq(arg(d, "min", show(rows[0].seq))), MaxSeq: w.seq(arg(d, "max", show(rows[len(rows)-1].seq))),
		MinKey: keyOf(1), MaxKey: keyOf(4), SchemaVersion: 1}
	a := &table.Adoption{Table: t, File: f, Scope: scope, From: from, Rows: len(rows), First: first, Floor: w.floor, Window: window,
		Row: func(i int) ([]byte, uint64) { return rows[i].key, rows[i].seq }}
	var adopted int64
	err = w.commit(func(*store.Batch) (err error) {
		adopted, err = w.writer.Adopt(a)
		return err
	})
	if err != nil {
		return refusal(err) + "\n"
	}
	return fmt.Sprintf("adopted %d\n", adopted)
}

func (w *world) forget(d *datadriven.TestData) string {
	before := uint64(w.number(arg(d, "before", "")))
	w.floor = max(w.floor, table.HistoryFloor(before))
	var n int
	var more bool
	err := w.commit(func(*store.Batch) (err error) {
		n, more, err = w.writer.Forget(before, int(w.number(arg(d, "limit", "2048"))))
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return fmt.Sprintf("forgot %d more %t floor %s\n", n, more, show(w.floor))
}

func (w *world) purge(d *datadriven.TestData) string {
	t, scope := w.place(d)
	var keys [][]byte
	for _, word := range strings.Fields(d.Input) {
		if t.Kind == schema.Stream {
			keys = append(keys, fmt.Appendf(nil, "%s", eventKey(w.seq(word))))
			continue
		}
		keys = append(keys, keyOf(w.number(word)))
	}
	_, position := w.next(d, 1)
	var n int64
	var more bool
	err := w.commit(func(*store.Batch) (err error) {
		n, more, err = w.writer.Purge(t, scope, keys, w.seq(arg(d, "before", "")), position)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return fmt.Sprintf("purged %d more %t\n", n, more)
}

func eventKey(seq uint64) []byte {
	key := make([]byte, 8)
	for i := range key {
		key[i] = byte(seq >> (56 - 8*i))
	}
	return key
}

func (w *world) expire(d *datadriven.TestData) string {
	var some bool
	err := w.commit(func(*store.Batch) (err error) {
		some, err = w.writer.ExpireStream(w.table(d.CmdArgs[0].Key), w.seq(arg(d, "before", "")))
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return fmt.Sprintf("some %t\n", some)
}

func (w *world) drop(d *datadriven.TestData) string {
	_, position := w.next(d, 1)
	err := w.commit(func(*store.Batch) error { return w.writer.DropTable(w.table(d.CmdArgs[0].Key).ID, position) })
	if err != nil {
		w.t.Fatal(err)
	}
	return ""
}

func (w *world) dropFiles(d *datadriven.TestData) string {
	var numbers []uint64
	for _, a := range d.CmdArgs {
		numbers = append(numbers, uint64(w.number(a.Key)))
	}
	if err := w.commit(func(*store.Batch) error { return w.writer.DropFiles(numbers) }); err != nil {
		return refusal(err) + "\n"
	}
	files, err := table.Files(w.store.Reader(), 0, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return fmt.Sprintf("%d left\n", len(files))
}

func (w *world) windows(*datadriven.TestData) string {
	uses, err := table.HistoryWindows(w.store.Reader())
	if err != nil {
		w.t.Fatal(err)
	}
	var out strings.Builder
	for _, u := range uses {
		fmt.Fprintf(&out, "w%d: %d entries, %d bytes\n", u.Window, u.Entries, u.Bytes)
	}
	return out.String()
}

func (w *world) marks(d *datadriven.TestData) string {
	var out strings.Builder
	err := table.Marks(w.store.Reader(), uint64(w.number(d.CmdArgs[0].Key)), func(row, seq uint64) bool {
		fmt.Fprintf(&out, "row %d by %s\n", row, show(seq))
		return true
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out.String()
}

// restart makes a writer that knows only what is stored.
func (w *world) restart(*datadriven.TestData) string {
	writer, err := table.NewWriter(w.store.Reader())
	if err != nil {
		w.t.Fatal(err)
	}
	w.writer = writer
	return ""
}
