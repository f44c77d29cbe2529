package maint_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"kalamdb/internal/command"
	"kalamdb/internal/core/maint"
	"kalamdb/internal/datum"
	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
	"kalamdb/internal/store/table"
)

// The marks that stand in what a test erases: in values, in encoded keys, and in
// files. They do not compress.
const (
	secretValue = "q7#Zr!mVx2"
	secretKey   = "kP9$wLd8Tc"
)

// erasable is a database with one user to be erased, and others.
type erasable struct {
	t       *testing.T
	n       *node
	notes   *schema.Table // USER, with many users
	papers  *schema.Table // USER, keys of TEXT, an index, a FILE column
	events  *schema.Table // STREAM
	others  []schema.Scope
	options nodeOptions
}

func papersTable() schema.Table {
	t := notesTable()
	t.Name, t.NextColumnID = "papers", 7
	t.Columns[0].Type = datum.Type{Kind: datum.Text}
	t.Columns[2].Type = datum.Type{Kind: datum.File}
	t.Indexes = []schema.Index{{Name: "by_body", Columns: []schema.ColumnID{2}}}
	return t
}

func eventsTable() schema.Table {
	t := notesTable()
	t.Name, t.Kind, t.Key = "events", schema.Stream, nil
	t.Options.TTLSeconds, t.Options.StreamWindowSeconds = 1<<20, 86400
	return t
}

// newErasable fills a database: rows in files that are shared, in a file of the
// user's own, hot ones, changed and deleted ones, events, files and an account.
func newErasable(t *testing.T, watch func(command.Committer) command.Committer) *erasable {
	t.Helper()
	clock := newClock()
	e := &erasable{t: t, options: nodeOptions{Clock: clock, Committer: watch, Maint: maint.Options{Flush: maint.FlushOptions{PackScopes: 4, MinFileRows: 50}}}}
	n := openNode(t, e.options)
	e.n = n
	e.notes = n.Commit(&command.CreateTable{Table: notesTable()}).Table
	e.papers = n.Commit(&command.CreateTable{Table: papersTable()}).Table
	e.events = n.Commit(&command.CreateTable{Table: eventsTable()}).Table
	for i := range 12 {
		e.others = append(e.others, schema.Scope(fmt.Sprintf("user%02d", i)))
	}
	now := clock.Now().UnixMicro()
	for _, id := range []schema.UserID{"alice", "bob"} {
		n.Commit(&command.PutUser{Create: true, User: schema.UserRecord{
			ID: id, Role: schema.RoleUser, AuthType: schema.AuthPassword, PasswordHash: "hash of " + secretOf(id), Email: secretOf(id) + "@example.com", CreatedAt: now, UpdatedAt: now,
		}})
	}
	ctx := context.Background()
	scopes := append(slices.Clone(e.others[:6]), "alice")
	for _, scope := range append(scopes, e.others[6:]...) {
		e.fill(scope, 0)
	}
	if r, err := n.Maint.Flush(ctx, e.notes.ID); err != nil || r.Files != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := n.Maint.Flush(ctx, e.papers.ID); err != nil {
		t.Fatal(err)
	}
	for _, scope := range []schema.Scope{"alice", "user03"} {
		e.fill(scope, 100)
		for i := range 4 {
			change(t, n, e.notes, scope, i, []string{"", "again " + secretOf(schema.UserID(scope))}[i%2])
		}
	}
	if _, err := n.Maint.FlushScopes(ctx, e.notes.ID, []schema.Scope{"alice", "user03"}); err != nil {
		t.Fatal(err)
	}
	for _, scope := range []schema.Scope{"alice", "user03"} {
		e.fill(scope, 200)
		change(t, n, e.notes, scope, 200, "changed "+secretOf(schema.UserID(scope)))
		change(t, n, e.notes, scope, 5, "cold and changed "+secretOf(schema.UserID(scope)))
	}
	return e
}

func secretOf(id schema.UserID) string {
	if id == "alice" {
		return secretValue
	}
	return "nothing of " + string(id)
}

// fill writes rows, papers with a file, and events of one user.
func (e *erasable) fill(scope schema.Scope, from int) {
	e.t.Helper()
	n, secret, key := e.n, secretOf(schema.UserID(scope)), "key of "+string(scope)
	if scope == "alice" {
		key = secretKey
	}
	staged, err := n.Cold.Stage(strings.NewReader("file "+secret), 1<<20)
	if err != nil {
		e.t.Fatal(err)
	}
	stored, err := n.Maint.StoreBlobs(context.Background(), e.papers, scope, []maint.NewBlob{{Name: secret + ".txt", MIME: "text/plain", Content: staged}})
	if err != nil {
		e.t.Fatal(err)
	}
	staged.Discard()
	text, err := stored.Blobs[0].Reference()
	if err != nil {
		e.t.Fatal(err)
	}
	write := func(t *schema.Table, rows ...command.RowWrite) {
		n.Commit(&command.Write{Tables: []command.TableWrite{{Table: t.ID, SchemaVersion: t.Version, Rows: rows}}})
	}
	for i := from; i < from+10; i++ {
		row := make([]datum.Value, len(e.notes.Columns))
		row[0], row[1] = datum.NewInt(datum.BigInt, int64(i)*7919%1_000_003), datum.NewText(fmt.Sprint(i, secret))
		write(e.notes, command.RowWrite{Op: command.Insert, Scope: scope, Key: e.notes.KeyOf(nil, row), Row: e.notes.AppendRow(nil, row)})
		write(e.events, command.RowWrite{Op: command.Insert, Scope: scope, Row: e.events.AppendRow(nil, row)})
	}
	row := make([]datum.Value, len(e.papers.Columns))
	row[0], row[1], row[2] = datum.NewText(fmt.Sprint(key, from)), datum.NewText("body "+secret), datum.NewFile(text)
	write(e.papers, command.RowWrite{Op: command.Insert, Scope: scope, Key: e.papers.KeyOf(nil, row), Row: e.papers.AppendRow(nil, row),
		Index: []schema.IndexEntry{{New: datum.AppendKey(nil, row[1])}}})
	stored.Release(context.Background())
}

