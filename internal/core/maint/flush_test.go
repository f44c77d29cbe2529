package maint_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"kalamdb/internal/cold"
	"kalamdb/internal/command"
	"kalamdb/internal/core/maint"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/source"
)

// hooked calls a function before each command is proposed.
type hooked struct {
	to     command.Committer
	before func(command.Body) error
}

func (h hooked) Commit(ctx context.Context, c *command.Command) (command.Receipt, error) {
	if err := h.before(c.Body); err != nil {
		return command.Receipt{}, err
	}
	return h.to.Commit(ctx, c)
}

// sharedTable is notesTable as a SHARED table.
func sharedTable() schema.Table {
	t := notesTable()
	t.Kind = schema.Shared
	return t
}

// insert writes rows with ids [from, to) and returns the last position.
func insert(n *node, t *schema.Table, scope schema.Scope, from, to int) (position uint64) {
	for from < to {
		end := min(from+1000, to)
		var rows []command.RowWrite
		for i := from; i < end; i++ {
			r := rowOf(t, i)
			r.Scope = scope
			rows = append(rows, r)
		}
		position = n.Commit(&command.Write{Tables: []command.TableWrite{{Table: t.ID, SchemaVersion: t.Version, Rows: rows}}}).Position
		from = end
	}
	return position
}

// change updates the row of an insert, or deletes it when body is "".
func change(t *testing.T, n *node, def *schema.Table, scope schema.Scope, i int, body string) (position uint64) {
	t.Helper()
	view := n.Relations.Applied()
	defer view.Release()
	row := make([]datum.Value, len(def.Columns))
	row[0] = datum.NewInt(datum.BigInt, int64(i)*7919%1_000_003)
	key := def.KeyOf(nil, row)
	old, seq, _, isCold, found, err := view.Get(context.Background(), def, scope, key)
	if err != nil || !found {
		t.Fatalf("get row %d: found %v, %v", i, found, err)
	}
	c := command.RowWrite{Op: command.Delete, Scope: scope, Key: key, ReadSeq: seq, Row: slices.Clone(old)}
	if body != "" {
		row[1] = datum.NewText(body)
		c.Op, c.Row = command.Update, def.AppendRow(nil, row)
	}
	if isCold {
		c.Old = slices.Clone(old)
	}
	return n.Commit(&command.Write{Tables: []command.TableWrite{{Table: def.ID, SchemaVersion: def.Version, Rows: []command.RowWrite{c}}}}).Position
}

// bodies returns id and body of every live row by key.
func bodies(t *testing.T, n *node, def *schema.Table, scope schema.Scope) map[int64]string {
	t.Helper()
	view := n.Relations.View()
	defer view.Release()
	open, err := view.Open(def, scope, relation.Caller{})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := open.Scan(context.Background(), source.Request{Order: source.ByKey})
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	out := map[int64]string{}
	last := int64(-1)
	for {
		batch, err := rows.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if batch == nil {
			break
		}
		for _, row := range batch.Rows {
			if row[0].Int() <= last {
				t.Fatalf("id %d comes after %d", row[0].Int(), last)
			}
			last = row[0].Int()
			out[last] = row[1].Text()
		}
	}
	if count, known, err := open.Count(context.Background()); err != nil || !known || count != int64(len(out)) {
		t.Fatalf("count is %d %v %v, the scan gave %d rows", count, known, err, len(out))
	}
	return out
}

func files(t *testing.T, fs disk.FS, dir string) []string {
	t.Helper()
	var all []string
	names, err := fs.List(dir)
	if disk.IsNotExist(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		info, err := fs.Stat(dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			for _, below := range files(t, fs, dir+"/"+name) {
				all = append(all, name+"/"+below)
			}
			continue
		}
		all = append(all, name)
	}
	return all
}

