package parquet

import (
	"bytes"
	"testing"

	arrow "github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"

	"kalamdb/internal/datum"
)

// Another library reads what we write, by name and by field id.
func TestOtherReader(t *testing.T) {
	columns := everyColumn()
	for _, codec := range []string{"snappy", "zstd"} {
		all, data := randomRows(t, columns, 2500, WriterOptions{Compression: codec, RowGroupRows: 1024, Bloom: []int{0}})
		r, err := file.NewParquetReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if r.NumRows() != 2500 || r.NumRowGroups() != 3 {
			t.Fatalf("%d rows in %d row groups", r.NumRows(), r.NumRowGroups())
		}
		root := r.MetaData().Schema.Root()
		if root.NumFields() != len(columns) {
			t.Fatalf("%d fields, want %d", root.NumFields(), len(columns))
		}
		for i := range columns {
			if got := root.Field(i); got.Name() != columns[i].Name || int(got.FieldID()) != int(columns[i].ID) {
				t.Errorf("field %d is %q with id %d", i, got.Name(), got.FieldID())
			}
		}
		row := 0
		for g := range r.NumRowGroups() {
			group := r.RowGroup(g)
			n := int(group.NumRows())
			ids, texts, present := readOther(t, group, n)
			next := 0
			for i := range n {
				if want := all[row][0].Int(); ids[i] != want {
					t.Fatalf("row %d has id %d, want %d", row, ids[i], want)
				}
				want := all[row][9]
				if want.IsNull() != (present[i] == 0) {
					t.Fatalf("row %d: presence %d of text %s", row, present[i], want)
				}
				if !want.IsNull() {
					if string(texts[next]) != want.Text() {
						t.Fatalf("row %d has text %q, want %q", row, texts[next], want.Text())
					}
					next++
				}
				row++
			}
		}
	}
}

// readOther reads the id and the TEXT column of a row group.
func readOther(t *testing.T, group *file.RowGroupReader, n int) ([]int64, []arrow.ByteArray, []int16) {
	t.Helper()
	id, err := group.Column(0)
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]int64, n)
	if read, _, err := id.(*file.Int64ColumnChunkReader).ReadBatch(int64(n), ids, nil, nil); err != nil || read != int64(n) {
		t.Fatalf("read %d of %d ids: %v", read, n, err)
	}
	text, err := group.Column(9)
	if err != nil {
		t.Fatal(err)
	}
	texts, present := make([]arrow.ByteArray, n), make([]int16, n)
	reader := text.(*file.ByteArrayColumnChunkReader)
	got, values := 0, 0
	for got < n {
		read, kept, err := reader.ReadBatch(int64(n-got), texts[values:], present[got:], nil)
		if err != nil || read == 0 {
			t.Fatalf("read %d texts: %v", got, err)
		}
		for i := values; i < values+kept; i++ {
			texts[i] = bytes.Clone(texts[i])
		}
		got, values = got+int(read), values+kept
	}
	if everyColumn()[9].Type.Kind != datum.Text {
		t.Fatal("column 9 is not the TEXT column")
	}
	return ids, texts, present
}
