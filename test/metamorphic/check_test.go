package metamorphic

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"kalamdb/internal/command"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/source"
	rowstore "kalamdb/internal/store/table"
)

// query is a scan of one partition.
type query struct {
	table     *table
	scope     schema.Scope
	request   source.Request
	low, high bound
	keys      map[int]bool
	text      string
}

// parseQuery reads `order low=[5:1 high=(9:1 after=2 upto=3.0 keys=1,2 deleted
// limit=5 columns=0,2`.
func (r *runner) parseQuery(t *table, scope schema.Scope, words []string) *query {
	q := &query{table: t, scope: scope, text: strings.Join(words, " ")}
	for _, word := range words {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "key":
			q.request.Order = source.ByKey
		case "seq":
			q.request.Order = source.BySeq
		case "desc":
			q.request.Order = source.BySeqDesc
		case "low":
			q.low = t.keys.bound(value)
			q.request.Low = q.bound(q.low)
		case "high":
			q.high = t.keys.bound(value)
			q.request.High = q.bound(q.high)
		case "after":
			q.request.AfterSeq = r.ref(value)
		case "upto":
			q.request.UpToSeq = r.ref(value)
		case "deleted":
			q.request.Deleted = !r.purging
		case "limit":
			q.request.Limit, _ = strconv.Atoi(value)
		case "keys":
			q.wantKeys(value)
		case "columns":
			q.wantColumns(value)
		}
	}
	return q
}

// cast returns key values in the types that the key columns have now.
func (q *query) cast(values []datum.Value) []datum.Value {
	out := make([]datum.Value, len(values))
	for i, v := range values {
		out[i] = v
		if converted, err := datum.Cast(v, q.table.def.Columns[q.table.def.KeyPositions()[i]].Type); err == nil {
			out[i] = converted
		}
	}
	return out
}

func (q *query) bound(b bound) source.Bound {
	if len(b.values) == 0 {
		return source.Bound{}
	}
	return source.Bound{Values: q.cast(b.values), Inclusive: b.inclusive}
}

func (q *query) wantKeys(list string) {
	if q.table.stream() {
		return // events are not looked up by key
	}
	q.request.Keys, q.keys = [][]datum.Value{}, map[int]bool{}
	for _, word := range strings.Split(list, ",") {
		n, err := strconv.Atoi(word)
		if err != nil {
			continue
		}
		keys := q.table.keys // a query may name a key that no row ever had
		keys.sorted = slices.Clone(keys.sorted)
		q.request.Keys = append(q.request.Keys, q.cast(keys.tuple(n)))
		q.keys[keys.number(n)] = true
	}
}

// wantColumns asks for some columns and for those that name the rows.
func (q *query) wantColumns(list string) {
	columns := []int{q.table.def.Column(schema.SeqName), q.table.def.Column(schema.DeletedName)}
	for _, word := range strings.Split(list, ",") {
		if n, err := strconv.Atoi(word); err == nil && n >= 0 && n < len(q.table.def.Columns) {
			columns = append(columns, n)
		}
	}
	slices.Sort(columns)
	q.request.Columns = slices.Compact(columns)
}

// expect returns the rows that a query should give, and those of them that are
// no tombstones.
func (r *runner) expect(q *query) (all, plain []string) {
	t, scope := q.table, string(q.scope)
	var picked []version
	if t.stream() {
		for _, e := range t.events[scope] {
			hidden := e.hiddenBy != 0 && (q.request.UpToSeq == 0 || e.hiddenBy <= q.request.UpToSeq)
			if e.op == command.Insert && !hidden && t.fresh(&e, r.clock.Now()) {
				picked = append(picked, e)
			}
		}
	} else {
		for _, v := range t.ordered(scope) {
			if !v.dead() || q.request.Deleted {
				picked = append(picked, v)
			}
		}
	}
	picked = slices.DeleteFunc(picked, func(v version) bool {
		return v.seq <= q.request.AfterSeq || q.request.UpToSeq != 0 && v.seq > q.request.UpToSeq ||
			!inside(t.keys.tuple(v.key), q.low, q.high) || q.keys != nil && !q.keys[v.key]
	})
	switch {
	case q.request.Order == source.BySeq:
		slices.SortFunc(picked, bySeq)
	case q.request.Order == source.BySeqDesc:
		slices.SortFunc(picked, func(a, b version) int { return bySeq(b, a) })
	case q.request.Order == source.ByKey && t.stream():
		slices.SortStableFunc(picked, func(a, b version) int {
			return slices.CompareFunc(t.keys.tuple(a.key), t.keys.tuple(b.key), datum.Compare)
		})
	}
	for i := range picked {
		line := t.line(&picked[i], q.request.Columns)
		if all = append(all, line); !picked[i].dead() {
			plain = append(plain, line)
		}
	}
	if q.request.Order == source.Any {
		slices.Sort(all)
		slices.Sort(plain)
	}
	return all, plain
}

