package maint_test

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kalamdb/internal/command"
	"kalamdb/internal/core/maint"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/source"
)

// benchTable returns a node on the disk with a SHARED table of rows.
func benchTable(b *testing.B, rows int, o maint.Options) (*node, *schema.Table) {
	b.Helper()
	n := openNode(b, nodeOptions{FS: disk.Real(), Dir: b.TempDir(), Maint: o})
	shared := sharedTable()
	def := n.Commit(&command.CreateTable{Table: shared}).Table
	insert(n, def, "", 0, rows)
	return n, def
}

var flushRows = flag.Int("flush.rows", 50_000, "rows of BenchmarkFlush")

// BenchmarkFlush moves rows, end to end, alone, again and while others write: its
// figures are rows per second, and how long synced inserts of single rows take
// before the flush and beside it, 500 a second.
func BenchmarkFlush(b *testing.B) {
	ctx := context.Background()
	flush := func(b *testing.B, n *node, def *schema.Table) (took time.Duration) {
		begin := time.Now()
		if _, err := n.Maint.Flush(ctx, def.ID); err != nil {
			b.Fatal(err)
		}
		return time.Since(begin)
	}
	b.Run("alone", func(b *testing.B) {
		var took time.Duration
		for b.Loop() {
			n, def := benchTable(b, *flushRows, maint.Options{})
			took += flush(b, n, def)
			n.Close()
		}
		b.ReportMetric(float64(*flushRows*b.N)/took.Seconds(), "rows/s")
	})
	b.Run("again", func(b *testing.B) { // behind rows that history keeps, the last of 30 times
		var took time.Duration
		for b.Loop() {
			n, def := benchTable(b, *flushRows, maint.Options{})
			for i := range 30 {
				insert(n, def, "", (i+1)**flushRows, (i+2)**flushRows)
				last := flush(b, n, def)
				if i == 29 {
					took += last
				}
			}
			n.Close()
		}
		b.ReportMetric(float64(*flushRows*b.N)/took.Seconds(), "rows/s")
	})
	b.Run("beside", func(b *testing.B) {
		var took time.Duration
		var quiet, beside []time.Duration
		for b.Loop() {
			var statements atomic.Int64
			n, def := benchTable(b, *flushRows, maint.Options{Statements: statements.Load})
			other := sharedTable()
			other.Name = "others"
			others := n.Commit(&command.CreateTable{Table: other}).Table
			next := 0
			write := func(done <-chan struct{}) (spans []time.Duration) {
				var g sync.WaitGroup
				var mu sync.Mutex
				tick := time.NewTicker(2 * time.Millisecond)
				defer tick.Stop()
				for {
					select {
					case <-done:
						g.Wait()
						return spans
					case due := <-tick.C:
						statements.Add(1)
						from := next
						next++
						g.Go(func() {
							insert(n, others, "", from, from+1)
							mu.Lock()
							defer mu.Unlock()
							spans = append(spans, time.Since(due))
						})
					}
				}
			}
			still, cancel := context.WithTimeout(ctx, time.Second)
			quiet = append(quiet, write(still.Done())...)
			cancel()
			done := make(chan struct{})
			go func() {
				defer close(done)
				took += flush(b, n, def)
			}()
			beside = append(beside, write(done)...)
			n.Close()
		}
		b.ReportMetric(float64(*flushRows*b.N)/took.Seconds(), "rows/s")
		slices.Sort(quiet)
		slices.Sort(beside)
		for name, spans := range map[string][]time.Duration{"quiet": quiet, "beside": beside} {
			b.ReportMetric(float64(spans[len(spans)/2].Microseconds()), "p50-µs-"+name)
			b.ReportMetric(float64(spans[len(spans)*99/100].Microseconds()), "p99-µs-"+name)
		}
	})
}

// BenchmarkRead reads 50,000 rows, hot and cold, in several ways.
func BenchmarkRead(b *testing.B) {
	const rows = 50_000
	n, def := benchTable(b, rows, maint.Options{})
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
