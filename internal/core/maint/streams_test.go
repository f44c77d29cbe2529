package maint_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"kalamdb/internal/command"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/table"
)

// counted counts what is proposed, and what of it asks for an fsync.
type counted struct {
	command.Committer
	all, synced *atomic.Int64
}

func (c counted) Commit(ctx context.Context, cmd *command.Command) (command.Receipt, error) {
	c.all.Add(1)
	if cmd.Durability != schema.Relaxed {
		c.synced.Add(1)
	}
	return c.Committer.Commit(ctx, cmd)
}

// openStreams opens a node whose maintainer's proposals are counted.
func openStreams(t *testing.T) (*node, *counted) {
	c := &counted{all: new(atomic.Int64), synced: new(atomic.Int64)}
	n := openNode(t, nodeOptions{Committer: func(inner command.Committer) command.Committer {
		c.Committer = inner
		return c
	}})
	return n, c
}

// stream makes a STREAM table.
func stream(n *node, name string, o schema.Options) *schema.Table {
	def := sharedTable()
	def.Name, def.Kind, def.Key = name, schema.Stream, nil
	if o.TTLSeconds == 0 {
		o.TTLSeconds = 3600
	}
	o.StreamWindowSeconds = table.StreamWindowSeconds(o.TTLSeconds)
	def.Options = o
	n.Commit(&command.CreateTable{Table: def})
	made, _ := n.Apply.Definitions().Table(def.Namespace, name)
	return made
}

// event inserts one event.
func event(n *node, t *schema.Table, scope schema.Scope) uint64 {
	row := rowOf(t, 1)
	return n.Commit(&command.Write{Tables: []command.TableWrite{{
		Table: t.ID, SchemaVersion: t.Version, Rows: []command.RowWrite{{Op: command.Insert, Scope: scope, Row: row.Row}},
	}}}).Position
}

