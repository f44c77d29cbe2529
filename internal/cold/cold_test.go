package cold

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"kalamdb/internal/datum"
	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
)

// notes returns a table of a shared namespace.
func notes() *schema.Table {
	return &schema.Table{
		ID: 7, Namespace: "app", Name: "notes", Kind: schema.Shared, Version: 1, Key: []schema.ColumnID{1}, NextColumnID: 6,
		Columns: []schema.Column{
			{ID: 1, Name: "id", Type: datum.Type{Kind: datum.Int}, NotNull: true},
			{ID: 2, Name: "body", Type: datum.Type{Kind: datum.Text}},
			{ID: 3, Name: "score", Type: datum.Type{Kind: datum.Int}},
			{ID: 4, Name: "_seq", Type: datum.Type{Kind: datum.BigInt}, NotNull: true, System: schema.SeqColumn},
			{ID: 5, Name: "_deleted", Type: datum.Type{Kind: datum.Bool}, NotNull: true, System: schema.DeletedColumn},
		},
	}
}

func noteRow(i int) []datum.Value {
	score := datum.NewInt(datum.Int, int64(i%100))
	if i%10 == 3 {
		score = datum.Value{}
	}
	return []datum.Value{
		datum.NewInt(datum.Int, int64(i*7%1009)), datum.NewText(fmt.Sprintf("note %d", i)), score,
		datum.NewInt(datum.BigInt, int64(1000+i*10)), datum.NewBool(false),
	}
}

