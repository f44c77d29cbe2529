package duck_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/sql/exec/internal/duck"
	"kalamdb/internal/sql/source"
)

// cutTable is a table that hands its rows out in pieces.
type cutTable struct {
	table
	size   int // rows of a piece
	next   atomic.Int64
	closed atomic.Int64
	fails  int // the piece that fails after its first batch, -1 for none
	meet   func(context.Context) error
}

// failingPiece is rows that end in an error.
type failingPiece struct {
	source.Rows
	err    error
	before int
}

func (r *failingPiece) Next(ctx context.Context) (*source.Batch, error) {
	if r.before--; r.before < 0 {
		return nil, r.err
	}
	return r.Rows.Next(ctx)
}

// waitingPiece is rows that wait for something first.
type waitingPiece struct {
	source.Rows
	meet func(context.Context) error
}

func (r *waitingPiece) Next(ctx context.Context) (*source.Batch, error) {
	if r.meet != nil {
		meet := r.meet
		r.meet = nil
		if err := meet(ctx); err != nil {
			return nil, err
		}
	}
	return r.Rows.Next(ctx)
}

func (t *cutTable) Next(ctx context.Context) (source.Rows, error) {
	at := int(t.next.Add(1)) - 1
	if at*t.size >= len(t.rows) {
		return nil, ctx.Err()
	}
	part := &table{types: t.types, rows: t.rows[at*t.size : min((at+1)*t.size, len(t.rows))], batch: t.batch}
	t.open.Add(1)
	rows := source.Rows(&countedDown{&tableRows{t: part}, &t.open})
	if at == t.fails {
		rows = &failingPiece{rows, errPiece, 1}
	}
	return &waitingPiece{rows, t.meet}, nil
}

func (t *cutTable) Close() { t.closed.Add(1) }

// countedDown counts the rows that are open.
type countedDown struct {
	source.Rows
	open *atomic.Int64
}

func (r *countedDown) Close() {
	if r.open != nil {
		r.open.Add(-1)
		r.open = nil
	}
	r.Rows.Close()
}

var errPiece = fault.New(fault.DivisionByZero, "a piece failed")

func newCutTable(rows, size int) *cutTable {
	t := &cutTable{size: size, fails: -1}
	t.types = []datum.Type{{Kind: datum.BigInt}, {Kind: datum.Text}}
	for i := range rows {
		t.rows = append(t.rows, []datum.Value{datum.NewInt(datum.BigInt, int64(i)), datum.NewText(fmt.Sprintf("the row that is number %d", i%97))})
	}
	return t
}

// run executes a text over the table in pieces.
func (t *cutTable) run(ctx context.Context, e *duck.Engine, text string, columns ...datum.Kind) ([][]datum.Value, error) {
	scan := t.scan()
	scan.Pieces = func(context.Context) (source.Pieces, error) { return t, nil }
	scan.Open = func(context.Context) (source.Rows, error) { return nil, errors.New("opened in one piece") }
	s := &duck.Statement{Text: text, Scans: []duck.Scan{scan}}
	for _, k := range columns {
		s.Columns = append(s.Columns, datum.Type{Kind: k})
	}
	return query(ctx, e, s)
}

// over checks that nothing is left open.
func (t *cutTable) over(test *testing.T) {
	test.Helper()
	if open, closed := t.open.Load(), t.closed.Load(); open != 0 || closed != 1 {
		test.Errorf("%d pieces are open, the scan was closed %d times", open, closed)
	}
}

// TestPieces: pieces of any size give every row once, in aggregates and as they
// are, whoever reads them.
func TestPieces(t *testing.T) {
	e := duck.New(duck.Options{Threads: 4, TempDir: t.TempDir()})
	defer e.Close()
	for _, size := range []int{1, 700, 2048, 5000, 100_000} {
		rows := min(30_000, 2000*size)
		c := newCutTable(rows, size)
		got, err := c.run(t.Context(), e, "SELECT count(*), sum(c0)::BIGINT, count(DISTINCT c1), max(c1) FROM kscan(0)", datum.BigInt, datum.BigInt, datum.BigInt, datum.Text)
		if err != nil {
			t.Fatal(err)
		}
		n := int64(rows)
		if got[0][0].Int() != n || got[0][1].Int() != n*(n-1)/2 || got[0][2].Int() != 97 || got[0][3].Text() != "the row that is number 96" {
			t.Errorf("pieces of %d: %v", size, got)
		}
		c.over(t)
		c = newCutTable(rows, size)
		got, err = c.run(t.Context(), e, "SELECT c0 FROM kscan(0) WHERE c0 % 2 = 0", datum.BigInt)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[int64]bool{}
		for _, row := range got {
			seen[row[0].Int()] = true
		}
		if len(got) != rows/2 || len(seen) != rows/2 {
			t.Errorf("pieces of %d: %d rows, %d different", size, len(got), len(seen))
		}
		c.over(t)
	}
}

// TestPiecesOnThreads: threads read pieces at the same time. Two of them wait for
// each other before they go on.
func TestPiecesOnThreads(t *testing.T) {
	e := duck.New(duck.Options{Threads: 2})
	defer e.Close()
	c := newCutTable(10_000, 5000)
	met, both := make(chan struct{}), atomic.Int64{}
	c.meet = func(ctx context.Context) error {
		if both.Add(1) == 2 {
			close(met)
		}
		select {
		case <-met:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	got, err := c.run(t.Context(), e, "SELECT count(*) FROM kscan(0)", datum.BigInt)
	if err != nil || got[0][0].Int() != 10_000 {
		t.Fatal(got, err)
	}
	c.over(t)
}

// TestPiecesEnd: the error of one piece ends the statement and is its error, the
// end of the context ends pieces that wait, and a reader that has enough ends
// them too.
func TestPiecesEnd(t *testing.T) {
	e := duck.New(duck.Options{Threads: 3})
	defer e.Close()
	c := newCutTable(100_000, 3000)
	c.fails = 7
	if _, err := c.run(t.Context(), e, "SELECT count(*) FROM kscan(0)", datum.BigInt); !errors.Is(err, errPiece) {
		t.Errorf("a piece that fails: %v", err)
	}
	c.over(t)

	c = newCutTable(100_000, 3000)
	ctx, cancel := context.WithCancel(t.Context())
	c.meet = func(ctx context.Context) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	}
	if _, err := c.run(ctx, e, "SELECT count(*) FROM kscan(0)", datum.BigInt); !errors.Is(err, context.Canceled) {
		t.Errorf("a statement whose context ended: %v", err)
	}
	c.over(t)

	c = newCutTable(100_000, 3000)
	got, err := c.run(t.Context(), e, "SELECT c0 FROM kscan(0) LIMIT 10", datum.BigInt)
	if err != nil || len(got) != 10 {
		t.Errorf("LIMIT: %d rows, %v", len(got), err)
	}
	c.over(t)

	c = newCutTable(3000, 1000)
	c.meet = func(context.Context) error { panic("in a piece") }
	if _, err := c.run(t.Context(), e, "SELECT count(*) FROM kscan(0)", datum.BigInt); fault.CodeOf(err) != fault.Internal {
		t.Errorf("a panic in a piece: %v", err)
	}
	c.over(t)
}
