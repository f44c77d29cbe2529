package parquet

import (
	"bytes"
	"fmt"
	"math"
	"math/rand"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/parquet-go/parquet-go"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
)

// everyColumn has a column of every type that can stand in a table.
func everyColumn() []Column {
	types := []datum.Type{
		{Kind: datum.Bool}, {Kind: datum.SmallInt}, {Kind: datum.Int}, {Kind: datum.BigInt}, {Kind: datum.Float},
		{Kind: datum.Double}, datum.DecimalType(10, 2), datum.DecimalType(38, 10), {Kind: datum.Text},
		{Kind: datum.Bytes}, {Kind: datum.JSON}, {Kind: datum.UUID}, {Kind: datum.Date}, {Kind: datum.Time},
		{Kind: datum.Timestamp}, {Kind: datum.DateTime}, {Kind: datum.Embedding, Dim: 3}, {Kind: datum.File},
	}
	columns := []Column{{ID: 1, Name: "id", Type: datum.Type{Kind: datum.BigInt}, Required: true}}
	for i, t := range types {
		name := strings.ToLower(t.Kind.String())
		columns = append(columns, Column{ID: schema.ColumnID(i + 4), Name: fmt.Sprintf("%s_%d", name, i), Type: t})
	}
	// Names that would trouble a library which derives Go names from them.
	columns[3].Name, columns[5].Name, columns[7].Name = "two words", "größe.x", "_lead"
	return append(columns,
		Column{ID: 2, Name: "_seq", Type: datum.Type{Kind: datum.BigInt}, Required: true, System: schema.SeqColumn},
		Column{ID: 3, Name: "_deleted", Type: datum.Type{Kind: datum.Bool}, Required: true, System: schema.DeletedColumn})
}

// randomValue returns a value of a type.
func randomValue(t testing.TB, rnd *rand.Rand, kind datum.Type) datum.Value {
	t.Helper()
	switch k := kind.Kind; k {
	case datum.Bool:
		return datum.NewBool(rnd.Intn(2) == 0)
	case datum.SmallInt:
		return datum.NewInt(k, int64(int16(rnd.Uint32())))
	case datum.Int, datum.Date:
		return datum.NewInt(k, int64(int32(rnd.Uint32())))
	case datum.Float:
		return datum.NewFloat(rnd.Float32() - 0.5)
	case datum.Double:
		return datum.NewDouble([]float64{rnd.NormFloat64(), math.Inf(1), math.MaxFloat64, 0}[rnd.Intn(4)])
	case datum.Decimal:
		v, err := datum.NewDecimal(fmt.Sprintf("%d.%02d", rnd.Intn(2e6)-1e6, rnd.Intn(100)), kind.Precision, kind.Scale)
		if err != nil {
			t.Fatal(err)
		}
		return v
	case datum.Text:
		return datum.NewText(strings.Repeat("ä\x00b", rnd.Intn(40)))
	case datum.Bytes:
		return datum.NewBytesString(strings.Repeat("\xff\x00", rnd.Intn(8)))
	case datum.JSON:
		v, err := datum.NewJSON(fmt.Sprintf(`{"n": %d}`, rnd.Int()))
		if err != nil {
			t.Fatal(err)
		}
		return v
	case datum.UUID:
		var u [16]byte
		rnd.Read(u[:])
		return datum.NewUUID(u)
	case datum.Embedding:
		return datum.NewEmbedding([]float32{rnd.Float32(), -1, 0})
	case datum.File:
		return datum.NewFile(`{"id":"f"}`)
	}
	n := rnd.Int63()
	if kind.Kind == datum.Time {
		n %= 86_400_000_000
	}
	return datum.NewInt(kind.Kind, n)
}

// randomRows writes rows and returns them with the file's bytes.
func randomRows(t testing.TB, columns []Column, rows int, o WriterOptions) ([][]datum.Value, []byte) {
	t.Helper()
	rnd := rand.New(rand.NewSource(int64(rows)))
	var out bytes.Buffer
	w, err := NewWriter(&out, columns, o)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]datum.Value
	for i := range rows {
		row := make([]datum.Value, len(columns))
		for c := range columns {
			switch {
			case columns[c].System == schema.SeqColumn:
				row[c] = datum.NewInt(datum.BigInt, int64(i)*4096+7)
			case columns[c].Required || rnd.Intn(4) > 0:
				row[c] = randomValue(t, rnd, columns[c].Type)
			}
		}
		if err := w.Append(row); err != nil {
			t.Fatal(err)
		}
		all = append(all, row)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return all, out.Bytes()
}

// same compares values with their kinds and bits.
func same(a, b datum.Value) bool {
	return a.Kind() == b.Kind() && bytes.Equal(datum.AppendValue(nil, a), datum.AppendValue(nil, b))
}

