package duck

import (
	"testing"

	"kalamdb/internal/datum"
)

// TestGivenUp: an instance that failed without a reason is left to the
// statements that run in it, and the next statement gets another.
func TestGivenUp(t *testing.T) {
	e := New(Options{})
	defer e.Close()
	s := &Statement{Text: "SELECT 1::BIGINT", Columns: []datum.Type{{Kind: datum.BigInt}}}
	start := func() *Rows {
		t.Helper()
		r, err := e.Query(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first, second := start(), start()
	err := first.run.explain("INTERNAL Error: Attempted to access index 3 within vector of size 2")
	if _, is := err.(interface{ Sentence() string }); !is || !first.run.broken {
		t.Errorf("explained as %v", err)
	}
	first.Close()
	if got := e.Stats(); got.Open || got.GivenUp != 1 {
		t.Errorf("%+v", got)
	}
	third := start()
	if third.run.instance == second.run.instance {
		t.Error("the failed instance is used again")
	}
	for _, r := range []*Rows{second, third} {
		rows, err := r.Next(t.Context())
		if err != nil || rows[0][0].Int() != 1 {
			t.Errorf("%v, %v", rows, err)
		}
		r.Close()
	}
	if got := e.Stats(); got.Opened != 2 || !got.Open {
		t.Errorf("%+v", got)
	}
}

// TestCells: nothing that runs is left in the tables by which callbacks find it,
// and a connection serves one statement after the other.
func TestCells(t *testing.T) {
	e := New(Options{})
	defer e.Close()
	s := &Statement{Text: "SELECT 1::BIGINT", Columns: []datum.Type{{Kind: datum.BigInt}}}
	var connection uint64
	for i := range 3 {
		r, err := e.Query(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 && r.run.connection.id != connection {
			t.Errorf("connection %d follows %d", r.run.connection.id, connection)
		}
		connection = r.run.connection.id
		for {
			rows, err := r.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if rows == nil {
				break
			}
		}
		in := r.run.instance
		r.Close()
		in.mu.Lock()
		if len(in.mu.running) != 0 || len(in.mu.numbered) != 0 || len(in.mu.free) != 1 {
			t.Errorf("%d and %d run, %d connections are idle", len(in.mu.running), len(in.mu.numbered), len(in.mu.free))
		}
		in.mu.Unlock()
	}
}