// begin opens a scan in a view.
func (r *runner) begin(view *relation.View, q *query) source.Rows {
	opened, err := view.Open(q.table.def, q.scope, relation.Caller{User: schema.UserID(q.scope)})
	r.must(err, "open")
	rows, err := opened.Scan(context.Background(), q.request)
	r.must(err, "scan "+q.text)
	return rows
}

// batch appends the rows of the next batch; false is the end.
func (r *runner) batch(rows source.Rows, q *query, got []string) ([]string, bool) {
	def := q.table.def
	seq, deleted := def.Column(schema.SeqName), def.Column(schema.DeletedName)
	batch, err := rows.Next(context.Background())
	r.must(err, "scan "+q.text)
	if batch == nil {
		return got, false
	}
	if len(batch.Rows) == 0 || len(batch.Rows) > source.BatchRows {
		r.failf("scan %s: a batch of %d rows", q.text, len(batch.Rows))
	}
	for _, row := range batch.Rows {
		text := r.names[uint64(row[seq].Int())]
		if text == "" {
			text = fmt.Sprint("unknown _seq ", row[seq].Int())
		}
		if row[deleted].Bool() {
			text += " deleted"
		}
		got = append(got, text+showRow(q.table, row, q.request.Columns))
	}
	return got, true
}

// compare fails when a query gave something else than it should.
func (r *runner) compare(q *query, got, want []string) {
	if q.request.Order == source.Any {
		slices.Sort(got)
	}
	if slices.Equal(got, want) {
		return
	}
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	from := func(lines []string) string {
		return strings.Join(lines[min(at, len(lines)):min(at+6, len(lines))], "\n  ")
	}
	r.failf("scan %s %q %s: %d rows, want %d; from row %d on\ngot\n  %s\nwant\n  %s",
		q.table.name, q.scope, q.text, len(got), len(want), at, from(got), from(want))
}

// query runs a scan in a view and returns its rows but for tombstones.
func (r *runner) query(view *relation.View, q *query) []string {
	r.sum.scans++
	want, plain := r.expect(q)
	rows := r.begin(view, q)
	defer rows.Close()
	got, more := r.batch(rows, q, nil)
	for more {
		got, more = r.batch(rows, q, got)
	}
	r.compare(q, got, want)
	return plain
}

// summary joins rows for an answer.
func summary(lines []string) string {
	text := strings.Join(lines, "; ")
	if len(text) > 400 {
		text = fmt.Sprintf("%d rows, %.80s… %x", len(lines), text, fold(text))
	}
	return text
}

// scan runs one query in the present moment.
func (r *runner) scan(o op) {
	t := r.tables[o.arg(0)]
	if t == nil || len(o.args) < 2 {
		return
	}
	view := r.node.relations.View()
	defer view.Release()
	plain := r.query(view, r.parseQuery(t, scopeOf(t, o.arg(1)), o.args[2:]))
	r.answer(o.label, t.stream() && r.ahead, "%s: %s", o.text(), summary(plain))
}