// Rows that change while their file is being adopted, slice by slice, keep
// their changes; nothing is lost and nothing comes twice.
func TestAdoptionBesideWriters(t *testing.T) {
	var n *node
	var def *schema.Table
	slices, rows := 0, 6000
	n = openNode(t, nodeOptions{Committer: func(to command.Committer) command.Committer {
		return hooked{to, func(body command.Body) error {
			if _, ok := body.(*command.Adopt); !ok {
				return nil
			}
			slices++
			for i := slices; i < rows; i += 97 * slices {
				if i%3 == 0 {
					change(t, n, def, "", i, "")
					insert(n, def, "", i, i+1)
				} else {
					change(t, n, def, "", i, fmt.Sprintf("changed in slice %d", slices))
				}
			}
			insert(n, def, "", rows, rows+10)
			rows += 10
			return nil
		}}
	}})
	shared := sharedTable()
	def = n.Commit(&command.CreateTable{Table: shared}).Table
	insert(n, def, "", 0, rows)
	result, err := n.Maint.Flush(context.Background(), def.ID)
	if err != nil {
		t.Fatal(err)
	}
	if slices != 3 || result.Files != 1 || result.Rows < 5500 || result.Rows >= 6000 {
		t.Errorf("%d slices, %+v", slices, result)
	}
	check := func() {
		t.Helper()
		got := bodies(t, n, def, "")
		if len(got) != rows {
			t.Errorf("%d rows, want %d", len(got), rows)
		}
		changed := 0
		for i := range rows {
			if body := got[int64(i)*7919%1_000_003]; strings.HasPrefix(body, "changed") {
				changed++
			} else if body != fmt.Sprintf("body %d", i) {
				t.Fatalf("row %d says %q", i, body)
			}
		}
		if changed < 50 {
			t.Errorf("only %d rows show their change", changed)
		}
	}
	check()
	if _, err := n.Maint.Flush(context.Background(), def.ID); err != nil {
		t.Fatal(err)
	}
	check()
	view := n.Relations.View()
	defer view.Release()
	stats, err := view.TableStats(context.Background(), def, "", true)
	if err != nil || stats.HotRows != 50 || stats.ColdRows != int64(rows-50) || stats.Segments != 2 {
		// The second flush adds rows while it adopts its own.
		t.Logf("stats %+v, %v", stats, err)
	}
	if stats.HotRows+stats.ColdRows != int64(rows) {
		t.Errorf("the counters say %+v", stats)
	}
}

