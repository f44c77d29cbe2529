package iceberg

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/iceberg-go"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
)

var rewrite = flag.Bool("rewrite", false, "write testdata anew")

// everyType is a table with a column of each type.
func everyType(kind schema.Kind) *schema.Table {
	t := &schema.Table{ID: 7, Namespace: "app", Name: "all", Kind: kind, Version: 3, CreatedSeq: 11, CreatedAt: 12, Key: []schema.ColumnID{1}}
	for i, text := range []datum.Type{
		{Kind: datum.BigInt}, {Kind: datum.Text}, {Kind: datum.Int}, {Kind: datum.SmallInt}, {Kind: datum.Bool}, {Kind: datum.Float},
		{Kind: datum.Double}, {Kind: datum.Decimal, Precision: 10, Scale: 2}, {Kind: datum.JSON}, {Kind: datum.Bytes}, {Kind: datum.UUID},
		{Kind: datum.Date}, {Kind: datum.Time}, {Kind: datum.Timestamp}, {Kind: datum.DateTime}, {Kind: datum.Embedding, Dim: 3}, {Kind: datum.File},
	} {
		t.Columns = append(t.Columns, schema.Column{ID: schema.ColumnID(i + 1), Name: fmt.Sprint("c", i+1), Type: text})
	}
	t.Columns = append(t.Columns,
		schema.Column{ID: 40, Name: "_seq", Type: datum.Type{Kind: datum.BigInt}, NotNull: true, System: schema.SeqColumn},
		schema.Column{ID: 41, Name: "_deleted", Type: datum.Type{Kind: datum.Bool}, NotNull: true, System: schema.DeletedColumn})
	return t
}

// describe writes what the objects of a snapshot say. Bytes of Avro files are not
// pinned, for each has a mark of chance; what the library reads of them is.
func describe(t *testing.T, s *Snapshot) string {
	t.Helper()
	var err error
	if s.Digest, err = s.Sum(); err != nil {
		t.Fatal(err)
	}
	objects := map[string][]byte{}
	names, err := s.Write(func(name string, data []byte) error {
		objects[name] = bytes.Clone(data)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "%s\n", strings.Join(names, "\n"))
	if names[len(names)-1] != MetadataName(s.Number) || slices.ContainsFunc(names, func(n string) bool { return !Belongs(n, s.Number) || Belongs(n, s.Number+1) }) {
		t.Errorf("the objects are %q", names)
	}
	manifests, err := iceberg.ReadManifestList(bytes.NewReader(objects[fmt.Sprintf("%s/snap-%d.avro", MetadataFolder, s.Number)]))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range manifests {
		fmt.Fprintf(&out, "%s content=%d spec=%d added=%d rows=%d\n", m.FilePath(), m.ManifestContent(), m.PartitionSpecID(), m.AddedDataFiles(), m.AddedRows())
		entries, err := iceberg.ReadManifest(m, bytes.NewReader(objects[strings.TrimPrefix(m.FilePath(), s.Location+"/")]), false)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			f := e.DataFile()
			fmt.Fprintf(&out, "  %s rows=%d bytes=%d partition=%v low=%x high=%x nulls=%v of=%s\n", f.FilePath(), f.Count(), f.FileSizeBytes(),
				f.Partition(), f.LowerBoundValues(), f.UpperBoundValues(), f.NullValueCounts(), orNone(f.ReferencedDataFile()))
		}
	}
	out.Write(objects[MetadataName(s.Number)])
	read, err := Read(objects[MetadataName(s.Number)])
	if err != nil || read.UUID != UUID(s.Table) || read.Owner != s.Table.ID || read.ID != s.ID || read.Digest != s.Digest {
		t.Errorf("read back: %+v, %v", read, err)
	}
	return out.String() + "\n"
}

func orNone(s *string) string {
	if s == nil {
		return "-"
	}
	return *s
}

