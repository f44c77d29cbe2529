package metamorphic

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"kalamdb/internal/command"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// createTable makes a table; when there is one of the name it does nothing.
func (r *runner) createTable(o op) {
	if r.tables[o.arg(0)] != nil || o.arg(0) == "" {
		return
	}
	kinds := map[string]schema.Kind{"user": schema.User, "shared": schema.Shared, "stream": schema.Stream}
	kind, ok := kinds[o.arg(1)]
	if !ok {
		kind = schema.User
	}
	def := schema.Table{Namespace: schema.DefaultNamespace, Name: o.arg(0), Kind: kind, Version: 1}
	var keyTypes []datum.Type
	add := func(prefix, list string, key bool) {
		for i, name := range strings.Split(list, ",") {
			if name == "" {
				continue
			}
			id := schema.ColumnID(len(def.Columns) + 1)
			def.Columns = append(def.Columns, schema.Column{ID: id, Name: prefix + strconv.Itoa(i), Type: typeOf(name), NotNull: key})
			if key {
				def.Key = append(def.Key, id)
				keyTypes = append(keyTypes, typeOf(name))
			}
		}
	}
	add("k", o.option("key"), true)
	if len(def.Key) == 0 {
		add("k", "bigint", true)
	}
	add("c", o.option("cols"), false)
	id := schema.ColumnID(len(def.Columns) + 1)
	def.Columns = append(def.Columns,
		schema.Column{ID: id, Name: schema.SeqName, Type: datum.Type{Kind: datum.BigInt}, NotNull: true, System: schema.SeqColumn},
		schema.Column{ID: id + 1, Name: schema.DeletedName, Type: datum.Type{Kind: datum.Bool}, NotNull: true, System: schema.DeletedColumn})
	def.NextColumnID = id + 2
	def.Options = schema.Options{StorageID: schema.LocalStorage, Compression: r.config.compression}
	def.Options.DeletedRetentionSeconds, _ = strconv.ParseInt(o.option("retention"), 10, 64)
	if kind == schema.Stream {
		ttl, _ := strconv.ParseInt(o.option("ttl"), 10, 64)
		def.Options.TTLSeconds = max(ttl, 1)
	}
	receipt := r.alone(&command.CreateTable{Table: def})
	r.tables[def.Name] = newTable(def.Name, receipt.Table, keyTypes)
}

// alone commits a command that is always synced and must be taken.
func (r *runner) alone(body command.Body) command.Receipt {
	receipt, err := r.node.commit(schema.Sync, body)
	r.must(err, fmt.Sprintf("%T", body))
	r.synced = receipt.Position
	return receipt
}

// dropTable drops a table, or nothing.
func (r *runner) dropTable(o op) {
	t := r.tables[o.arg(0)]
	if t == nil {
		return
	}
	r.alone(&command.DropTable{Table: t.def.ID})
	delete(r.tables, t.name)
	r.node.maint.Dropped(t.def)
}

// alterTable adds a column with a default, drops one or widens one.
func (r *runner) alterTable(o op) {
	t := r.tables[o.arg(0)]
	if t == nil {
		return
	}
	next := t.def.Clone()
	next.Version++
	user := slices.DeleteFunc(slices.Clone(next.Columns), func(c schema.Column) bool { return c.System != schema.NotSystem })
	switch pick := user[abs(o.number(2))%len(user)]; o.arg(1) {
	case "add":
		c := schema.Column{ID: next.NextColumnID, Name: fmt.Sprintf("c%d", next.NextColumnID), Type: typeOf(o.arg(2)), Since: next.Version}
		if v := columnValue(c.Type, c.ID, o.number(3)); !v.IsNull() {
			c.Missing = datum.AppendValue(nil, v)
		}
		next.NextColumnID++
		next.Columns = append(next.Columns, c)
	case "drop":
		if slices.Contains(next.Key, pick.ID) {
			return
		}
		next.Columns = slices.DeleteFunc(next.Columns, func(c schema.Column) bool { return c.ID == pick.ID })
	case "widen":
		to, ok := wider[pick.Type.Kind]
		if !ok {
			return
		}
		next.Columns[next.ColumnByID(pick.ID)].Type = to
	default:
		return
	}
	t.def = r.alone(&command.AlterTable{Table: *next, FromVersion: t.def.Version}).Table
}

func abs(n int) int { return max(n, -n) }

// scopeOf returns the partition that a word means for a table.
func scopeOf(t *table, word string) schema.Scope {
	switch {
	case t.def.Kind == schema.Shared:
		return schema.SharedScope
	case word == "-":
		return "alice"
	}
	return schema.Scope(word)
}

// pending is a change that was planned and not committed.
type pending struct {
	table   *table
	scope   schema.Scope
	version version
}

// batch is one command that writes rows.
type batch struct {
	command command.Write
	changes []pending
	live    bool // some row to be inserted exists
}