func TestRoundTrip(t *testing.T) {
	columns := everyColumn()
	for _, codec := range []string{"", "snappy", "zstd", "none"} {
		all, data := randomRows(t, columns, 3000, WriterOptions{Compression: codec, RowGroupRows: 1024, Bloom: []int{0}})
		f, err := Open(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		if f.Rows() != 3000 || f.RowGroups() != 3 {
			t.Fatalf("%d rows in %d row groups", f.Rows(), f.RowGroups())
		}
		for _, span := range [][2]uint64{{0, 3000}, {1, 2}, {1000, 1100}, {2999, 5000}, {7, 7}} {
			checkRun(t, f, columns, all, span[0], span[1])
		}
		for c := range columns {
			if f.Column(columns[c].ID) != c || f.Type(c) != columns[c].Type {
				t.Errorf("column %q stands at %d as %v", columns[c].Name, f.Column(columns[c].ID), f.Type(c))
			}
			for _, row := range []uint64{0, 1023, 1024, 1500, 2999} {
				id, err := f.Locate(c, row)
				if err != nil {
					t.Fatal(err)
				}
				page, err := f.Read(id)
				if err != nil {
					t.Fatal(err)
				}
				if got, want := page.Values[row-page.First], all[row][c]; !same(got, want) {
					t.Errorf("row %d of %q is %s, want %s", row, columns[c].Name, got, want)
				}
			}
		}
	}
}

func checkRun(t *testing.T, f *File, columns []Column, all [][]datum.Value, from, to uint64) {
	t.Helper()
	positions := make([]int, len(columns))
	for i := range positions {
		positions[i] = i
	}
	run := f.Run(positions, from, to)
	defer run.Close()
	rows := make([][]datum.Value, 100)
	for i := range rows {
		rows[i] = make([]datum.Value, len(columns))
	}
	next := from
	for {
		n, err := run.Next(rows, positions)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		for _, row := range rows[:n] {
			for c := range columns {
				if !same(row[c], all[next][c]) {
					t.Fatalf("row %d of %q is %s, want %s", next, columns[c].Name, row[c], all[next][c])
				}
			}
			next++
		}
	}
	if want := max(from, min(to, uint64(len(all)))); next != want {
		t.Errorf("run [%d, %d) ended at %d", from, to, next)
	}
}

// A row group ends by bytes too, so that long documents do not pile up.
func TestRowGroupBytes(t *testing.T) {
	columns := []Column{everyColumn()[0], {ID: 9, Name: "doc", Type: datum.Type{Kind: datum.Text}}}
	var out bytes.Buffer
	w, err := NewWriter(&out, columns, WriterOptions{RowGroupBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		row := []datum.Value{datum.NewInt(datum.BigInt, int64(i)), datum.NewText(strings.Repeat("x", 100_000))}
		if err := w.Append(row); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := Open(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if f.RowGroups() != 4 {
		t.Errorf("%d row groups, want 4", f.RowGroups())
	}
}

// Damaged bytes give an error or the right rows, never a panic and never
// another value.
func TestDamage(t *testing.T) {
	columns := everyColumn()
	all, data := randomRows(t, columns, 300, WriterOptions{})
	positions := []int{0, 9, 17, 19}
	rnd := rand.New(rand.NewSource(1))
	refused := 0
	for range 400 {
		bad := bytes.Clone(data)
		if rnd.Intn(4) == 0 {
			bad = bad[:rnd.Intn(len(bad))]
		} else {
			bad[rnd.Intn(len(bad)-200)] ^= byte(1 + rnd.Intn(255))
		}
		if err := readAll(bad, columns, positions, all); err != nil {
			refused++
		}
	}
	if refused < 50 {
		t.Errorf("only %d of 400 damaged files were refused", refused)
	}
}

func readAll(data []byte, columns []Column, positions []int, all [][]datum.Value) error {
	f, err := Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return err
	}
	run := f.Run(positions, 0, f.Rows())
	defer run.Close()
	row := [][]datum.Value{make([]datum.Value, len(columns))}
	for i := 0; ; i++ {
		n, err := run.Next(row, positions)
		if err != nil || n == 0 {
			return err
		}
		for _, c := range positions {
			if !same(row[0][c], all[i][c]) {
				return fmt.Errorf("row %d of %q differs", i, columns[c].Name)
			}
		}
	}
}

// TestSchema shows the layout of a file as text.
func TestSchema(t *testing.T) {
	datadriven.RunTest(t, "testdata/schema.txt", func(t *testing.T, d *datadriven.TestData) string {
		rows, codec := 10, ""
		d.MaybeScanArgs(t, "rows", &rows)
		d.MaybeScanArgs(t, "codec", &codec)
		_, data := randomRows(t, everyColumn(), rows, WriterOptions{Compression: codec, RowGroupRows: 1024, Bloom: []int{0}})
		file, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return err.Error()
		}
		return describe(file)
	})
}

func describe(file *parquet.File) string {
	var b strings.Builder
	types, _ := file.Lookup(typesKey)
	fmt.Fprintf(&b, "%s %s\n", typesKey, types)
	for _, e := range file.Metadata().Schema[1:] {
		repetition := "-"
		if e.RepetitionType.Valid {
			repetition = strings.ToLower(e.RepetitionType.V.String())
		}
		physical := "group"
		if e.Type.Valid {
			physical = e.Type.V.String()
		}
		logical := "-"
		if e.LogicalType.Value != nil {
			logical = fmt.Sprint(e.LogicalType.Value)
		}
		fmt.Fprintf(&b, "%-14s id=%d %s %s %s\n", e.Name, e.FieldID, repetition, physical, logical)
	}
	for i, g := range file.Metadata().RowGroups {
		fmt.Fprintf(&b, "row group %d: %d rows\n", i, g.NumRows)
		for _, c := range g.Columns {
			m := c.MetaData
			fmt.Fprintf(&b, "  %-14s %v %v bloom=%v nulls=%d\n", strings.Join(m.PathInSchema, "."), m.Codec, m.Encoding, m.BloomFilterOffset > 0, m.Statistics.NullCount)
		}
	}
	return b.String()
}
