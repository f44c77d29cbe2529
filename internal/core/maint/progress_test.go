package maint_test

import (
	"context"
	"slices"
	"testing"

	"kalamdb/internal/command"
	"kalamdb/internal/core/maint"
	"kalamdb/internal/schema"
)

// Flushes and compactions say how far they are while they run: at each slice
// that is moved more than at the one before, from the half on, for by then the
// file is written.
func TestProgressMoves(t *testing.T) {
	var n *node
	var running string // the job
	var seen []int16   // before each slice
	n = openNode(t, nodeOptions{
		Maint: maint.Options{SliceRows: 10, SlicesAhead: -1},
		Committer: func(to command.Committer) command.Committer {
			return hooked{to, func(body command.Body) error {
				switch b := body.(type) {
				case *command.PutJob:
					running = b.Job.ID
				case *command.Adopt, *command.Move:
					j := schema.Job{ID: running, Status: schema.JobRunning}
					n.Jobs.Live(&j)
					seen = append(seen, j.Progress)
				}
				return nil
			}}
		},
	})
	shared := sharedTable()
	def := n.Commit(&command.CreateTable{Table: shared}).Table
	f := func(message string, err error, want ...int16) {
		t.Helper()
		if j := finish(t, n, message, err); j.Status != schema.JobCompleted || j.Progress != 100 {
			t.Errorf("the job ended as %s with %d%%: %s", j.Status, j.Progress, j.Message)
		}
		if !slices.Equal(seen, want) {
			t.Errorf("before its slices the job was at %v%%, want %v", seen, want)
		}
		seen = nil
	}
	for from := range 2 {
		insert(n, def, "", 50*from, 50*(from+1))
		message, err := n.Maint.StartFlush(context.Background(), "root", def)
		f(message, err, 50, 60, 70, 80, 90)
	}
	message, err := n.Maint.StartCompact(context.Background(), "root", def)
	f(message, err, 50, 55, 60, 65, 70, 75, 80, 85, 90, 95)
}
