package apply_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kalamdb/internal/command"
	"kalamdb/internal/core/apply"
	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
)

// BenchmarkInsert commits single rows from many goroutines: synced on a real
// disk, relaxed, synced with an archive that keeps their commands, and beside them the ceiling: a bare loop that writes the bytes
// of all who wait and syncs once.
func BenchmarkInsert(b *testing.B) {
	for _, writers := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("ceiling/%d", writers), func(b *testing.B) { benchCeiling(b, writers) })
		b.Run(fmt.Sprintf("sync/%d", writers), func(b *testing.B) { benchInsert(b, writers, schema.Sync, 0) })
		b.Run(fmt.Sprintf("relaxed/%d", writers), func(b *testing.B) { benchInsert(b, writers, schema.Relaxed, 0) })
		b.Run(fmt.Sprintf("archived/%d", writers), func(b *testing.B) { benchInsert(b, writers, schema.Sync, 1<<40) })
	}
}

// BenchmarkLargeInsert commits 1,000 rows at a time.
func BenchmarkLargeInsert(b *testing.B) {
	n, note := benchNode(b, 0)
	const rows = 1000
	for i := 0; b.Loop(); i++ {
		list := make([]command.RowWrite, rows)
		for j := range list {
			id := int64(i*rows + j)
			list[j] = command.RowWrite{Op: command.Insert, Scope: "al", Key: keyOf(id), Row: rowOf(note, id, "some text of a row that is not long")}
		}
		if _, err := n.local.Commit(context.Background(), &command.Command{Time: time.Now().UnixMicro(), Durability: schema.Sync, Body: write(note, list...)}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*rows)/b.Elapsed().Seconds(), "rows/s")
	n.close()
}

func benchNode(b *testing.B, archive int64) (*node, *schema.Table) {
	b.Helper()
	dir := b.TempDir()
	s, err := store.Open(store.Options{FS: disk.Real(), Dir: filepath.Join(dir, "data"), Reserve: -1, ArchiveBytes: archive})
	if err != nil {
		b.Fatal(err)
	}
	local, err := apply.Open(apply.Options{Store: s, NodeID: 1})
	if err != nil {
		b.Fatal(err)
	}
	n := &node{t: b, store: s, local: local}
	n.run()
	return n, n.create("note", schema.User)
}

func benchInsert(b *testing.B, writers int, durability schema.Durability, archive int64) {
	n, note := benchNode(b, archive)
	row := rowOf(note, 1, "some text of a row that is not long")
	var next atomic.Int64
	var all sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for w := range writers {
		scope := schema.Scope(fmt.Sprint("user", w))
		all.Go(func() {
			for {
				id := next.Add(1)
				if id > int64(b.N) {
					return
				}
				c := &command.Command{Time: time.Now().UnixMicro(), Durability: durability,
					Body: write(note, command.RowWrite{Op: command.Insert, Scope: scope, Key: keyOf(id), Row: row})}
				if _, err := n.local.Commit(context.Background(), c); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(b.N)/float64(n.local.Stats().Groups), "rows/group")
	n.close()
}

// benchCeiling is the least that a synced insert can cost.
func benchCeiling(b *testing.B, writers int) {
	f, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	type wait struct{ done chan struct{} }
	queue := make(chan *wait, 4096)
	go func() {
		record := make([]byte, 150)
		for first := range queue {
			group := []*wait{first}
			for len(queue) > 0 {
				group = append(group, <-queue)
			}
			bytes := make([]byte, 0, len(group)*len(record))
			for range group {
				bytes = append(bytes, record...)
			}
			if _, err := f.Write(bytes); err != nil {
				b.Error(err)
			}
			if err := f.Sync(); err != nil {
				b.Error(err)
			}
			for _, w := range group {
				w.done <- struct{}{}
			}
		}
	}()
	var next atomic.Int64
	var all sync.WaitGroup
	b.ResetTimer()
	for range writers {
		all.Go(func() {
			w := &wait{done: make(chan struct{}, 1)}
			for next.Add(1) <= int64(b.N) {
				queue <- w
				<-w.done
			}
		})
	}
	all.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	close(queue)
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkLargestInsert commits 200,000 rows of 400 bytes at a time.
func BenchmarkLargestInsert(b *testing.B) {
	n, note := benchNode(b, 0)
	const rows = 200_000
	text := strings.Repeat("x", 400)
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		list := make([]command.RowWrite, rows)
		for j := range list {
			id := int64(i*rows + j)
			list[j] = command.RowWrite{Op: command.Insert, Scope: "al", Key: keyOf(id), Row: rowOf(note, id, text)}
		}
		b.StartTimer()
		if _, err := n.local.Commit(context.Background(), &command.Command{Time: time.Now().UnixMicro(), Durability: schema.Sync, Body: write(note, list...)}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*rows)/b.Elapsed().Seconds(), "rows/s")
	n.close()
}