// seqs returns _seq of the rows of a scan, in their order.
func seqs(t *testing.T, n *node, def *schema.Table, scope schema.Scope, r source.Request) []uint64 {
	t.Helper()
	view := n.Relations.View()
	defer view.Release()
	open, err := view.Open(def, scope, relation.Caller{})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := open.Scan(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []uint64
	for {
		batch, err := rows.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if batch == nil {
			return out
		}
		for _, row := range batch.Rows {
			out = append(out, uint64(row[def.Column(schema.SeqName)].Int()))
		}
	}
}

// A crash at any step of a flush loses nothing and leaves no stray file once the
// next start has recovered.
func TestCrashDuringFlush(t *testing.T) {
	const rows = 5000
	type step struct {
		name string
		fs   *disk.Mem
	}
	var steps []step
	mem := disk.NewMem()
	clock := newClock()
	n := openNode(t, nodeOptions{FS: mem, Clock: clock, Committer: func(to command.Committer) command.Committer {
		return hooked{to, func(body command.Body) error {
			for _, percent := range []int{0, 40, 100} {
				steps = append(steps, step{fmt.Sprintf("before %T %d%%", body, percent), mem.CrashClone(uint64(len(steps)), percent)})
			}
			return nil
		}}
	}})
	shared := sharedTable()
	def := n.Commit(&command.CreateTable{Table: shared}).Table
	insert(n, def, "", 0, rows)
	if _, err := n.Maint.Flush(context.Background(), def.ID); err != nil {
		t.Fatal(err)
	}
	steps = append(steps, step{"after the flush", mem.CrashClone(1, 0)})
	if len(steps) != 3*4+1 {
		t.Fatalf("%d steps", len(steps))
	}
	for _, s := range steps {
		t.Run(strings.ReplaceAll(s.name, "*command.", ""), func(t *testing.T) {
			after := openNode(t, nodeOptions{FS: s.fs, Clock: clock})
			whole := func() {
				t.Helper()
				got := bodies(t, after, def, "")
				for i := range rows {
					if body := got[int64(i)*7919%1_000_003]; body != fmt.Sprintf("body %d", i) {
						t.Fatalf("row %d says %q", i, body)
					}
				}
			}
			whole()
			if err := after.Maint.Recover(context.Background()); err != nil {
				t.Fatal(err)
			}
			whole()
			newest := seqs(t, after, def, "", source.Request{Order: source.BySeqDesc})
			if len(newest) != rows || !slices.IsSortedFunc(newest, func(a, b uint64) int { return cmp.Compare(b, a) }) {
				t.Errorf("by _seq there are %d rows, or they are not in order", len(newest))
			}
			if tail := seqs(t, after, def, "", source.Request{Order: source.BySeq, AfterSeq: newest[10]}); len(tail) != 10 {
				t.Errorf("behind the eleventh newest row there are %d", len(tail))
			}
			for _, name := range files(t, s.fs, "/data/storage") {
				if strings.HasSuffix(name, ".tmp") {
					t.Errorf("%s remains", name)
				}
			}
			if _, err := after.Maint.Flush(context.Background(), def.ID); err != nil {
				t.Fatal(err)
			}
			whole()
			view := after.Relations.View()
			defer view.Release()
			stats, err := view.TableStats(context.Background(), def, "", true)
			if err != nil || stats.HotRows != 0 || stats.ColdRows != rows || stats.Segments != 1 {
				t.Errorf("after the next flush %+v, %v", stats, err)
			}
			names := files(t, s.fs, "/data/storage")
			if len(names) != 2 || !strings.HasPrefix(names[0], "default/notes/batch-") || names[1] != "default/notes/manifest.json" {
				t.Errorf("the storage holds %q", names)
			}
		})
	}
}

// A flush that fails leaves the rows hot and no file.
func TestFailedFlush(t *testing.T) {
	refuse := ""
	refused := errors.New("refused by the test")
	mem := disk.NewMem()
	fs := disk.Inject(mem, func(op disk.Op) error {
		if refuse != "" && strings.Contains(op.Path, "/storage/") && strings.Contains(fmt.Sprint(op.Kind), refuse) {
			return refused
		}
		return nil
	})
	n := openNode(t, nodeOptions{FS: fs, Committer: func(to command.Committer) command.Committer {
		return hooked{to, func(body command.Body) error {
			if _, ok := body.(*command.Adopt); ok && refuse == "adopt" {
				return refused
			}
			return nil
		}}
	}})
	shared := sharedTable()
	def := n.Commit(&command.CreateTable{Table: shared}).Table
	insert(n, def, "", 0, 100)
	for _, what := range []string{"write", "sync", "rename", "adopt"} {
		refuse = what
		_, err := n.Maint.Flush(context.Background(), def.ID)
		refuse = ""
		if !errors.Is(err, refused) {
			t.Fatalf("%s: the flush says %v", what, err)
		}
		if got := bodies(t, n, def, ""); len(got) != 100 {
			t.Errorf("%s: %d rows remain", what, len(got))
		}
		if names := files(t, mem, "/data/storage"); len(names) != 0 {
			t.Errorf("%s: the storage holds %q", what, names)
		}
	}
	if _, err := n.Maint.Flush(context.Background(), def.ID); err != nil {
		t.Fatal(err)
	}
	if names := files(t, mem, "/data/storage"); len(names) != 2 || names[0] != "default/notes/batch-4.parquet" {
		t.Errorf("numbers of files are used twice: %q", names)
	}
}

// When nobody knows whether rows were adopted, the server being at its end, their
// file stays for the next start, which does.
func TestFlushCutOffByTheEnd(t *testing.T) {
	mem, clock := disk.NewMem(), newClock()
	n := openNode(t, nodeOptions{FS: mem, Clock: clock, Committer: func(to command.Committer) command.Committer {
		return hooked{to, func(body command.Body) error {
			if _, ok := body.(*command.Adopt); ok {
				return fault.New(fault.ShuttingDown, "the server is stopping")
			}
			return nil
		}}
	}})
	def := n.Commit(&command.CreateTable{Table: sharedTable()}).Table
	insert(n, def, "", 0, 100)
	if _, err := n.Maint.Flush(context.Background(), def.ID); !fault.Is(err, fault.ShuttingDown) {
		t.Fatalf("the flush says %v", err)
	}
	if names := files(t, mem, "/data/storage"); len(names) != 1 {
		t.Errorf("the storage holds %q", names)
	}
	n.Close()
	after := openNode(t, nodeOptions{FS: mem, Clock: clock})
	if err := after.Maint.Recover(context.Background()); err != nil {
		t.Fatal(err)
	}
	if names, rows := files(t, mem, "/data/storage"), bodies(t, after, def, ""); len(names) != 0 || len(rows) != 100 {
		t.Errorf("the storage holds %q, the table %d rows", names, len(rows))
	}
}

// Each scope has its own folder, and a manifest that says what is in it.
func TestFoldersAndManifests(t *testing.T) {
	n := openNode(t, nodeOptions{})
	user := notesTable()
	def := n.Commit(&command.CreateTable{Table: user}).Table
	ctx := context.Background()
	insert(n, def, "alice", 0, 10)
	if _, err := n.Maint.Flush(ctx, def.ID); err != nil {
		t.Fatal(err)
	}
	insert(n, def, "../bob", 0, 20)
	insert(n, def, "alice", 10, 15)
	if _, err := n.Maint.Flush(ctx, def.ID); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"default/notes/%2E.%2Fbob/batch-0.parquet", "default/notes/%2E.%2Fbob/manifest.json",
		"default/notes/alice/batch-0.parquet", "default/notes/alice/batch-1.parquet", "default/notes/alice/manifest.json",
	}
	if got := files(t, n.FS, "/data/storage"); !slices.Equal(got, want) {
		t.Errorf("the storage holds %q", got)
	}
	text, err := disk.ReadFile(n.FS, "/data/storage/default/notes/alice/manifest.json")
	if err != nil {
		t.Fatal(err)
	}
	var manifest cold.Manifest
	if err := json.Unmarshal(text, &manifest); err != nil {
		t.Fatal(err)
	}
	if manifest.TableID != "default:notes" || *manifest.UserID != "alice" || len(manifest.Segments) != 2 ||
		manifest.Segments[1].Path != "batch-1.parquet" || manifest.Segments[1].RowCount != 5 || manifest.Segments[1].Status != "committed" {
		t.Errorf("the manifest says %s", text)
	}
	view := n.Relations.View()
	defer view.Release()
	rows := systemRows(t, view, "manifest")
	if len(rows) != 2 || rows[1][0].Text() != "default:notes:alice" || rows[1][9].Text() != string(text) || rows[1][8].Text() != "in_sync" {
		t.Errorf("system.manifest says %v", rows)
	}
	if result, err := n.Maint.Flush(ctx, def.ID); err != nil || result != (maint.FlushResult{}) {
		t.Errorf("a flush without rows: %+v, %v", result, err)
	}
}