// write writes a file of rows and returns its entry.
func write(t *testing.T, tier *Tier, st schema.Storage, def *schema.Table, number uint64, rows int) schema.File {
	t.Helper()
	f := schema.File{Number: number, Path: fmt.Sprintf("%s/batch-%d.parquet", FolderOf(st, def, ""), number)}
	w, err := tier.Create(st, f.Path, def, CreateOptions{Rows: int64(rows)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		if n, err := w.Append(noteRow(i)); err != nil || n != uint64(i) {
			t.Fatalf("append row %d: %d, %v", i, n, err)
		}
	}
	info, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	f.Size, f.Rows, f.Checksum, f.Statistics = info.Size, info.Rows, info.Checksum, info.Statistics
	if info.Rows != uint64(rows) || info.MinSeq != 1000 || info.MaxSeq != uint64(1000+(rows-1)*10) {
		t.Fatalf("info %+v", info)
	}
	return f
}

func blank(n, width int) [][]datum.Value {
	rows := make([][]datum.Value, n)
	for i := range rows {
		rows[i] = make([]datum.Value, width)
	}
	return rows
}

func text(row []datum.Value) string {
	cells := make([]string, len(row))
	for i, v := range row {
		cells[i] = v.String()
	}
	return strings.Join(cells, " ")
}

// A point read decodes pages of one row group, and those only once.
func TestPointReadTouchesOneRowGroup(t *testing.T) {
	ctx, def, st := context.Background(), notes(), schema.Storage{}
	tier := New(Options{FS: disk.NewMem(), DataDir: "/data", RowGroupRows: 1024})
	f := write(t, tier, st, def, 1, 5000)
	r, err := tier.Open(st, f)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.RowGroups() < 4 {
		t.Fatalf("%d row groups", r.RowGroups())
	}
	row := blank(1, len(def.Columns))
	if err := r.Fetch(ctx, def, nil, []uint64{3333}, row); err != nil {
		t.Fatal(err)
	}
	if got, want := text(row[0]), text(noteRow(3333)); got != want {
		t.Errorf("row is %s, want %s", got, want)
	}
	stats := tier.Stats()
	if stats.RowGroups != 1 || stats.PagesRead != int64(len(def.Columns)) {
		t.Errorf("a point read entered %d row groups and decoded %d pages", stats.RowGroups, stats.PagesRead)
	}
	if err := r.Fetch(ctx, def, nil, []uint64{3330, 3333, 3334}, blank(3, len(def.Columns))); err != nil {
		t.Fatal(err)
	}
	if now := tier.Stats(); now.RowGroups != 1 || now.PagesRead != stats.PagesRead {
		t.Errorf("neighbours were decoded again: %+v", now)
	}
	if err := r.Fetch(ctx, def, []int{1}, []uint64{0, 4999}, blank(2, len(def.Columns))); err != nil {
		t.Fatal(err)
	}
	if now := tier.Stats(); now.RowGroups != 3 || now.PagesRead != stats.PagesRead+2 {
		t.Errorf("one column of two row groups: %+v", now)
	}
}

func TestScan(t *testing.T) {
	ctx, def, st := context.Background(), notes(), schema.Storage{}
	tier := New(Options{FS: disk.NewMem(), DataDir: "/data", RowGroupRows: 1024})
	f := write(t, tier, st, def, 1, 3000)
	r, err := tier.Open(st, f)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	scan, err := r.Scan(def, nil, 100, 2900)
	if err != nil {
		t.Fatal(err)
	}
	defer scan.Close()
	next, rows := uint64(100), blank(256, len(def.Columns))
	for {
		first, n, err := scan.Next(ctx, rows)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		if first != next {
			t.Fatalf("rows from %d, want %d", first, next)
		}
		for i := range n {
			if got, want := text(rows[i]), text(noteRow(int(first)+i)); got != want {
				t.Fatalf("row %d is %s, want %s", int(first)+i, got, want)
			}
		}
		next += uint64(n)
	}
	if next != 2900 {
		t.Errorf("the scan ended at %d", next)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, _, err := scan.Next(cancelled, rows); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled scan says %v", err)
	}
}

// A file shows the columns of a later definition.
func TestLaterDefinition(t *testing.T) {
	ctx, def, st := context.Background(), notes(), schema.Storage{}
	tier := New(Options{FS: disk.NewMem(), DataDir: "/data"})
	f := write(t, tier, st, def, 1, 20)
	later := def.Clone()
	later.Version = 3
	later.Columns = []schema.Column{
		{ID: 1, Name: "number", Type: datum.Type{Kind: datum.BigInt}, NotNull: true}, // renamed and widened
		{ID: 8, Name: "body", Type: datum.Type{Kind: datum.Text}, Since: 3},          // dropped and added again
		{ID: 9, Name: "stars", Type: datum.Type{Kind: datum.BigInt}, Since: 2, Missing: datum.AppendValue(nil, datum.NewInt(datum.Int, 5))},
		{ID: 3, Name: "score", Type: datum.Type{Kind: datum.Double}},
		def.Columns[3], def.Columns[4],
	}
	r, err := tier.Open(st, f)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	rows := blank(2, len(later.Columns))
	if err := r.Fetch(ctx, later, nil, []uint64{3, 4}, rows); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"21 NULL 5 NULL 1030 false", "28 NULL 5 4.0 1040 false"} {
		if got := text(rows[i]); got != want {
			t.Errorf("row is %s, want %s", got, want)
		}
	}
	for _, place := range []int{0, 2} {
		if k := rows[1][place].Kind(); k != datum.BigInt {
			t.Errorf("the widened column %s is %v", later.Columns[place].Name, k)
		}
	}
}

// What Finish has returned for survives a power cut, and nothing else has a
// final name.
func TestPowerCut(t *testing.T) {
	def, st := notes(), schema.Storage{}
	mem := disk.NewMem()
	tier := New(Options{FS: mem, DataDir: "/data"})
	whole := write(t, tier, st, def, 1, 2000)
	w, err := tier.Create(st, "app/other/batch-2.parquet", def, CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		if _, err := w.Append(noteRow(i)); err != nil {
			t.Fatal(err)
		}
	}
	for seed := range uint64(20) {
		clone := mem.CrashClone(seed, 50)
		after := New(Options{FS: clone, DataDir: "/data"})
		r, err := after.Open(st, whole)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if err := r.Fetch(context.Background(), def, nil, []uint64{1999}, blank(1, len(def.Columns))); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		r.Close()
		if _, err := after.Open(st, schema.File{Number: 2, Path: "app/other/batch-2.parquet"}); !disk.IsNotExist(err) {
			t.Errorf("seed %d: an unfinished file has its final name: %v", seed, err)
		}
		if err := after.Remove(st, schema.File{Number: 2, Path: "app/other/batch-2.parquet"}); err != nil {
			t.Errorf("seed %d: remove what is left: %v", seed, err)
		}
		if names, err := clone.List("/data/storage/app"); err != nil || len(names) != 1 {
			t.Errorf("seed %d: folders %q remain, %v", seed, names, err)
		}
	}
	w.Abort()
	if names, err := mem.List("/data/storage/app"); err != nil || len(names) != 1 {
		t.Errorf("after an abort %q remain, %v", names, err)
	}
}