// write runs all operations that change rows.
func (r *runner) write(o op) {
	words, durability := o.args, schema.Sync
	if o.arg(0) == "relaxed" {
		words = words[1:]
		if r.config.durability != "sync" {
			durability = schema.Relaxed
		}
	}
	list := parts(words)
	if o.name == "fill" {
		list = fill(o)
	}
	view := r.node.relations.Applied()
	defer view.Release()
	if o.name == "together" {
		r.together(o, view, list, durability)
		return
	}
	b := &batch{}
	used := map[string]bool{}
	count := 0
	for _, p := range list {
		r.plan(o, view, b, p, used, &count)
	}
	if len(b.changes) == 0 {
		return
	}
	receipt, err := r.node.commit(durability, &b.command)
	switch {
	case o.name == "stale":
		if !errors.Is(err, command.ErrStaleRow) {
			r.failf("a change of an older version: %v", err)
		}
	case b.live:
		if !fault.Is(err, fault.DuplicateKey) {
			r.failf("an insert of a row that exists: %v", err)
		}
	case err != nil:
		r.failf("write: %v", err)
	default:
		r.committed(b, receipt, durability)
	}
}

// fill is `fill t scope first count seed`.
func fill(o op) []part {
	p := part{table: o.arg(0), scope: o.arg(1)}
	for i := range min(abs(o.number(3)), 5000) {
		p.items = append(p.items, item{key: abs(o.number(2)) + i, values: o.number(4) + i})
	}
	return []part{p}
}

// together commits parts of different partitions at once, each for itself.
func (r *runner) together(o op, view *relation.View, list []part, durability schema.Durability) {
	var batches []*batch
	partitions, count := map[string]bool{}, 0
	for _, p := range list {
		t := r.tables[p.table]
		if t == nil || partitions[p.table+" "+string(scopeOf(t, p.scope))] {
			continue // changes of one partition would have no order
		}
		partitions[p.table+" "+string(scopeOf(t, p.scope))] = true
		b := &batch{}
		if r.plan(o, view, b, p, map[string]bool{}, &count); len(b.changes) > 0 {
			batches = append(batches, b)
		}
	}
	receipts := make([]command.Receipt, len(batches))
	var group errgroup.Group
	for i, b := range batches {
		group.Go(func() (err error) {
			receipts[i], err = r.node.commit(durability, &b.command)
			return err
		})
	}
	r.must(group.Wait(), "writes at once")
	for i, b := range batches {
		r.committed(b, receipts[i], durability)
	}
}

// committed enters a batch into the model.
func (r *runner) committed(b *batch, receipt command.Receipt, durability schema.Durability) {
	r.sum.changes += int64(len(b.changes))
	for i, c := range b.changes {
		v := c.version
		v.seq, v.position, v.relaxed = schema.SeqAt(receipt.FirstSeq, i), receipt.Position, durability == schema.Relaxed
		c.table.add(string(c.scope), v)
		r.names[v.seq], r.seqs[v.name] = v.name, v.seq
	}
	if durability != schema.Relaxed {
		r.synced = max(r.synced, receipt.Position)
	}
}

// plan adds the changes of a part to a batch.
func (r *runner) plan(o op, view *relation.View, b *batch, p part, used map[string]bool, count *int) {
	t := r.tables[p.table]
	if t == nil || t.stream() && o.name == "stale" {
		return
	}
	scope := scopeOf(t, p.scope)
	write := command.TableWrite{Table: t.def.ID, SchemaVersion: t.def.Version}
	for _, it := range p.items {
		name := fmt.Sprintf("%d.%d", o.label, *count)
		*count++
		var row command.RowWrite
		var v version
		var ok bool
		switch {
		case t.stream():
			id := "stream " + p.table + " " + it.hide
			if it.hide != "" && used[id] {
				continue
			}
			used[id] = true
			row, v, ok = r.planEvent(t, scope, it)
		default:
			v.key = t.keys.number(it.key)
			id := fmt.Sprintf("%s %s %d", p.table, scope, v.key)
			if used[id] {
				continue
			}
			used[id] = true
			row, v, ok = r.planRow(o, view, b, t, scope, it)
		}
		if ok {
			v.name, row.Scope = name, scope
			write.Rows = append(write.Rows, row)
			b.changes = append(b.changes, pending{t, scope, v})
		}
	}
	if len(write.Rows) > 0 {
		b.command.Tables = append(b.command.Tables, write)
	}
}

