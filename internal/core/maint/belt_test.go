package maint_test

import (
	"context"
	"sync/atomic"
	"testing"

	"kalamdb/internal/command"
	"kalamdb/internal/core/maint"
)

// TestFlushGivesWay counts the rows of slices: many while no statement comes,
// few while there are many, and every row is moved once in both.
func TestFlushGivesWay(t *testing.T) {
	const rows = 3000
	for _, busy := range []bool{false, true} {
		var statements atomic.Int64
		var moved, largest int
		n := openNode(t, nodeOptions{
			Maint: maint.Options{Statements: func() int64 {
				if busy {
					return statements.Add(1_000_000) // with each look
				}
				return 0
			}},
			Committer: func(to command.Committer) command.Committer {
				return hooked{to, func(body command.Body) error {
					if a, ok := body.(*command.Adopt); ok {
						moved, largest = moved+len(a.Rows), max(largest, len(a.Rows))
					}
					return nil
				}}
			},
		})
		def := n.Commit(&command.CreateTable{Table: sharedTable()}).Table
		insert(n, def, "", 0, rows)
		result, err := n.Maint.Flush(context.Background(), def.ID)
		if err != nil || result.Rows != rows || moved != rows {
			t.Fatalf("busy %t: %+v, %d rows moved, %v", busy, result, moved, err)
		}
		if !busy && largest != command.SliceRows {
			t.Errorf("quiet: a slice has up to %d rows", largest)
		}
		if got := bodies(t, n, def, ""); len(got) != rows {
			t.Errorf("busy %t: %d rows", busy, len(got))
		}
	}
}

// TestFlushBehindColdRows flushes the few rows that have been written since many
// became cold, changed and deleted ones among them, which are read by _seq.
func TestFlushBehindColdRows(t *testing.T) {
	const rows = 100
	ctx := context.Background()
	n := openNode(t, nodeOptions{})
	def := n.Commit(&command.CreateTable{Table: sharedTable()}).Table
	flush := func(want int64) {
		t.Helper()
		if result, err := n.Maint.Flush(ctx, def.ID); err != nil || result.Rows != want {
			t.Fatalf("%+v, want %d rows, %v", result, want, err)
		}
	}
	insert(n, def, "", 0, rows)
	flush(rows)
	for i := range 5 {
		insert(n, def, "", rows+2*i, rows+2*i+2)
		change(t, n, def, "", i, "changed")
		change(t, n, def, "", 50+i, "")
		change(t, n, def, "", rows+2*i, "changed before it was flushed")
		flush(3)
		flush(0)
		if got := bodies(t, n, def, ""); len(got) != rows+i+1 {
			t.Errorf("round %d: %d rows", i, len(got))
		}
	}
}