func TestRefusals(t *testing.T) {
	def, st := notes(), schema.Storage{}
	mem := disk.NewMem()
	tier := New(Options{FS: mem, DataDir: "/data"})
	f := write(t, tier, st, def, 1, 10)
	short := f
	short.Number, short.Size = 2, f.Size+1
	if _, err := tier.Open(st, short); !errors.Is(err, ErrDamaged) {
		t.Errorf("a file of another length: %v", err)
	}
	if _, err := tier.Create(schema.Storage{Type: "s3"}, "x", def, CreateOptions{}); err == nil {
		t.Error("an unknown type of storage was taken")
	}
	for _, name := range []string{"../x", "/x", "a/../../x", ""} {
		if _, err := tier.Create(st, name, def, CreateOptions{}); err == nil {
			t.Errorf("object name %q was taken", name)
		}
	}
	if _, err := tier.Create(st, "a/b", def, CreateOptions{Compression: "lz9"}); err == nil {
		t.Error("an unknown compression was taken")
	}
	mem.SetFree(0)
	w, err := tier.Create(st, "app/notes/batch-3.parquet", def, CreateOptions{})
	if err == nil {
		for i := 0; i < 100_000 && err == nil; i++ {
			_, err = w.Append(noteRow(i))
		}
		if err == nil {
			_, err = w.Finish()
		}
		w.Abort()
	}
	if !disk.IsFull(err) {
		t.Errorf("a full disk says %v", err)
	}
}

// Files in use stay readable after Remove; idle ones are bounded.
func TestOpenFiles(t *testing.T) {
	ctx, def, st := context.Background(), notes(), schema.Storage{}
	tier := New(Options{FS: disk.NewMem(), DataDir: "/data", OpenFiles: 2})
	var files []schema.File
	for n := range uint64(5) {
		files = append(files, write(t, tier, st, def, n+1, 10))
	}
	for range 2 {
		for _, f := range files {
			r, err := tier.Open(st, f)
			if err != nil {
				t.Fatal(err)
			}
			r.Close()
		}
	}
	if open := tier.Stats().OpenFiles; open != 2 {
		t.Errorf("%d files are open, want 2", open)
	}
	a, err := tier.Open(st, files[0])
	if err != nil {
		t.Fatal(err)
	}
	b, err := tier.Open(st, files[0])
	if err != nil {
		t.Fatal(err)
	}
	if a != b {
		t.Error("two openings of one file do not share it")
	}
	if err := tier.Remove(st, files[0]); err != nil {
		t.Fatal(err)
	}
	a.Close()
	if err := b.Fetch(ctx, def, nil, []uint64{5}, blank(1, len(def.Columns))); err != nil {
		t.Errorf("reading a removed file that is open: %v", err)
	}
	b.Close()
	if _, err := tier.Open(st, files[0]); !disk.IsNotExist(err) {
		t.Errorf("opening a removed file: %v", err)
	}
	if err := tier.Close(); err != nil || tier.Stats().OpenFiles != 0 {
		t.Errorf("close: %v, %d files open", err, tier.Stats().OpenFiles)
	}
}