// systemRows returns the rows of a system table.
func systemRows(t *testing.T, view *relation.View, name string) [][]datum.Value {
	t.Helper()
	def, err := view.Table("system", name)
	if err != nil {
		t.Fatal(err)
	}
	open, err := view.Open(def, "", relation.Caller{Role: schema.RoleSystem})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := open.Scan(context.Background(), source.Request{})
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all [][]datum.Value
	for {
		batch, err := rows.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if batch == nil {
			return all
		}
		all = append(all, batch.Rows...)
	}
}

// A dropped table's files go when no view can read them any more.
func TestDroppedTable(t *testing.T) {
	n := openNode(t, nodeOptions{})
	ctx := context.Background()
	user := notesTable()
	def := n.Commit(&command.CreateTable{Table: user}).Table
	insert(n, def, "alice", 0, 10)
	insert(n, def, "bob", 0, 10)
	if _, err := n.Maint.Flush(ctx, def.ID); err != nil {
		t.Fatal(err)
	}
	view := n.Relations.View()
	n.Commit(&command.DropTable{Table: def.ID})
	if err := n.Maint.RemoveFiles(ctx); err != nil {
		t.Fatal(err)
	}
	if names := files(t, n.FS, "/data/storage"); len(names) != 4 {
		t.Errorf("under an open view the storage holds %q", names)
	}
	open, err := view.Open(def, "alice", relation.Caller{})
	if err != nil {
		t.Fatal(err)
	}
	rows, err := open.Scan(ctx, source.Request{Order: source.BySeq})
	if err != nil {
		t.Fatal(err)
	}
	if batch, err := rows.Next(ctx); err != nil || len(batch.Rows) != 10 {
		t.Errorf("the view shows %v, %v", batch, err)
	}
	rows.Close()
	view.Release()
	id := n.Maint.Dropped(def)
	j, err := n.Jobs.Wait(ctx, id)
	if err != nil || j.Status != schema.JobCompleted || !strings.HasPrefix(id, "CL-") || !strings.Contains(j.Message, "removed 2 file(s)") {
		t.Errorf("the cleanup ended as %+v, %v", j, err)
	}
	if ok, _ := disk.Exists(n.FS, "/data/storage/default"); ok {
		t.Errorf("folders remain: %q", files(t, n.FS, "/data/storage"))
	}
}