// seen returns what a user reads of the notes, and how many traces of him there
// are in the other tables.
func (e *erasable) seen(scope schema.Scope) string {
	e.t.Helper()
	got := bodies(e.t, e.n, e.notes, scope)
	var text strings.Builder
	for _, id := range slices.Sorted(maps.Keys(got)) {
		fmt.Fprintf(&text, "%d %s\n", id, got[id])
	}
	view := e.n.Apply.View()
	defer view.Release()
	for _, t := range []*schema.Table{e.notes, e.papers, e.events} {
		traces, err := table.Traces(view.Reader(), t, scope)
		if err != nil {
			e.t.Fatal(err)
		}
		blobs := 0
		if _, err := catalog.EachBlob(view.Reader(), schema.BlobScope(t.ID, scope), "", 100, func(schema.Blob) error { blobs++; return nil }); err != nil {
			e.t.Fatal(err)
		}
		counts, err := table.Counts(view.Reader(), t, scope)
		if err != nil {
			e.t.Fatal(err)
		}
		fmt.Fprintf(&text, "%s %v %d %d %d\n", t.Name, traces, blobs, counts.HotRows, counts.ColdRows)
	}
	return text.String()
}

// clean checks that nothing of alice can be read, and that nothing of the others
// has changed.
func (e *erasable) clean(before map[schema.Scope]string) {
	e.t.Helper()
	const nothing = "notes false 0 0 0\npapers false 0 0 0\nevents false 0 0 0\n"
	if got := e.seen("alice"); got != nothing {
		e.t.Errorf("left of alice: %s", got)
	}
	for _, scope := range e.others {
		if got := e.seen(scope); got != before[scope] {
			e.t.Errorf("%s reads\n%s\ninstead of\n%s", scope, got, before[scope])
		}
	}
	view := e.n.Apply.View()
	defer view.Release()
	u, ok, err := catalog.Users().Get(view.Reader(), "alice")
	if err != nil || !ok || u.DeletedAt == 0 || u.Email != "" || u.PasswordHash != "" {
		e.t.Errorf("the account is %+v, %v, %v", u, ok, err)
	}
	if u, _, _ := catalog.Users().Get(view.Reader(), "bob"); u.Email == "" {
		e.t.Error("another account has changed")
	}
}

func (e *erasable) all() map[schema.Scope]string {
	before := map[schema.Scope]string{}
	for _, scope := range e.others {
		before[scope] = e.seen(scope)
	}
	return before
}

// found returns the files below the data directory in which a text stands.
func found(t *testing.T, fs disk.FS, text string) (in []string) {
	t.Helper()
	for _, name := range files(t, fs, dataDir) {
		if path.Base(name) == "LOCK" {
			continue
		}
		whole, err := disk.ReadFile(fs, path.Join(dataDir, name))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(whole, []byte(text)) {
			in = append(in, name)
		}
	}
	return in
}