// read begins a scan that stays open, or reads one to its end.
func (r *runner) read(o op) {
	name := o.arg(0)
	s, open := r.readings[name]
	t := r.tables[o.arg(1)]
	switch {
	case o.name == "begin" && !open && t != nil && len(o.args) > 2:
		q := r.parseQuery(t, scopeOf(t, o.arg(2)), o.args[3:])
		s := &reading{view: r.node.relations.View(), query: q}
		r.readings[name] = s
		s.want, s.plain = r.expect(q)
		copied := *t.def
		q.table = t.clone()
		q.table.def = &copied
		s.rows = r.begin(s.view, q)
		if o.flag("first") {
			var more bool
			if s.got, more = r.batch(s.rows, q, nil); !more {
				r.compare(q, s.got, s.want)
			}
		}
	case o.name == "end" && open:
		delete(r.readings, name)
		defer s.view.Release()
		defer s.rows.Close()
		for more := true; more; {
			s.got, more = r.batch(s.rows, s.query, s.got)
		}
		r.compare(s.query, s.got, s.want)
	}
}

// checkTouched compares the partitions that an operation has named, by key.
func (r *runner) checkTouched(o op) {
	view := r.node.relations.View()
	defer view.Release()
	for i, word := range o.args {
		if t := r.tables[word]; t != nil && i+1 < len(o.args) {
			r.checkPartition(view, t, scopeOf(t, o.args[i+1]), "key deleted")
		}
	}
}

// checkPartition compares one scan and the count of a partition.
func (r *runner) checkPartition(view *relation.View, t *table, scope schema.Scope, words string) {
	plain := r.query(view, r.parseQuery(t, scope, strings.Fields(words)))
	opened, err := view.Open(t.def, scope, relation.Caller{User: schema.UserID(scope)})
	r.must(err, "open")
	n, known, err := opened.Count(context.Background())
	if r.must(err, "count"); known != !t.stream() || known && !strings.Contains(words, "=") && n != int64(len(plain)) {
		r.failf("count of %s %q is %d %v, want %d", t.name, scope, n, known, len(plain))
	}
}

// audit compares all that can be read with what should be there.
func (r *runner) audit() {
	view := r.node.relations.View()
	defer view.Release()
	r.auditMoment(&moment{view, r.tables})
}

const (
	// getsMost is how many keys of a partition an audit reads singly.
	getsMost = 60
	// largePartition is from how many keys on an audit reads a partition in one
	// order only, in turn.
	largePartition = 1000
)

func (r *runner) auditMoment(m *moment) {
	for name, t := range m.tables {
		if def, ok := m.view.TableByID(t.def.ID); !ok || def.Version != t.def.Version {
			r.failf("table %s has another definition", name)
		}
		for _, scope := range t.scopes() {
			for i, words := range []string{"key", "seq deleted", "desc", "any deleted"} {
				if len(t.rows[scope]) < largePartition || (i+r.steps)%4 == 0 {
					r.checkPartition(m.view, t, schema.Scope(scope), words)
				}
			}
			if t.stream() {
				continue
			}
			rows := t.ordered(scope)
			for i := 0; i < len(rows); i += 1 + len(rows)/getsMost {
				key := schema.AppendKeyValues(nil, t.keys.tuple(rows[i].key))
				r.checkGet(m.view, t, schema.Scope(scope), key, rows[i].key)
			}
		}
	}
}

// history compares what was in force at a position and the changes since.
func (r *runner) history(o op) {
	t := r.tables[o.arg(0)]
	if t == nil {
		return
	}
	r.sum.histories++
	scope, from := scopeOf(t, o.arg(1)), r.ref(o.arg(2))
	view := r.node.relations.View()
	defer view.Release()
	lost := slices.ContainsFunc(view.LostRanges(), func(l [2]uint64) bool { return from > l[0] && from <= l[1] })
	expired := from < view.HistoryFloor() || lost
	if err := view.CheckCursor(from); fault.Is(err, fault.CursorExpired) != expired || err != nil && !expired {
		r.failf("cursor at %d: %v; floor %d, lost %v", from, err, view.HistoryFloor(), view.LostRanges())
	}
	if expired {
		r.answer(o.label, true, "%s: expired", o.text())
		return
	}
	var lines []string
	if !t.stream() {
		lines = r.valuesAt(view, t, scope, from)
	}
	lines = append(lines, r.changes(view, t, scope, from)...)
	r.answer(o.label, t.stream(), "%s: %s", o.text(), summary(lines))
}

