package maint_test

import (
	"context"
	"flag"
	"fmt"
	"testing"
	"time"

	"kalamdb/internal/command"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/source"
)

// benchTable returns a node with a SHARED table of rows.
func benchTable(b *testing.B, rows int) (*node, *schema.Table) {
	b.Helper()
	n := openNode(b, nodeOptions{})
	shared := sharedTable()
	def := n.Commit(&command.CreateTable{Table: shared}).Table
	insert(n, def, "", 0, rows)
	return n, def
}

// BenchmarkFlush moves 50,000 rows, end to end.
func BenchmarkFlush(b *testing.B) {
	const rows = 50_000
	for b.Loop() {
		b.StopTimer()
		n, def := benchTable(b, rows)
		b.StartTimer()
		if _, err := n.Maint.Flush(context.Background(), def.ID); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		n.Close()
		b.StartTimer()
	}
	b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkRead reads 50,000 rows, hot and cold, in several ways.
func BenchmarkRead(b *testing.B) {
	const rows = 50_000
	n, def := benchTable(b, rows)
	read := func(b *testing.B, r source.Request) {
		view := n.Relations.View()
		defer view.Release()
		open, err := view.Open(def, "", relation.Caller{})
		if err != nil {
			b.Fatal(err)
		}
		scan, err := open.Scan(context.Background(), r)
		if err != nil {
			b.Fatal(err)
		}
		defer scan.Close()
		for {
			batch, err := scan.Next(context.Background())
			if err != nil {
				b.Fatal(err)
			}
			if batch == nil {
				return
			}
		}
	}
	for _, state := range []string{"hot", "cold"} {
		if state == "cold" {
			if _, err := n.Maint.Flush(context.Background(), def.ID); err != nil {
				b.Fatal(err)
			}
		}
		for name, order := range map[string]source.Order{"any": source.Any, "key": source.ByKey, "seq": source.BySeq} {
			b.Run(state+"/scan/"+name, func(b *testing.B) {
				for b.Loop() {
					read(b, source.Request{Order: order})
				}
				b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
			})
		}
		b.Run(state+"/point", func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				id := int64(i*31%rows) * 7919 % 1_000_003
				read(b, source.Request{Keys: [][]datum.Value{{datum.NewInt(datum.BigInt, id)}}})
			}
		})
	}
}

var manyUsers = flag.Int("many.users", 1000, "users of BenchmarkManyUsers")

// BenchmarkManyUsers flushes users with 20 rows each, as an interval policy does,
// to the disk, and then reads single cold rows of them.
func BenchmarkManyUsers(b *testing.B) {
	fs := disk.Real()
	dir := b.TempDir()
	n := openNode(b, nodeOptions{FS: fs, Dir: dir})
	user := notesTable()
	def := n.Commit(&command.CreateTable{Table: user}).Table
	ctx := context.Background()
	users := *manyUsers
	for u := range users {
		insert(n, def, schema.Scope(fmt.Sprintf("user-%06d", u)), 0, 20)
	}
	begin := time.Now()
	result, err := n.Maint.Flush(ctx, def.ID)
	if err != nil {
		b.Fatal(err)
	}
	took := time.Since(begin)
	view := n.Relations.View()
	defer view.Release()
	for i := 0; b.Loop(); i++ {
		open, err := view.Open(def, schema.Scope(fmt.Sprintf("user-%06d", i*7919%users)), relation.Caller{})
		if err != nil {
			b.Fatal(err)
		}
		rows, err := open.Scan(ctx, source.Request{Keys: [][]datum.Value{{datum.NewInt(datum.BigInt, int64(i%20)*7919%1_000_003)}}})
		if err != nil {
			b.Fatal(err)
		}
		if batch, err := rows.Next(ctx); err != nil || batch == nil || len(batch.Rows) != 1 {
			b.Fatal("a row is missing", err)
		}
		rows.Close()
	}
	b.ReportMetric(float64(result.Files), "files")
	b.ReportMetric(took.Seconds(), "flush-s")
	b.ReportMetric(float64(20*users)/took.Seconds(), "rows/s")
}
