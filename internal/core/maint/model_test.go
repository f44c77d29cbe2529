package maint_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"kalamdb/internal/command"
	"kalamdb/internal/core/maint"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/source"
)

// version is one version of a row in the model.
type version struct {
	seq     uint64
	prev    uint64
	op      command.Op
	deleted bool
	row     []datum.Value // user columns, in the order of the table
}

// model is what the database should hold: every version of every key.
type model struct {
	rows map[schema.Scope]map[string][]version // by encoded key, oldest first
}

// world is a database and its model.
type world struct {
	t      *testing.T
	rnd    *rand.Rand
	node   *node
	maint  maint.Options
	def    *schema.Table
	model  model
	log    []string // what was done, for a failure
	commit []uint64 // positions of all writes

	between func(command.Body) error // called before each command of maintenance
}

func notesTable() schema.Table {
	return schema.Table{
		Namespace: "default", Name: "notes", Kind: schema.User, Version: 1, Key: []schema.ColumnID{1}, NextColumnID: 6,
		Columns: []schema.Column{
			{ID: 1, Name: "id", Type: datum.Type{Kind: datum.BigInt}, NotNull: true},
			{ID: 2, Name: "body", Type: datum.Type{Kind: datum.Text}},
			{ID: 3, Name: "n", Type: datum.Type{Kind: datum.Int}},
			{ID: 4, Name: "_seq", Type: datum.Type{Kind: datum.BigInt}, NotNull: true, System: schema.SeqColumn},
			{ID: 5, Name: "_deleted", Type: datum.Type{Kind: datum.Bool}, NotNull: true, System: schema.DeletedColumn},
		},
		Options: schema.Options{StorageID: schema.LocalStorage},
	}
}

func newWorld(t *testing.T, seed int64) *world { return newWorldWith(t, seed, maint.FlushOptions{}) }

// newPackingWorld returns a world whose users share files, for most seeds.
func newPackingWorld(t *testing.T, seed int64) *world {
	return newWorldWith(t, seed, maint.FlushOptions{PackScopes: []int{-1, 1, 1}[seed%3], MinFileRows: 100})
}

func newWorldWith(t *testing.T, seed int64, flush maint.FlushOptions) *world {
	w := &world{t: t, rnd: rand.New(rand.NewSource(seed)), maint: maint.Options{Flush: flush}}
	if seed%2 == 0 {
		w.maint.SortBytes = 1 // flushes read by _seq
	}
	w.maint.SliceRows = int(seed%3) * 3 // compactions go by one slice, or by many
	w.node = openNode(t, nodeOptions{Maint: w.maint, Committer: w.watch})
	w.model.rows = map[schema.Scope]map[string][]version{"alice": {}, "bob": {}}
	def := notesTable()
	w.def = w.node.Commit(&command.CreateTable{Table: def}).Table
	return w
}

func (w *world) note(format string, args ...any) { w.log = append(w.log, fmt.Sprintf(format, args...)) }

func (w *world) fatalf(format string, args ...any) {
	w.t.Helper()
	from := max(0, len(w.log)-40)
	w.t.Fatalf("%s\nafter:\n%s", fmt.Sprintf(format, args...), strings.Join(w.log[from:], "\n"))
}

func (w *world) scope() schema.Scope { return []schema.Scope{"alice", "alice", "bob"}[w.rnd.Intn(3)] }

func (w *world) key(id int64) []byte {
	return datum.AppendKey(nil, datum.NewInt(datum.BigInt, id))
}

// newest returns the newest version of a key in the model.
func (w *world) newest(scope schema.Scope, key []byte) (version, bool) {
	all := w.model.rows[scope][string(key)]
	if len(all) == 0 {
		return version{}, false
	}
	return all[len(all)-1], true
}