// valuesAt compares the versions that were in force at a position.
func (r *runner) valuesAt(view *relation.View, t *table, scope schema.Scope, from uint64) (lines []string) {
	rows := t.ordered(string(scope))
	for i := 0; i < len(rows); i += 1 + len(rows)/getsMost {
		number := rows[i].key
		var want *version
		for i, v := range t.rows[string(scope)][number] {
			if v.seq <= from {
				want = &t.rows[string(scope)][number][i]
			}
		}
		key := schema.AppendKeyValues(nil, t.keys.tuple(number))
		row, seq, deleted, found, err := view.ValueAt(context.Background(), t.def, scope, key, from)
		if err != nil || found != (want != nil) || found && (seq != want.seq || deleted != want.dead()) {
			r.failf("value of key %d of %s %q at %d: found %v, version %s, deleted %v, %v; want %+v", number, t.name, scope, from, found, r.names[seq], deleted, err, want)
		}
		if !found {
			continue
		}
		r.sameRow(t, row, want, "value at a position")
		if !want.dead() {
			lines = append(lines, t.line(want, nil))
		}
	}
	return lines
}

// changes compares the changes after a position. Those of a stream that are
// older than its TTL may have gone.
func (r *runner) changes(view *relation.View, t *table, scope schema.Scope, from uint64) (lines []string) {
	var want []version
	for _, all := range t.rows[string(scope)] {
		want = append(want, all...)
	}
	want = append(want, t.events[string(scope)]...)
	want = slices.DeleteFunc(want, func(v version) bool { return v.seq <= from })
	slices.SortFunc(want, bySeq)
	n := 0
	err := view.Changes(context.Background(), t.def, scope, from, 0, func(c *command.Change) error {
		for t.stream() && n < len(want) && want[n].seq < t.expired && c.Seq > want[n].seq {
			n++
		}
		if n == len(want) {
			return fmt.Errorf("change %s is one too many", r.names[c.Seq])
		}
		v := &want[n]
		n++
		if c.Seq != v.seq || c.Op != v.op || c.PrevSeq != v.prev || c.Position != v.position {
			return fmt.Errorf("change %d is %s %s over %d in %d, want %s %s over %d in %d",
				n-1, c.Op, r.names[c.Seq], c.PrevSeq, c.Position, v.op, v.name, v.prev, v.position)
		}
		r.sameRow(t, c.Row, v, "change")
		if len(c.Old) > 0 {
			r.sameOld(t, scope, c, v)
		}
		lines = append(lines, v.op.String()+" "+v.name)
		return nil
	})
	for t.stream() && n < len(want) && want[n].seq < t.expired {
		n++
	}
	if err != nil || n != len(want) {
		r.failf("changes of %s %q after %d: %d of %d, %v", t.name, scope, from, n, len(want), err)
	}
	return lines
}

// sameOld compares the image of what a change has superseded.
func (r *runner) sameOld(t *table, scope schema.Scope, c *command.Change, v *version) {
	if t.stream() {
		r.sameRow(t, c.Old, v, "image of a hidden event")
		return
	}
	for _, older := range t.rows[string(scope)][v.key] {
		if older.seq == v.prev {
			r.sameRow(t, c.Old, &older, "image of change "+v.name)
			return
		}
	}
	r.failf("change %s has an image of a version that is not there", v.name)
}

// purge removes old tombstones. When it was cut off, any of them may be left.
func (r *runner) purge(o op) {
	view := r.node.relations.View()
	floor := view.HistoryFloor()
	view.Release()
	now := r.clock.Now()
	r.purging = true
	err := r.within(o, r.node.maint.Purge)
	r.purging = false
	for _, t := range r.ordered() {
		retention := t.def.Options.DeletedRetentionSeconds
		if retention == 0 {
			retention = r.config.retentionSeconds
		}
		if retention == 0 {
			retention = 7 * 24 * 3600
		}
		if retention < 0 || t.stream() {
			continue
		}
		r.notePurged(t, min(schema.SeqFloor(now.UnixMicro()-retention*1_000_000), floor), err != nil)
	}
}