// planEvent plans an event of a stream or a hide of one that can be seen.
func (r *runner) planEvent(t *table, scope schema.Scope, it item) (row command.RowWrite, v version, ok bool) {
	if it.hide == "" {
		if it.remove {
			return row, v, false
		}
		row, v = r.newRow(t, it)
		row.Op, v.op = command.Insert, command.Insert
		return row, v, true
	}
	for _, e := range t.events[string(scope)] {
		if e.name == it.hide && e.op == command.Insert && e.hiddenBy == 0 && t.fresh(&e, r.clock.Now()) {
			v = version{op: command.Delete, key: e.key, prev: e.seq, hides: e.name, values: e.values, schema: e.schema}
			return command.RowWrite{Op: command.Delete, ReadSeq: e.seq}, v, true
		}
	}
	return row, v, false
}

// fresh reports whether an event has not outlived its TTL.
func (t *table) fresh(v *version, now time.Time) bool {
	return now.UnixMilli()-schema.SeqMillis(v.seq) < t.def.Options.TTLSeconds*1000
}

// newRow makes the row of an item.
func (r *runner) newRow(t *table, it item) (command.RowWrite, version) {
	row := make([]datum.Value, len(t.def.Columns))
	values := map[schema.ColumnID]datum.Value{}
	key := t.keys.tuple(it.key)
	for i := range t.def.Columns {
		c := &t.def.Columns[i]
		if c.System != schema.NotSystem {
			continue
		}
		v := columnValue(c.Type, c.ID, it.values)
		if at := slices.Index(t.def.Key, c.ID); at >= 0 {
			var err error
			v, err = datum.Cast(key[at], c.Type)
			r.must(err, "cast a key")
		}
		row[i], values[c.ID] = v, v
	}
	w := command.RowWrite{Row: t.def.AppendRow(nil, row)}
	if !t.stream() {
		w.Key = t.def.KeyOf(nil, row)
	}
	return w, version{key: t.keys.number(it.key), values: values, schema: t.def.Version}
}

// planRow plans an insert, update or delete, as a writer would who has read the
// row, and compares what he has read.
func (r *runner) planRow(o op, view *relation.View, b *batch, t *table, scope schema.Scope, it item) (w command.RowWrite, v version, ok bool) {
	w, v = r.newRow(t, it)
	old, cold := r.checkGet(view, t, scope, w.Key, v.key)
	known, found := t.newest(string(scope), v.key)
	live := found && !known.dead()
	switch {
	case o.name == "insert":
		b.live = b.live || live && !it.remove
		w.Op, v.op = command.Insert, command.Insert
		return w, v, !it.remove
	case o.name == "stale":
		all := t.rows[string(scope)][v.key]
		w.Op, w.ReadSeq, w.Old = command.Update, known.seq-1, old
		if len(all) > 1 {
			w.ReadSeq = all[len(all)-2].seq
		}
		return w, v, live
	case !live:
		w.Op, v.op = command.Insert, command.Insert
		return w, v, !it.remove
	}
	w.Op, v.op, w.ReadSeq, v.prev = command.Update, command.Update, known.seq, known.seq
	if it.remove {
		row := make([]datum.Value, len(t.def.Columns))
		r.must(t.def.DecodeRow(old, row), "decode")
		w.Op, w.Row = command.Delete, t.def.AppendRow(nil, row)
		v = version{key: v.key, op: command.Delete, prev: known.seq, values: known.values, schema: known.schema}
	}
	if cold || it.key%2 == 0 {
		w.Old = bytes.Clone(old)
	}
	return w, v, true
}

// checkGet reads a row by key, compares it, and returns it.
func (r *runner) checkGet(view *relation.View, t *table, scope schema.Scope, key []byte, number int) (row []byte, cold bool) {
	r.sum.gets++
	row, seq, deleted, cold, found, err := view.Get(context.Background(), t.def, scope, key)
	r.must(err, "get")
	want, known := t.newest(string(scope), number)
	if found != known || found && (seq != want.seq || deleted != want.dead()) {
		r.failf("get of key %d in %s %s: found %v, version %s, deleted %v; want %v, version %s, deleted %v",
			number, t.name, scope, found, r.names[seq], deleted, known, want.name, want.dead())
	}
	if found {
		r.sameRow(t, row, &want, "get")
	}
	return row, cold
}

// sameRow compares an encoded row with a version.
func (r *runner) sameRow(t *table, body []byte, want *version, what string) {
	row := make([]datum.Value, len(t.def.Columns))
	r.must(t.def.DecodeRow(body, row), what)
	if got, wanted := showRow(t, row, nil), t.cells(want, nil); got != wanted {
		r.failf("%s of %s: row %s is%s, want%s", what, t.name, want.name, got, wanted)
	}
}

// showRow prints the wanted columns of a row that are no system columns.
func showRow(t *table, row []datum.Value, columns []int) string {
	var b strings.Builder
	for i := range t.def.Columns {
		if c := &t.def.Columns[i]; c.System == schema.NotSystem && (columns == nil || slices.Contains(columns, i)) {
			b.WriteString(" " + showValue(row[i], c.Type))
		}
	}
	return b.String()
}