// What is published is pinned: a change of it is one of the format.
func TestGolden(t *testing.T) {
	user := "ann"
	files := []File{
		{Path: "s3://b/app/all/ann/batch-0.parquet", Size: 1000, Rows: 10, Scope: &user, Low: map[int][]byte{1: {1}}, High: map[int][]byte{1: {9}}, Nulls: map[int]int64{1: 0},
			Deletes: &Deletes{Path: "s3://b/app/all/_iceberg/data/deletes-4-aa.parquet", Size: 200, Rows: 2}},
		{Path: "s3://b/app/all/_iceberg/data/copy-5-bb.parquet", Size: 3000, Rows: 30},
	}
	var got strings.Builder
	for _, s := range []*Snapshot{
		{Table: everyType(schema.User), Location: "s3://b/app/all/_iceberg", Number: 2, ID: 500, Position: 500, Time: 1_700_000_000_000, Files: files,
			Former: []FormerMetadata{{Time: 1_600_000_000_000, File: "s3://b/app/all/_iceberg/metadata/v1.metadata.json"}}},
		{Table: everyType(schema.Shared), Location: "file:///x/_iceberg", Number: 1, ID: 1, Position: 1, Time: 1},
	} {
		got.WriteString(describe(t, s))
	}
	name := filepath.Join("testdata", "golden.txt")
	if *rewrite {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("%s differs; -rewrite writes\n%s", name, got.String())
	}
}

// The digest says whether there is anything to publish.
func TestSum(t *testing.T) {
	s := &Snapshot{Table: everyType(schema.Shared), Location: "file:///x", Files: []File{{Path: "a", Rows: 3}}}
	first, err := s.Sum()
	if err != nil {
		t.Fatal(err)
	}
	s.Number, s.ID, s.Position, s.Time = 5, 6, 7, 8
	if again, err := s.Sum(); err != nil || again != first {
		t.Errorf("%s became %s, %v", first, again, err)
	}
	s.Files[0].Deletes = &Deletes{Path: "b", Rows: 1}
	if again, err := s.Sum(); err != nil || again == first {
		t.Errorf("deletes change nothing: %v", err)
	}
}

// A file is named where it lies only while other readers would see the same in it.
func TestShows(t *testing.T) {
	written := everyType(schema.Shared)
	for _, c := range []struct {
		name string
		edit func(*schema.Table)
		want bool
	}{
		{"as it was", func(*schema.Table) {}, true},
		{"renamed", func(t *schema.Table) { t.Columns[1].Name = "other" }, true},
		{"dropped", func(t *schema.Table) { t.Columns = slices.Delete(t.Columns, 1, 2) }, true},
		{"added", func(t *schema.Table) {
			t.Columns = append(t.Columns, schema.Column{ID: 50, Name: "new", Type: datum.Type{Kind: datum.Text}})
		}, true},
		{"added with a value", func(t *schema.Table) {
			t.Columns = append(t.Columns, schema.Column{ID: 50, Name: "new", Type: datum.Type{Kind: datum.Text}, Missing: []byte{1}})
		}, false},
		{"INT to BIGINT", func(t *schema.Table) { t.Columns[2].Type.Kind = datum.BigInt }, true},
		{"FLOAT to DOUBLE", func(t *schema.Table) { t.Columns[5].Type.Kind = datum.Double }, true},
		{"INT to TEXT", func(t *schema.Table) { t.Columns[2].Type.Kind = datum.Text }, false},
		{"more digits", func(t *schema.Table) { t.Columns[7].Type.Precision = 12 }, true},
		{"another scale", func(t *schema.Table) { t.Columns[7].Type.Scale = 4 }, false},
	} {
		now := everyType(schema.Shared)
		c.edit(now)
		if got := Shows(now, written); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// FuzzRead reads metadata files that are none.
func FuzzRead(f *testing.F) {
	s := &Snapshot{Table: everyType(schema.User), Location: "file:///x", Number: 1}
	if _, err := s.Write(func(name string, data []byte) error {
		if name == MetadataName(1) {
			f.Add(data)
		}
		return nil
	}); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if p, err := Read(text); err == nil && p.UUID == "" && p.Owner == 0 && len(text) == 0 {
			t.Error("nothing is read as metadata")
		}
	})
}