func TestManifest(t *testing.T) {
	def, st := notes(), schema.Storage{}
	mem := disk.NewMem()
	tier := New(Options{FS: mem, DataDir: "/data"})
	f := write(t, tier, st, def, 0, 20)
	f.Scope, f.CreatedAt = "", 1_700_000_000_000_000
	seg := schema.Segment{File: 0, To: 12, MinSeq: 1000, MaxSeq: 1190, SchemaVersion: 1}
	manifest, err := ManifestOf(def, "", []SegmentFile{{seg, f}}).JSON()
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`{"table_id":"app:notes","version":1,"created_at":1700000000000000,"updated_at":1700000000000000,`+
		`"segments":[{"id":"batch-0","path":"batch-0.parquet","min_seq":1000,"max_seq":1190,"row_count":12,"size_bytes":%d,`+
		`"created_at":1700000000000000,"schema_version":1,"status":"in_progress",`+
		`"column_stats":{"1":{"min":0,"max":133,"null_count":0},"4":{"min":"1000","max":"1190","null_count":0}}}],`+
		`"last_sequence_number":0,"files":null,"vector_indexes":{}}`, f.Size)
	if string(manifest) != want {
		t.Errorf("manifest is\n%s\nwant\n%s", manifest, want)
	}
	folder := FolderOf(st, def, "")
	if err := tier.PutManifest(st, folder, manifest); err != nil {
		t.Fatal(err)
	}
	if names, _ := mem.List("/data/storage/app/notes"); strings.Join(names, " ") != "batch-0.parquet manifest.json" {
		t.Errorf("the folder holds %q", names)
	}
	if err := errors.Join(tier.Remove(st, f), tier.RemoveManifest(st, folder)); err != nil {
		t.Fatal(err)
	}
	if ok, _ := disk.Exists(mem, "/data/storage/app"); ok {
		t.Error("empty folders remain")
	}
	user := def.Clone()
	user.Kind = schema.User
	if text, _ := ManifestOf(user, "alice", nil).JSON(); !strings.Contains(string(text), `"user_id":"alice"`) || !strings.Contains(string(text), `"segments":[]`) {
		t.Errorf("the manifest of a user is %s", text)
	}
}

func TestCheck(t *testing.T) {
	mem := disk.NewMem()
	tier := New(Options{FS: mem, DataDir: "/data"})
	h := tier.Check(tier.LocalStorage(1), true)
	if h.Status() != "healthy" || !h.Readable || !h.Writable || !h.Listable || !h.Deletable || h.TotalBytes == 0 {
		t.Errorf("a fresh storage: %+v", h)
	}
	refusing := disk.Inject(mem, func(op disk.Op) error {
		if strings.HasSuffix(op.Path, probeName+".tmp") {
			return errors.New("refused")
		}
		return nil
	})
	if h := New(Options{FS: refusing, DataDir: "/data"}).Check(schema.Storage{}, false); h.Status() != "degraded" || h.Writable {
		t.Errorf("a storage that cannot be written: %+v", h)
	}
	if got := tier.Base(schema.Storage{BaseDirectory: "file:///mnt/x/"}); got != "/mnt/x" {
		t.Errorf("base of a file URL is %q", got)
	}
}

// The operating system's file system takes the same steps.
func TestRealDisk(t *testing.T) {
	def := notes()
	tier := New(Options{DataDir: t.TempDir()})
	st := tier.LocalStorage(1)
	f := write(t, tier, st, def, 1, 2000)
	r, err := tier.Open(st, f)
	if err != nil {
		t.Fatal(err)
	}
	row := blank(1, len(def.Columns))
	if err := r.Fetch(context.Background(), def, nil, []uint64{1234}, row); err != nil || text(row[0]) != text(noteRow(1234)) {
		t.Errorf("row is %s, %v", text(row[0]), err)
	}
	r.Close()
	if h := tier.Check(st, true); h.Status() != "healthy" {
		t.Errorf("the storage is %+v", h)
	}
	if err := errors.Join(tier.Remove(st, f), tier.Close()); err != nil {
		t.Error(err)
	}
	if names, err := disk.Real().List(tier.Base(st)); err != nil || len(names) != 0 {
		t.Errorf("%q remain, %v", names, err)
	}
}
