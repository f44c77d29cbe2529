package parquet

import (
	"bytes"
	"errors"
	"runtime/metrics"
	"testing"

	"github.com/parquet-go/parquet-go"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
)

// FuzzOpen: no bytes make reading a file panic, or take memory out of all
// proportion to them; every value that comes out has the type of its column.
func FuzzOpen(f *testing.F) {
	columns := everyColumn()
	_, data := randomRows(f, columns, 3, WriterOptions{Metadata: map[string]string{"kalam_schema_version": "1"}})
	f.Add(data)
	f.Add(data[:len(data)/2])
	f.Add(data[len(data)/2:])
	few := []Column{columns[0], columns[7], columns[9], columns[17]}
	_, data = randomRows(f, few, 40, WriterOptions{RowGroupRows: 16, Compression: "zstd"})
	f.Add(data)
	for _, row := range []any{struct{ ID int64 }{7}, struct{ A []string }{[]string{"x"}}, struct{ M map[string]int }{map[string]int{"k": 1}}} {
		f.Add(foreign(f, row))
	}
	f.Add([]byte("PAR1PAR1"))
	f.Add([]byte("PAR1\x15\x00\x00\x00\x00\x04\x00\x00\x00PAR1"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		before := allocated()
		file, err := Open(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			if err.Error() == "" {
				t.Fatal("an error without words")
			}
		} else {
			readSome(t, file)
		}
		// The library takes buffers of its own size for each column and page.
		if taken := allocated() - before; taken > 512<<20 {
			t.Fatalf("%d bytes of memory for a file of %d", taken, len(data))
		}
	})
}

// allocated returns how many bytes were ever taken from the heap.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// foreign returns a file that somebody else has written.
func foreign(t testing.TB, row any) []byte {
	t.Helper()
	var out bytes.Buffer
	w := parquet.NewWriter(&out, parquet.SchemaOf(row))
	if err := w.Write(row); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// someRows is how many rows are read of what may claim any number.
const someRows = 32

// readSome reads the first rows of every column, by page and by run.
func readSome(t *testing.T, file *File) {
	t.Helper()
	positions := make([]int, len(file.columns))
	for c := range file.columns {
		positions[c] = c
		if file.Column(file.columns[c].id) < 0 {
			t.Fatalf("column %d is not found by its id", c)
		}
		for row := uint64(0); row < min(file.Rows(), someRows); row += 1 + 2*row {
			id, err := file.Locate(c, row)
			if err != nil {
				break
			}
			page, err := file.Read(id)
			if err != nil {
				break
			}
			checkValues(t, page.Values, file.Type(c))
		}
	}
	run := file.Run(positions, 0, someRows)
	defer run.Close()
	rows := [][]datum.Value{make([]datum.Value, len(positions)), make([]datum.Value, len(positions))}
	for read := 0; ; {
		n, err := run.Next(rows, positions)
		if err != nil || n == 0 {
			return
		}
		if read += n; n > len(rows) || read > someRows {
			t.Fatalf("%d rows at once, %d in all", n, read)
		}
		for _, row := range rows[:n] {
			for c := range row {
				checkValues(t, row[c:c+1], file.Type(c))
			}
		}
	}
}

// checkValues uses values that came out of a file as the server does.
func checkValues(t *testing.T, values []datum.Value, kind datum.Type) {
	t.Helper()
	for _, v := range values {
		if v.IsNull() {
			continue
		}
		if v.Kind() != kind.Kind || kind.Kind == datum.Decimal && v.Scale() != kind.Scale {
			t.Fatalf("a %s in a column of type %s", v.Kind(), kind)
		}
		_ = v.String()
		_, _ = datum.AppendJSON(nil, v)
		if again, rest, err := datum.DecodeValue(datum.AppendValue(nil, v)); err != nil || len(rest) > 0 || datum.Compare(again, v) != 0 {
			t.Fatalf("%s %s becomes %s, %v", kind, v, again, err)
		}
	}
}

// FuzzTypes: what the metadata says of types is refused, or is a type that
// columns can have and that is written in the same words.
func FuzzTypes(f *testing.F) {
	f.Add(string(appendTypes(nil, everyColumn())))
	for _, text := range []string{"", "{}", `{"1":"Int"}`, `{"1":{"Decimal":{"precision":255,"scale":200}}}`, `{"1":{"Embedding":0}}`,
		`{"70000":"Boolean"}`, `{"1":{"Decimal":{"precision":2,"scale":3}}}`, `{"1":{"Embedding":65535}}`, `{"1":null}`, `[]`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		types, err := parseTypes(text)
		if err != nil {
			return
		}
		for id, kind := range types {
			if _, err := physicalOf(kind); err != nil {
				t.Fatalf("%q gives column %d the type %s: %v", text, id, kind, err)
			}
			if kind.Kind == datum.Decimal && (kind.Precision < 1 || kind.Precision > datum.MaxPrecision || kind.Scale > kind.Precision) {
				t.Fatalf("%q gives column %d the type %s", text, id, kind)
			}
			again, err := parseTypes(string(appendTypes(nil, []Column{{ID: id, Type: kind}})))
			if err != nil || again[id] != kind {
				t.Fatalf("%s is written and read as %s, %v", kind, again[id], err)
			}
		}
	})
}

// TestForeignTypes: a file whose columns do not hold what its metadata says is
// refused before anything is read from it.
func TestForeignTypes(t *testing.T) {
	f := func(kind datum.Type, value datum.Value, says string) {
		t.Helper()
		var out bytes.Buffer
		w, err := NewWriter(&out, []Column{{ID: 1, Name: "a", Type: kind}}, WriterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Append([]datum.Value{value}); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		is, lie := string(appendTypes(nil, []Column{{ID: schema.ColumnID(1), Type: kind}})), `{"1":`+says+`}`
		for len(lie) < len(is) {
			lie += " "
		}
		data := bytes.Replace(out.Bytes(), []byte(is), []byte(lie), 1)
		if bytes.Equal(data, out.Bytes()) || len(data) != out.Len() {
			t.Fatalf("%s does not stand in the file, or not so long", is)
		}
		if _, err := Open(bytes.NewReader(data), int64(len(data))); !errors.Is(err, ErrDamaged) {
			t.Errorf("a file of %s that claims %s: %v", kind, says, err)
		}
	}
	f(datum.Type{Kind: datum.DateTime}, datum.NewInt(datum.DateTime, 5), `"Text"`)
	f(datum.Type{Kind: datum.Timestamp}, datum.NewInt(datum.Timestamp, 5), `"Int"`)
	f(datum.Type{Kind: datum.Double}, datum.NewDouble(5), `"BigInt"`)
	f(datum.Type{Kind: datum.BigInt}, datum.NewInt(datum.BigInt, 5), `"Text"`)
	f(datum.Type{Kind: datum.Embedding, Dim: 2}, datum.NewEmbedding([]float32{1, 2}), `"Float"`)
}