// What STORAGE FLUSH answers, and what system.jobs shows of it.
func TestFlushJobs(t *testing.T) {
	hold := make(chan struct{})
	held := false
	n := openNode(t, nodeOptions{Committer: func(to command.Committer) command.Committer {
		return hooked{to, func(body command.Body) error {
			if _, ok := body.(*command.Adopt); ok && !held {
				held = true
				<-hold
			}
			return nil
		}}
	}})
	ctx := context.Background()
	shared := sharedTable()
	def := n.Commit(&command.CreateTable{Table: shared}).Table
	f := func(message string, err error, want string) {
		t.Helper()
		if err != nil || !strings.HasPrefix(message, want) {
			t.Errorf("the statement answers %q, %v; want %q", message, err, want)
		}
	}
	message, err := n.Maint.StartFlush(ctx, "root", def)
	f(message, err, "Storage flush skipped: no pending writes for table 'default.notes'")
	message, err = n.Maint.StartFlushAll(ctx, "root", "default")
	f(message, err, "Storage flush skipped: no pending writes")
	insert(n, def, "", 0, 10)
	message, err = n.Maint.StartFlush(ctx, "root", def)
	f(message, err, "Storage flush started for table 'default.notes'. Job ID: FL-")
	id := message[strings.LastIndex(message, " ")+1:]
	message, err = n.Maint.StartFlush(ctx, "root", def)
	f(message, err, "Storage flush skipped: a flush of table 'default.notes' is already queued or running. Job ID: "+id)
	close(hold)
	j, err := n.Jobs.Wait(ctx, id)
	if err != nil || j.Status != schema.JobCompleted || !strings.HasPrefix(j.Message, "Flushed 10 row(s)") || j.StartedAt == 0 || j.FinishedAt == 0 {
		t.Errorf("the job ended as %+v, %v", j, err)
	}
	insert(n, def, "", 10, 12)
	n.Clock.Advance(time.Second)
	message, err = n.Maint.StartFlushAll(ctx, "root", "")
	f(message, err, "Storage flush started for 1 table(s). Job IDs: [FL-")
	second := strings.TrimSuffix(message[strings.LastIndex(message, "[")+1:], "]")
	if j, err := n.Jobs.Wait(ctx, second); err != nil || j.Status != schema.JobCompleted {
		t.Errorf("the job ended as %+v, %v", j, err)
	}
	view := n.Relations.View()
	defer view.Release()
	rows := systemRows(t, view, "jobs")
	if len(rows) != 2 || rows[0][0].Text() != id || rows[0][1].Text() != "flush" || rows[0][2].Text() != "completed" ||
		!strings.Contains(rows[0][4].Text(), `"namespace":"default","table":"notes"`) {
		t.Errorf("system.jobs says %v", rows)
	}
	if r := fmt.Sprint(rows[0][20:27]); !strings.HasPrefix(r, "[100 Flushed 10 row(s)") || !strings.HasSuffix(r, " default notes root]") {
		t.Errorf("system.jobs adds %s", r)
	}
	if _, err := n.Jobs.Cancel(ctx, id); !fault.Is(err, fault.InvalidOperation) {
		t.Errorf("cancelling a finished job: %v", err)
	}
	if _, err := n.Jobs.Cancel(ctx, "FL-none"); !fault.Is(err, fault.ObjectNotFound) {
		t.Errorf("cancelling an unknown job: %v", err)
	}
	n.Clock.Advance(31 * 24 * time.Hour)
	left := func() (schema.Job, int) {
		after := n.Relations.View()
		defer after.Release()
		rows := systemRows(t, after, "jobs")
		j, err := n.Jobs.Wait(ctx, rows[len(rows)-1][0].Text())
		if err != nil {
			t.Fatal(err)
		}
		return j, len(rows)
	}
	for range 2 { // the second finds nothing to do
		if err := n.Maint.PruneJobs(ctx); err != nil {
			t.Fatal(err)
		}
		left() // waits for it
	}
	if j, rows := left(); rows != 1 || j.Type != "job_cleanup" || !strings.HasPrefix(j.ID, "JC-") || j.Parameters != `{"retention_days":30}` ||
		j.Message != "Removed 2 job(s) that finished more than 30 day(s) ago" {
		t.Errorf("%d jobs remain; the last is %+v", rows, j)
	}
}