// randomRow returns a row with an id.
func (w *world) randomRow(id int64) []datum.Value {
	row := make([]datum.Value, len(w.def.Columns))
	row[0] = datum.NewInt(datum.BigInt, id)
	if w.rnd.Intn(5) > 0 {
		row[1] = datum.NewText(strings.Repeat("x", w.rnd.Intn(30)) + fmt.Sprint(w.rnd.Intn(1000)))
	}
	if w.rnd.Intn(3) > 0 {
		row[2] = datum.NewInt(datum.Int, int64(w.rnd.Intn(100)))
	}
	if i := w.def.Column("extra"); i >= 0 {
		row[i] = datum.NewInt(datum.Int, int64(w.rnd.Intn(10)))
	}
	return row
}

// write commits one to five changes of different keys, as a writer would.
func (w *world) write(keys int64) {
	w.t.Helper()
	scope := w.scope()
	view := w.node.Relations.Applied()
	defer view.Release()
	var rows []command.RowWrite
	var versions []version
	used := map[int64]bool{}
	for range 1 + w.rnd.Intn(5) {
		id := w.rnd.Int63n(keys)
		if used[id] {
			continue
		}
		used[id] = true
		c, v, ok := w.change(view, scope, id)
		if ok {
			rows, versions = append(rows, c), append(versions, v)
		}
	}
	if len(rows) == 0 {
		return
	}
	receipt := w.node.Commit(&command.Write{Tables: []command.TableWrite{{Table: w.def.ID, SchemaVersion: w.def.Version, Rows: rows}}})
	for i := range rows {
		versions[i].seq = schema.SeqAt(receipt.FirstSeq, i)
		w.note("%s %s %x seq %d over %d cold %v", rows[i].Op, scope, rows[i].Key, versions[i].seq, rows[i].ReadSeq, rows[i].Old != nil)
		at := w.model.rows[scope]
		at[string(rows[i].Key)] = append(at[string(rows[i].Key)], versions[i])
	}
	w.commit = append(w.commit, receipt.Position)
}

// change plans an insert, update or delete of a key.
func (w *world) change(view *relation.View, scope schema.Scope, id int64) (command.RowWrite, version, bool) {
	key := w.key(id)
	old, seq, deleted, cold, found, err := view.Get(context.Background(), w.def, scope, key)
	if err != nil {
		w.fatalf("get %d: %v", id, err)
	}
	want, known := w.newest(scope, key)
	if found != known || found && (seq != want.seq || deleted != want.deleted) {
		w.fatalf("get %s %d = seq %d deleted %v found %v, want %d %v %v", scope, id, seq, deleted, found, want.seq, want.deleted, known)
	}
	if found {
		w.sameRow(old, want.row, "get")
	}
	row := w.randomRow(id)
	if !found || deleted {
		body := w.def.AppendRow(nil, row)
		return command.RowWrite{Op: command.Insert, Scope: scope, Key: key, Row: body}, version{op: command.Insert, row: row}, true
	}
	c := command.RowWrite{Op: command.Update, Scope: scope, Key: key, ReadSeq: seq, Row: w.def.AppendRow(nil, row)}
	v := version{op: command.Update, row: row, prev: seq}
	if w.rnd.Intn(3) == 0 {
		c.Op, c.Row = command.Delete, bytes.Clone(old)
		v = version{op: command.Delete, row: want.row, deleted: true, prev: seq}
	}
	if cold {
		c.Old = bytes.Clone(old)
	}
	return c, v, true
}

// sameRow compares encoded user columns with the model's.
func (w *world) sameRow(body []byte, want []datum.Value, what string) {
	w.t.Helper()
	row := make([]datum.Value, len(w.def.Columns))
	if err := w.def.DecodeRow(body, row); err != nil {
		w.fatalf("%s: %v", what, err)
	}
	if got := w.text(row); got != w.text(want) {
		w.fatalf("%s: row %s, want %s", what, got, w.text(want))
	}
}