// notePurged takes tombstones below a position out of the model; when the purge
// was cut off, those that are gone.
func (r *runner) notePurged(t *table, before uint64, look bool) {
	view := r.node.relations.View()
	defer view.Release()
	for scope, rows := range t.rows {
		for number, all := range rows {
			newest := all[len(all)-1]
			if !newest.dead() || newest.seq >= before {
				continue
			}
			if look {
				key := schema.AppendKeyValues(nil, t.keys.tuple(number))
				_, _, _, _, found, err := view.Get(context.Background(), t.def, schema.Scope(scope), key)
				if r.must(err, "get"); found {
					continue
				}
			}
			delete(rows, number)
		}
	}
}

// sweep removes files that nobody reads. While nothing is held, exactly the
// files that windows name are left.
func (r *runner) sweep() {
	r.must(r.node.maint.RemoveFiles(context.Background()), "remove files")
	if len(r.held)+len(r.readings) > 0 || r.litter || r.config.graceSeconds > 0 && !r.final {
		return
	}
	view := r.node.apply.View()
	defer view.Release()
	named := map[uint64]bool{}
	for t := range view.Definitions().AllTables() {
		r.must(rowstore.AllSegments(view.Reader(), t.ID, func(s schema.Segment) bool {
			named[s.File] = true
			return true
		}), "windows")
	}
	files, err := rowstore.Files(view.Reader(), 0, 0)
	r.must(err, "files")
	known := map[string]bool{}
	for _, f := range files {
		known[path.Join(dataDir, "storage", f.Path)] = true
		if f.State != schema.FileLive || !named[f.Number] {
			r.failf("file %s is in state %d after a sweep, named %v", f.Path, f.State, named[f.Number])
		}
	}
	r.checkFolder(path.Join(dataDir, "storage"), known)
	for name := range known {
		if _, err := r.node.fs.Stat(name); err != nil {
			r.failf("a window names a file that is not there: %v", err)
		}
	}
}

// filesOf returns the files that the windows of a table name, by partition.
func (r *runner) filesOf(t *table) map[schema.Scope][]string {
	view := r.node.apply.View()
	defer view.Release()
	all := map[schema.Scope][]string{}
	r.must(rowstore.AllSegments(view.Reader(), t.def.ID, func(s schema.Segment) bool {
		f, _, err := rowstore.File(view.Reader(), s.File)
		r.must(err, "file")
		all[s.Scope] = append(all[s.Scope], path.Join(dataDir, "storage", f.Path))
		return true
	}), "windows")
	return all
}

// checkGrace fails when files that had windows a moment ago are gone already,
// though their partition has others now.
func (r *runner) checkGrace(t *table, before map[schema.Scope][]string) {
	r.must(r.node.maint.RemoveFiles(context.Background()), "remove files")
	now := r.filesOf(t)
	for scope, names := range before {
		for _, name := range names {
			if _, err := r.node.fs.Stat(name); err != nil && len(now[scope]) > 0 {
				r.failf("a file of %s %q is gone before its grace has passed: %v", t.name, scope, err)
			}
		}
	}
}

// checkFolder fails on files of rows that nothing names.
func (r *runner) checkFolder(dir string, known map[string]bool) {
	names, err := r.node.fs.List(dir)
	if err != nil {
		return // nothing was ever flushed
	}
	for _, name := range names {
		full := path.Join(dir, name)
		info, err := r.node.fs.Stat(full)
		r.must(err, "stat")
		switch {
		case info.IsDir():
			r.checkFolder(full, known)
		case strings.HasSuffix(name, ".parquet") && !known[full], strings.HasSuffix(name, ".tmp"):
			r.failf("%s is left, and nothing names it", full)
		}
	}
}