// A stream table cannot be flushed, nor one that does not exist.
func TestRefusedFlush(t *testing.T) {
	n := openNode(t, nodeOptions{})
	stream := notesTable()
	stream.Kind, stream.Options = schema.Stream, schema.Options{TTLSeconds: 60}
	def := n.Commit(&command.CreateTable{Table: stream}).Table
	if _, err := n.Maint.Flush(context.Background(), def.ID); !fault.Is(err, fault.InvalidOperation) || !strings.Contains(err.Error(), "stream") {
		t.Errorf("flushing a stream: %v", err)
	}
	if _, err := n.Maint.Flush(context.Background(), 99); !fault.Is(err, fault.TableNotFound) {
		t.Errorf("flushing nothing: %v", err)
	}
}

// Tombstones go after their retention, with all versions of their key; live
// rows and younger tombstones stay.
func TestPurge(t *testing.T) {
	n := openNode(t, nodeOptions{})
	ctx := context.Background()
	shared := sharedTable()
	shared.Options.DeletedRetentionSeconds = 7200
	def := n.Commit(&command.CreateTable{Table: shared}).Table
	insert(n, def, "", 0, 5000)
	if _, err := n.Maint.Flush(ctx, def.ID); err != nil {
		t.Fatal(err)
	}
	insert(n, def, "", 5000, 5010)
	for i := range 30 {
		change(t, n, def, "", i, "")
	}
	change(t, n, def, "", 5001, "")
	tombstones := func() int {
		t.Helper()
		view := n.Relations.View()
		defer view.Release()
		open, err := view.Open(def, "", relation.Caller{})
		if err != nil {
			t.Fatal(err)
		}
		rows, err := open.Scan(ctx, source.Request{Deleted: true})
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		dead, deleted := 0, def.Column("_deleted")
		for {
			batch, err := rows.Next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if batch == nil {
				return dead
			}
			for _, row := range batch.Rows {
				if row[deleted].Bool() {
					dead++
				}
			}
		}
	}
	maintain := func(want int) {
		t.Helper()
		if err := errors.Join(n.Maint.ForgetHistory(ctx), n.Maint.Purge(ctx)); err != nil {
			t.Fatal(err)
		}
		if got := tombstones(); got != want {
			t.Errorf("%d tombstones, want %d", got, want)
		}
		if got := bodies(t, n, def, ""); len(got) != 4979 {
			t.Errorf("%d rows, want 4979", len(got))
		}
	}
	maintain(31)
	n.Clock.Advance(90 * time.Minute)
	change(t, n, def, "", 5002, "")
	insert(n, def, "", 5002, 5003)
	change(t, n, def, "", 5003, "")
	insert(n, def, "", 6000, 6001)
	maintain(32)
	n.Clock.Advance(45 * time.Minute)
	maintain(1)
	if got := n.Maint.Stats().PurgedRows; got != 31 {
		t.Errorf("the figures say %d", got)
	}
	n.Clock.Advance(3 * time.Hour)
	maintain(0)
}