// text prints the user columns of a row; a model row from before a column shows
// the default that the column was added with.
func (w *world) text(row []datum.Value) string {
	var b strings.Builder
	for i := range w.def.Columns {
		if w.def.Columns[i].System != schema.NotSystem {
			continue
		}
		v := datum.NewInt(datum.Int, 7)
		if i < len(row) {
			v = row[i]
		}
		b.WriteString(v.String() + " ")
	}
	return b.String()
}

func (w *world) flush() {
	w.t.Helper()
	result, err := w.node.Maint.Flush(context.Background(), w.def.ID)
	if err != nil {
		w.fatalf("flush: %v", err)
	}
	w.note("flush moved %d rows to %d files", result.Rows, result.Files)
}

// reopen closes the node and opens it again, from a crash clone or cleanly.
func (w *world) reopen(crash bool) {
	w.t.Helper()
	fs := w.node.FS
	if crash {
		fs = fs.(*disk.Mem).CrashClone(w.rnd.Uint64(), w.rnd.Intn(101))
	}
	w.reopenOn(fs, crash)
}

// reopenOn goes on with another disk.
func (w *world) reopenOn(fs disk.FS, crash bool) {
	w.t.Helper()
	w.node.Close()
	w.note("reopen, crash %v", crash)
	w.node = openNode(w.t, nodeOptions{FS: fs, Clock: w.node.Clock, Maint: w.maint, Committer: w.watch})
	if w.rnd.Intn(4) == 0 {
		return // a flush may come before the recovery
	}
	if err := w.node.Maint.Recover(context.Background()); err != nil {
		w.fatalf("recover: %v", err)
	}
}

// addColumn adds the column extra, with a default that old rows show.
func (w *world) addColumn() {
	w.t.Helper()
	next := w.def.Clone()
	next.Version++
	extra := schema.Column{
		ID: next.NextColumnID, Name: "extra", Type: datum.Type{Kind: datum.Int}, Since: next.Version,
		Missing: datum.AppendValue(nil, datum.NewInt(datum.Int, 7)),
	}
	next.NextColumnID++
	next.Columns = append(next.Columns, extra)
	w.def = w.node.Commit(&command.AlterTable{Table: *next, FromVersion: w.def.Version}).Table
	w.note("add column")
}

// forget turns the clock and forgets history, then purges what may go.
func (w *world) forget() {
	w.t.Helper()
	w.node.Clock.Advance(time.Duration(w.rnd.Intn(100)) * time.Minute)
	ctx := context.Background()
	if err := errors.Join(w.node.Maint.ForgetHistory(ctx), w.node.Maint.RemoveFiles(ctx)); err != nil {
		w.fatalf("forget: %v", err)
	}
	view := w.node.Relations.View()
	w.note("forget up to %d", view.HistoryFloor())
	view.Release()
}

// check compares everything that can be read with the model.
func (w *world) check() {
	w.t.Helper()
	view := w.node.Relations.View()
	defer view.Release()
	for scope := range w.model.rows {
		w.checkScans(view, scope)
		w.checkHistory(view, scope)
	}
}

