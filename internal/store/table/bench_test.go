package table

import (
	"context"
	"flag"
	"io/fs"
	"path/filepath"
	"testing"
	"time"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/internal/engine"
)

var locationRows = flag.Int("location.rows", 200_000, "cold rows of BenchmarkLocations")

// BenchmarkLocations measures what a cold row costs in the store, its place, on
// disk, with keys that come in no order; and scans of 1,000 hot rows of the same
// partition before and after, once by key and once by _seq.
func BenchmarkLocations(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "data")
	s, err := store.Open(store.Options{Dir: dir, Reserve: -1})
	if err != nil {
		b.Fatal(err)
	}
	t := &schema.Table{ID: 7, Kind: schema.Shared, Version: 1, Key: []schema.ColumnID{1}, Columns: []schema.Column{
		{ID: 1, Name: "id", Type: datum.Type{Kind: datum.BigInt}, NotNull: true}, {ID: 2, Name: "v", Type: datum.Type{Kind: datum.Text}},
	}}
	first := uint64(370_000_000) << 22 << 4 // of late 2026
	var key, value []byte
	batch := func(n int, put func(b *engine.Batch, i int)) {
		for i := 0; i < n; {
			c := s.NewBatch()
			for end := min(i+2048, n); i < end; i++ {
				put(c.Engine(), i)
			}
			if err := c.Commit(false); err != nil {
				b.Fatal(err)
			}
			if err := c.Wait(); err != nil {
				b.Fatal(err)
			}
			c.Close()
		}
	}
	pk := func(i int) []byte {
		return schema.AppendKeyValues(nil, []datum.Value{datum.NewInt(datum.BigInt, int64(i)*7919%1_000_000_007)})
	}
	batch(1000, func(e *engine.Batch, i int) {
		seq := first + 1<<50 + uint64(i)
		row := t.AppendRow(nil, []datum.Value{datum.NewInt(datum.BigInt, int64(i)*7919%1_000_000_007), datum.NewText("some text of a row")})
		engine.SetRow(e, appendRow(nil, t.ID, "", pk(i)), seq, append([]byte{rowLive}, row...))
	})
	scan := func() time.Duration {
		best := time.Hour
		for range 20 {
			begin := time.Now()
			scan, err := NewScan(s.Reader(), t, "", ScanOptions{Order: ByKey})
			if err != nil {
				b.Fatal(err)
			}
			n := 0
			for scan.Next(context.Background()) {
				n++
			}
			if err := scan.Close(); err != nil || n != 1000 {
				b.Fatal(n, err)
			}
			best = min(best, time.Since(begin))
		}
		return best
	}
	before := scan()
	if err := s.Flush(); err != nil {
		b.Fatal(err)
	}
	empty := folderBytes(b, dir)
	rows := *locationRows
	begin := time.Now()
	batch(rows, func(e *engine.Batch, i int) {
		key = appendLoc(key[:0], t.ID, "", pk(1000+i))
		value = appendLocValue(value[:0], schema.Location{File: uint64(i/1_000_000 + 1), Row: uint64(i % 1_000_000), Seq: first + uint64(i)})
		engine.Set(e, key, value)
	})
	if err := s.Flush(); err != nil {
		b.Fatal(err)
	}
	took := time.Since(begin)
	after := scan()
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	size := folderBytes(b, dir) - empty
	for b.Loop() {
		_ = size
	}
	b.ReportMetric(float64(size)/float64(rows), "bytes/row")
	b.ReportMetric(float64(rows)/took.Seconds(), "rows/s")
	b.ReportMetric(float64(after)/float64(before), "hot-scan-ratio")
	b.ReportMetric(float64(before.Microseconds()), "us-hot-scan")
}

// folderBytes sums the files below a folder but for the log, which is used again.
func folderBytes(b *testing.B, dir string) (size int64) {
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || filepath.Ext(path) == ".log" {
			return err
		}
		info, err := e.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return size
}
