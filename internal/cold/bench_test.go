package cold_test

import (
	"fmt"
	"testing"

	"kalamdb/internal/cold"
	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
)

// BenchmarkWrite encodes and writes files of 100,000 rows with an id, a text, a
// number and a stamp: what a flush does beside reading and adopting rows.
func BenchmarkWrite(b *testing.B) {
	const rows = 100_000
	tier := cold.New(cold.Options{DataDir: b.TempDir()})
	defer func() { _ = tier.Close() }()
	kinds := []datum.Kind{datum.BigInt, datum.Text, datum.Int, datum.BigInt}
	def := &schema.Table{Namespace: "b", Name: "t", Kind: schema.Shared, Version: 1, Key: []schema.ColumnID{1}}
	for i, k := range kinds {
		def.Columns = append(def.Columns, schema.Column{ID: schema.ColumnID(i + 1), Name: fmt.Sprintf("c%d", i), Type: datum.Type{Kind: k}, NotNull: true})
	}
	def.Columns = append(def.Columns,
		schema.Column{ID: 5, Name: schema.SeqName, Type: datum.Type{Kind: datum.BigInt}, System: schema.SeqColumn},
		schema.Column{ID: 6, Name: schema.DeletedName, Type: datum.Type{Kind: datum.Bool}, System: schema.DeletedColumn})
	st := tier.LocalStorage(0)
	row := make([]datum.Value, len(def.Columns))
	texts := make([]datum.Value, 1000)
	for i := range texts {
		texts[i] = datum.NewText(fmt.Sprintf("some text some text some text some text some text %d", i))
	}
	file := 0
	for b.Loop() {
		file++
		w, err := tier.Create(st, fmt.Sprintf("b/t/batch-%d.parquet", file), def, cold.CreateOptions{Rows: rows})
		if err != nil {
			b.Fatal(err)
		}
		for i := range int64(rows) {
			row[0], row[1] = datum.NewInt(datum.BigInt, i*7919%1000003), texts[i%1000]
			row[2], row[3] = datum.NewInt(datum.Int, i%1000), datum.NewInt(datum.BigInt, i)
			row[4], row[5] = datum.NewInt(datum.BigInt, i+1), datum.NewBool(false)
			if _, err := w.Append(row); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := w.Finish(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
}
