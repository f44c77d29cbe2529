package table_test

import (
	"context"
	"errors"
	"testing"

	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/table"
)

// A scan that passes over a long run of rows nobody wants ends with its context,
// whatever they are: tombstones, superseded changes, hidden events.
func TestScanLooksAtItsContext(t *testing.T) {
	w := newWorld(t)
	w.tables["row"], w.tables["event"] = noteTable(1, schema.User), noteTable(2, schema.Stream)
	w.tables["event"].Options.TTLSeconds = 3600
	w.tables["event"].Options.StreamWindowSeconds = table.StreamWindowSeconds(3600)
	write := func(t *schema.Table, id int64, op table.Op, read uint64) uint64 {
		w.last = schema.NextSeq(w.last, micros(id), 1)
		row := table.RowChange{Op: op, Scope: "alice", Key: keyOf(id), ReadSeq: read, Row: w.row(t, id, "x")}
		if err := w.writer.Check(t, &row, w.last); err != nil {
			w.t.Fatal(err)
		}
		w.writer.Accept()
		w.writer.Write(t, &row, 0, w.last, w.last)
		w.writer.Done()
		return w.last
	}
	const rows = 600
	read := map[string][]uint64{}
	for _, op := range []table.Op{table.Insert, table.Delete} {
		if err := w.commit(func(*store.Batch) error {
			for name, t := range w.tables {
				for id := range int64(rows) {
					if op == table.Insert {
						read[name] = append(read[name], write(t, id, op, 0))
					} else {
						write(t, id, op, read[name][id])
					}
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	ended, end := context.WithCancel(context.Background())
	end()
	for name, of := range w.tables {
		for _, order := range []table.Order{table.ByKey, table.BySeq, table.BySeqDesc} {
			for _, ctx := range []context.Context{context.Background(), ended} {
				scan, err := table.NewScan(w.store.Reader(), of, "alice", table.ScanOptions{Order: order})
				if err != nil {
					t.Fatal(err)
				}
				if scan.Next(ctx) {
					t.Errorf("%s in order %d: a row that was deleted", name, order)
				}
				if !errors.Is(scan.Err(), ctx.Err()) {
					t.Errorf("%s in order %d: ended with %v, the context with %v", name, order, scan.Err(), ctx.Err())
				}
				if err := scan.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	}
}