// stored returns the positions of the events of a partition that are on disk.
func stored(t *testing.T, n *node, def *schema.Table, scope schema.Scope) (seqs []uint64) {
	t.Helper()
	view := n.Apply.View()
	defer view.Release()
	scan, err := table.NewScan(view.Reader(), def, scope, table.ScanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for scan.Next(context.Background()) {
		seqs = append(seqs, scan.Version().Seq)
	}
	if err := scan.Err(); err != nil {
		t.Fatal(err)
	}
	if err := scan.Close(); err != nil {
		t.Fatal(err)
	}
	return seqs
}

// bytesOf is how many bytes a stream takes.
func bytesOf(t *testing.T, n *node, def *schema.Table) (bytes int64) {
	t.Helper()
	view := n.Apply.View()
	defer view.Release()
	if err := table.StreamSizes(context.Background(), view.Reader(), def, func(_ uint64, b int64) { bytes += b }); err != nil {
		t.Fatal(err)
	}
	return bytes
}

func evict(t *testing.T, n *node) {
	t.Helper()
	if err := n.Maint.ExpireStreams(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// TestThousandStreams: streams cost nothing while nothing of them is due, their
// windows go without an fsync, and nothing is left of them.
func TestThousandStreams(t *testing.T) {
	n, proposed := openStreams(t)
	streams := make([]*schema.Table, 1000)
	for i := range streams {
		streams[i] = stream(n, fmt.Sprintf("s%04d", i), schema.Options{TTLSeconds: 10})
	}
	evict(t, n) // the look of the start
	for _, s := range streams {
		event(n, s, "alice")
	}
	before := proposed.all.Load()
	for range 10 {
		evict(t, n)
	}
	if n := proposed.all.Load() - before; n != 0 {
		t.Errorf("%d commands were proposed while no event was over", n)
	}
	n.Clock.Advance(11 * time.Second)
	synced := proposed.synced.Load()
	evict(t, n)
	if n := proposed.all.Load() - before; n != 1000 {
		t.Errorf("%d commands were proposed for 1,000 windows that are over", n)
	}
	if n := proposed.synced.Load() - synced; n != 0 {
		t.Errorf("%d of them asked for an fsync", n)
	}
	for _, s := range streams {
		if b := bytesOf(t, n, s); b != 0 {
			t.Fatalf("%d bytes of stream %s are left", b, s.Name)
		}
	}
}

// TestExpiredWindowsGo: every event is removed at most one window after its time
// is over, and none before, also what a former life has left.
func TestExpiredWindowsGo(t *testing.T) {
	clock := newClock()
	n := openNode(t, nodeOptions{Clock: clock})
	s := stream(n, "s", schema.Options{TTLSeconds: 10})
	random := rand.New(rand.NewPCG(1, 1))
	var written []uint64
	for i := range 300 {
		written = append(written, event(n, s, schema.Scope([]string{"alice", "bob"}[i%2])))
		clock.Advance(time.Duration(random.IntN(400)) * time.Millisecond)
		if i == 150 {
			n.Close()
			n = openNode(t, nodeOptions{FS: n.FS, Clock: clock})
		}
		evict(t, n)
		left := map[uint64]bool{}
		for _, scope := range []schema.Scope{"alice", "bob"} {
			for _, seq := range stored(t, n, s, scope) {
				left[seq] = true
			}
		}
		now := clock.Now().UnixMicro()
		for _, seq := range written {
			age := now - schema.SeqTime(seq)
			if left[seq] && age >= 11_001_000 || !left[seq] && age < 10_000_000 {
				t.Fatalf("step %d: an event of age %d us is stored: %v", i, age, left[seq])
			}
		}
	}
}

// TestStreamBounds: what exceeds MAX_BUFFER or MAX_STREAM_SIZE_BYTES goes, oldest
// first and of the right partitions, and the place can be asked for, also after a
// restart.
func TestStreamBounds(t *testing.T) {
	clock := newClock()
	n := openNode(t, nodeOptions{Clock: clock})
	buffered := stream(n, "buffered", schema.Options{MaxBuffer: 50})
	sized := stream(n, "sized", schema.Options{MaxStreamSizeBytes: 20_000})
	for i := range 4000 {
		event(n, buffered, "alice")
		event(n, sized, schema.Scope(fmt.Sprintf("user%d", i%7)))
		if i < 20 {
			event(n, buffered, "bob")
		}
		clock.Advance(200 * time.Millisecond)
		if i%50 == 0 {
			evict(t, n)
			if b := bytesOf(t, n, sized); b > 20_000 {
				t.Fatalf("step %d: the stream takes %d bytes", i, b)
			}
			if got := len(stored(t, n, buffered, "alice")); got > 50+1000+50 || got < min(50, i) {
				t.Fatalf("step %d: %d events of alice are stored", i, got)
			}
			if got := len(stored(t, n, buffered, "bob")); got != min(i+1, 20) {
				t.Fatalf("step %d: %d events of bob are stored", i, got)
			}
		}
		if i == 2000 {
			n.Close()
			n = openNode(t, nodeOptions{FS: n.FS, Clock: clock})
		}
	}
	if b := bytesOf(t, n, sized); b < 10_000 {
		t.Errorf("only %d bytes are left", b)
	}
	view := n.Apply.View()
	defer view.Release()
	for _, c := range []struct {
		table *schema.Table
		scope schema.Scope
		cut   bool
	}{{buffered, "alice", true}, {buffered, "bob", false}, {sized, "user1", true}} {
		floor, err := table.StreamFloor(view.Reader(), c.table, c.scope)
		if err != nil {
			t.Fatal(err)
		}
		if kept := stored(t, n, c.table, c.scope); floor >= kept[0] || c.cut != (floor > 0) {
			t.Errorf("%s of %s: the floor is %d, the first event %d", c.table.Name, c.scope, floor, kept[0])
		}
	}
}