// A scan of many cold rows by key reads each row group a few times, not once
// per row, even when the cache holds next to nothing; a point read enters one.
func TestColdReadsAreFew(t *testing.T) {
	n := openNode(t, nodeOptions{Cold: cold.Options{RowGroupRows: 1024, CacheBytes: 1 << 16}})
	ctx := context.Background()
	shared := sharedTable()
	def := n.Commit(&command.CreateTable{Table: shared}).Table
	insert(n, def, "", 0, 20_000)
	if _, err := n.Maint.Flush(ctx, def.ID); err != nil {
		t.Fatal(err)
	}
	groups := func() int64 { return n.Cold.Stats().RowGroups }
	before := groups()
	if got := bodies(t, n, def, ""); len(got) != 20_000 {
		t.Fatalf("%d rows", len(got))
	}
	if used := groups() - before; used > 200 {
		t.Errorf("a scan by key of 27 row groups entered %d", used)
	}
	view := n.Relations.View()
	defer view.Release()
	open, err := view.Open(def, "", relation.Caller{})
	if err != nil {
		t.Fatal(err)
	}
	drain := func(r source.Request) (got int) {
		t.Helper()
		rows, err := open.Scan(ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for {
			batch, err := rows.Next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if batch == nil {
				return got
			}
			got += len(batch.Rows)
		}
	}
	before = groups()
	if got := drain(source.Request{Order: source.BySeq}); got != 20_000 || groups()-before > 30 {
		t.Errorf("a scan by _seq gave %d rows and entered %d row groups", got, groups()-before)
	}
	before = groups()
	last := view.Position()
	if got := drain(source.Request{Order: source.BySeq, AfterSeq: last - 1}); got != 0 || groups() != before {
		t.Errorf("a scan above all windows gave %d rows and entered %d row groups", got, groups()-before)
	}
	before = groups()
	if got := drain(source.Request{Keys: [][]datum.Value{{datum.NewInt(datum.BigInt, 7919*777%1_000_003)}}}); got != 1 || groups()-before != 1 {
		t.Errorf("a point read gave %d rows and entered %d row groups", got, groups()-before)
	}
}

// When every row of a scope has been deleted, the next flush leaves no file of
// it and a manifest without segments; marks of other scopes' rows stay.
func TestEmptyWindowsGo(t *testing.T) {
	n := openNode(t, nodeOptions{})
	ctx := context.Background()
	user := notesTable()
	def := n.Commit(&command.CreateTable{Table: user}).Table
	insert(n, def, "alice", 0, 5)
	insert(n, def, "bob", 0, 5)
	if _, err := n.Maint.Flush(ctx, def.ID); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		change(t, n, def, "alice", i, "")
		if i < 4 {
			change(t, n, def, "bob", i, "")
		}
	}
	message, err := n.Maint.StartFlush(ctx, "root", def)
	if err != nil || !strings.HasPrefix(message, "Storage flush started") {
		t.Fatalf("the statement answers %q, %v", message, err)
	}
	if j, err := n.Jobs.Wait(ctx, message[strings.LastIndex(message, " ")+1:]); err != nil || j.Status != schema.JobCompleted {
		t.Fatalf("the job ended as %+v, %v", j, err)
	}
	want := []string{"default/notes/alice/manifest.json", "default/notes/bob/batch-0.parquet", "default/notes/bob/manifest.json"}
	if got := files(t, n.FS, "/data/storage"); !slices.Equal(got, want) {
		t.Errorf("the storage holds %q", got)
	}
	text, err := disk.ReadFile(n.FS, "/data/storage/default/notes/alice/manifest.json")
	if err != nil || !strings.Contains(string(text), `"segments":[]`) {
		t.Errorf("the manifest says %s, %v", text, err)
	}
	if got := bodies(t, n, def, "bob"); len(got) != 1 {
		t.Errorf("bob has %d rows", len(got))
	}
	message, err = n.Maint.StartFlush(ctx, "root", def)
	if err != nil || !strings.HasPrefix(message, "Storage flush skipped: no pending writes") {
		t.Errorf("the statement answers %q, %v", message, err)
	}
	insert(n, def, "alice", 0, 5)
	if _, err := n.Maint.Flush(ctx, def.ID); err != nil {
		t.Fatal(err)
	}
	if got := bodies(t, n, def, "alice"); len(got) != 5 {
		t.Errorf("alice has %d rows", len(got))
	}
	if got := files(t, n.FS, "/data/storage/default/notes/alice"); !slices.Equal(got, []string{"batch-1.parquet", "manifest.json"}) {
		t.Errorf("the folder holds %q", got)
	}
}