// live returns the newest versions of a scope by key, tombstones included.
func (w *world) live(scope schema.Scope) (keys []string, newest map[string]version) {
	newest = map[string]version{}
	for key, all := range w.model.rows[scope] {
		newest[key] = all[len(all)-1]
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys, newest
}

func (w *world) checkScans(view *relation.View, scope schema.Scope) {
	w.t.Helper()
	ctx := context.Background()
	open, err := view.Open(w.def, scope, relation.Caller{User: schema.UserID(scope)})
	if err != nil {
		w.fatalf("open: %v", err)
	}
	keys, newest := w.live(scope)
	for _, order := range []source.Order{source.ByKey, source.BySeq, source.BySeqDesc, source.Any} {
		r := source.Request{Order: order, Deleted: w.rnd.Intn(2) == 0}
		if w.rnd.Intn(3) == 0 {
			r.Limit = 1 + w.rnd.Intn(5)
		}
		if w.rnd.Intn(2) == 0 {
			r.Low = source.Bound{Values: []datum.Value{datum.NewInt(datum.Int, int64(w.rnd.Intn(40)))}, Inclusive: w.rnd.Intn(2) == 0}
		}
		if w.rnd.Intn(3) == 0 {
			r.High = source.Bound{Values: []datum.Value{datum.NewInt(datum.BigInt, int64(w.rnd.Intn(60)))}, Inclusive: w.rnd.Intn(2) == 0}
		}
		if w.rnd.Intn(2) == 0 && len(w.commit) > 0 {
			r.AfterSeq = w.commit[w.rnd.Intn(len(w.commit))]
		}
		if w.rnd.Intn(3) == 0 && len(w.commit) > 0 {
			r.UpToSeq = w.commit[w.rnd.Intn(len(w.commit))]
		}
		if w.rnd.Intn(4) == 0 {
			r.Keys = [][]datum.Value{}
			for range w.rnd.Intn(6) {
				r.Keys = append(r.Keys, []datum.Value{datum.NewInt(datum.Int, int64(w.rnd.Intn(60)))})
			}
		}
		w.compare(w.scan(open, r), w.expect(r, keys, newest), fmt.Sprintf("scan of %s %+v", scope, r))
	}
	rows := 0
	for _, v := range newest {
		if !v.deleted {
			rows++
		}
	}
	if n, known, err := open.Count(ctx); err != nil || !known || n != int64(rows) {
		w.fatalf("count of %s is %d %v %v, want %d", scope, n, known, err, rows)
	}
}

// scan prints the rows of a request.
func (w *world) scan(open source.Table, r source.Request) []string {
	w.t.Helper()
	ctx := context.Background()
	rows, err := open.Scan(ctx, r)
	if err != nil {
		w.fatalf("scan %+v: %v", r, err)
	}
	defer rows.Close()
	seq, deleted := w.def.Column("_seq"), w.def.Column("_deleted")
	var out []string
	for {
		batch, err := rows.Next(ctx)
		if err != nil {
			w.fatalf("scan %+v: %v", r, err)
		}
		if batch == nil {
			break
		}
		if len(batch.Rows) == 0 || len(batch.Rows) > source.BatchRows {
			w.fatalf("a batch of %d rows", len(batch.Rows))
		}
		for _, row := range batch.Rows {
			out = append(out, fmt.Sprintf("%d %v %s", row[seq].Int(), row[deleted].Bool(), w.text(row)))
		}
	}
	if r.Order == source.Any {
		slices.Sort(out)
	}
	return out
}

// expect prints the rows that a request should give.
func (w *world) expect(r source.Request, keys []string, newest map[string]version) []string {
	var picked []version
	for _, key := range keys {
		v := newest[key]
		id := v.row[0].Int()
		if v.deleted && !r.Deleted || v.seq <= r.AfterSeq || r.UpToSeq != 0 && v.seq > r.UpToSeq {
			continue
		}
		if len(r.Low.Values) > 0 && (id < r.Low.Values[0].Int() || id == r.Low.Values[0].Int() && !r.Low.Inclusive) {
			continue
		}
		if len(r.High.Values) > 0 && (id > r.High.Values[0].Int() || id == r.High.Values[0].Int() && !r.High.Inclusive) {
			continue
		}
		if r.Keys != nil && !slices.ContainsFunc(r.Keys, func(k []datum.Value) bool { return k[0].Int() == id }) {
			continue
		}
		picked = append(picked, v)
	}
	if r.Order == source.BySeq || r.Order == source.BySeqDesc {
		slices.SortFunc(picked, func(a, b version) int {
			if r.Order == source.BySeqDesc {
				a, b = b, a
			}
			if a.seq < b.seq {
				return -1
			}
			return 1
		})
	}
	var out []string
	for _, v := range picked {
		out = append(out, fmt.Sprintf("%d %v %s", v.seq, v.deleted, w.text(v.row)))
	}
	if r.Order == source.Any {
		slices.Sort(out)
	}
	return out
}

func (w *world) compare(got, want []string, what string) {
	w.t.Helper()
	if !slices.Equal(got, want) {
		w.fatalf("%s:\ngot  %q\nwant %q", what, got, want)
	}
}

// checkHistory compares values in the past and the changes since then.
func (w *world) checkHistory(view *relation.View, scope schema.Scope) {
	w.t.Helper()
	ctx := context.Background()
	floor := view.HistoryFloor()
	past := w.commit[:0:0]
	for _, p := range w.commit {
		if p >= floor {
			past = append(past, p)
		}
	}
	if len(past) == 0 {
		return
	}
	from := past[w.rnd.Intn(len(past))]
	for key, all := range w.model.rows[scope] {
		var want *version
		for i := range all {
			if all[i].seq <= from {
				want = &all[i]
			}
		}
		row, seq, deleted, found, err := view.ValueAt(ctx, w.def, scope, []byte(key), from)
		if err != nil || found != (want != nil) || found && (seq != want.seq || deleted != want.deleted) {
			w.fatalf("value of %s %x at %d is seq %d deleted %v found %v, %v; want %+v", scope, key, from, seq, deleted, found, err, want)
		}
		if found {
			w.sameRow(row, want.row, fmt.Sprintf("value of %s %x at %d", scope, key, from))
		}
	}
	w.checkChanges(view, scope, from)
}

func (w *world) checkChanges(view *relation.View, scope schema.Scope, from uint64) {
	w.t.Helper()
	type change struct {
		key string
		version
	}
	var want []change
	for key, all := range w.model.rows[scope] {
		for _, v := range all {
			if v.seq > from {
				want = append(want, change{key, v})
			}
		}
	}
	slices.SortFunc(want, func(a, b change) int {
		if a.seq < b.seq {
			return -1
		}
		return 1
	})
	n := 0
	err := view.Changes(context.Background(), w.def, scope, from, 0, func(c *command.Change) error {
		if n >= len(want) {
			return fmt.Errorf("change %d too many: %+v", n, c)
		}
		v := want[n]
		n++
		if string(c.Key) != v.key || c.Seq != v.seq || c.Op != v.op || c.PrevSeq != v.prev {
			return fmt.Errorf("change %s %x seq %d over %d, want %s %x seq %d over %d", c.Op, c.Key, c.Seq, c.PrevSeq, v.op, v.key, v.seq, v.prev)
		}
		w.sameRow(c.Row, v.row, "change")
		return nil
	})
	if err != nil || n != len(want) {
		w.fatalf("changes of %s after %d: %d of %d, %v", scope, from, n, len(want), err)
	}
}

// Any sequence of writes, flushes, restarts, crashes and maintenance reads like
// the plain model.
func TestAgainstModel(t *testing.T) {
	seeds, steps := int64(12), 120
	if testing.Short() {
		seeds, steps = 4, 80
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := newPackingWorld(t, seed)
			keys := []int64{6, 50, 400}[seed%3]
			for step := range steps {
				switch n := w.rnd.Intn(100); {
				case n < 12:
					w.flush()
				case n < 15:
					w.reopen(w.rnd.Intn(2) == 0)
				case n < 25 && n >= 20:
					w.compact(keys)
				case n < 18:
					w.forget()
				case n < 20 && w.def.Column("extra") < 0:
					w.addColumn()
				default:
					w.node.Clock.Advance(time.Duration(w.rnd.Intn(1000)) * time.Millisecond)
					w.write(keys)
				}
				if step%4 == 0 || step == steps-1 {
					w.check()
				}
			}
			w.node.Close()
		})
	}
}