// After an erasure no byte of what the user had is on the disk: not in tables or
// logs of the engine, not in Parquet files, shared ones too, not in files of FILE
// columns, not in exports. Others have what they had.
func TestEraseLeavesNoByte(t *testing.T) {
	e := newErasable(t, nil)
	n, ctx := e.n, context.Background()
	message, err := n.Maint.StartExport(ctx, "alice", "alice")
	if j := finish(t, n, message, err); j.Status != schema.JobCompleted {
		t.Fatalf("%+v", j)
	}
	message, err = n.Maint.StartExport(ctx, "user03", "user03")
	finish(t, n, message, err)
	before := e.all()
	if in := found(t, n.FS, secretValue); len(in) < 4 {
		t.Fatalf("the mark is in %q only", in)
	}
	message, err = n.Maint.StartErase(ctx, "alice", "root")
	j := finish(t, n, message, err)
	if j.Status != schema.JobCompleted || j.Type != "user_erase" || !strings.HasPrefix(j.ID, "ER-") || j.Progress != 100 {
		t.Fatalf("%+v", j)
	}
	const want = "Erased user 'alice': 3 table(s), 61 row(s), "
	if !strings.HasPrefix(j.Message, want) || !strings.HasSuffix(j.Message, "; 2 shared file(s) rewritten") {
		t.Errorf("the report is %q, want %q", j.Message, want)
	}
	e.clean(before)
	if in := found(t, n.FS, secretValue); len(in) > 0 {
		t.Errorf("the mark is still in %q", in)
	}
	for _, name := range files(t, n.FS, dataDir) {
		if strings.Contains(name, "alice") {
			t.Errorf("%s is left", name)
		}
		if strings.Contains(name, "/_packed/pack-0.parquet") {
			t.Errorf("%s was not replaced", name)
		}
	}
	if size, err := n.Maint.ExportSize("user03", "export-2026-01-02"); err != nil || size == 0 {
		t.Errorf("the export of another: %d, %v", size, err)
	}
	if list, err := n.Maint.Exports(ctx, "alice", 10); err != nil || len(list) > 0 {
		t.Errorf("exports %+v, %v", list, err)
	}
	// Again there is nothing to do.
	done, err := n.Maint.EraseUser(ctx, "alice")
	if err != nil || done != (maint.Erasure{}) {
		t.Errorf("once more: %+v, %v", done, err)
	}
	// Keys that bounded files of the engine stand in its list of files, and in
	// the one before, until the server has started twice.
	for range 2 {
		n.Close()
		e.options.FS = n.FS
		n = openNode(t, e.options)
	}
	e.n = n
	if in := found(t, n.FS, secretKey); len(in) > 0 {
		t.Errorf("the mark of keys is still in %q", in)
	}
	e.clean(before)
}

// An erasure may be cut off before every command: what a crash leaves is erased
// by the next one, and nothing of others is lost.
func TestEraseCutAnywhere(t *testing.T) {
	var at int
	var clone *disk.Mem
	var e *erasable
	armed := false
	watch := func(c command.Committer) command.Committer {
		return hooked{c, func(command.Body) error {
			if !armed || clone != nil {
				return nil
			}
			if at--; at >= 0 {
				return nil
			}
			clone = e.n.FS.(*disk.Mem).CrashClone(uint64(len(e.others)), 50)
			return errPower
		}}
	}
	ctx := context.Background()
	e = newErasable(t, watch)
	before := e.all()
	first := e.n.FS.(*disk.Mem)
	e.n.Close()
	cuts := 0
	for step := 0; ; step++ {
		e.options.FS, armed = first.CrashClone(1, 100), false
		e.n = openNode(t, e.options)
		at, clone, armed = step, nil, true
		_, err := e.n.Maint.EraseUser(ctx, "alice")
		armed = false
		if clone == nil {
			if err != nil {
				t.Fatal(err)
			}
			e.clean(before)
			e.n.Close()
			break
		}
		cuts++
		if !errors.Is(err, errPower) {
			t.Fatalf("step %d: %v", step, err)
		}
		e.n.Close()
		e.options.FS = clone
		e.n = openNode(t, e.options)
		if err := e.n.Maint.Recover(ctx); err != nil {
			t.Fatalf("step %d: recover: %v", step, err)
		}
		for _, scope := range e.others {
			if got := e.seen(scope); got != before[scope] {
				t.Fatalf("step %d: %s reads\n%s\ninstead of\n%s", step, scope, got, before[scope])
			}
		}
		if _, err := e.n.Maint.EraseUser(ctx, "alice"); err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		e.clean(before)
		if in := found(t, e.n.FS, secretValue); len(in) > 0 {
			t.Fatalf("step %d: the mark is still in %q", step, in)
		}
		e.n.Close()
	}
	t.Logf("%d cuts", cuts)
	if cuts < 10 {
		t.Errorf("only %d cuts", cuts)
	}
}

// A file that is shared keeps its row numbers when it is written anew, so that it
// can be done again, deletes and updates of the others before and after it count,
// and flushes go on.
func TestEraseOneAfterTheOther(t *testing.T) {
	e := newErasable(t, nil)
	n, ctx := e.n, context.Background()
	change(t, n, e.notes, "user05", 3, "")
	change(t, n, e.notes, "user05", 4, "new")
	before := e.all()
	for _, user := range []schema.UserID{"alice", "user02", "user00"} {
		if _, err := n.Maint.EraseUser(ctx, user); err != nil {
			t.Fatal(err)
		}
		e.others = slices.DeleteFunc(e.others, func(s schema.Scope) bool { return s == schema.Scope(user) })
		e.clean(before)
	}
	change(t, n, e.notes, "user05", 7, "")
	e.fill("alice", 0) // the id may be used again
	if got := len(bodies(t, n, e.notes, "alice")); got != 10 {
		t.Errorf("a later user of the id has %d rows", got)
	}
	before = e.all()
	if _, err := n.Maint.Flush(ctx, e.notes.ID); err != nil {
		t.Fatal(err)
	}
	if got := bodies(t, n, e.notes, "user05"); len(got) != 8 {
		t.Errorf("user05 reads %v", got)
	}
	if len(e.others) != 10 {
		t.Errorf("%d others", len(e.others))
	}
}
