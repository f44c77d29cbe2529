package core

import (
	"context"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
)

// ResultKind says what a statement did, for doors that sum results up.
type ResultKind uint8

// The kinds of results.
const (
	Done     ResultKind = iota // a statement without rows, with a message
	Rows                       // a SELECT, SHOW or DESCRIBE
	Inserted                   // an INSERT
	Updated                    // an UPDATE
	Deleted                    // a DELETE
)

// Column describes one column of a result.
type Column struct {
	Name       string
	Type       datum.Type
	PrimaryKey bool
	NotNull    bool
	Unique     bool
}

// Result is what one statement answers. It is used by one goroutine at a time,
// and must be closed: it may hold a view of the database.
type Result struct {
	Kind    ResultKind
	Columns []Column
	// Count is the number of rows that were changed; for Rows it is known only
	// when Buffered is true.
	Count    int64
	Buffered bool
	Message  string
	AsUser   schema.UserID
	// Objects says that cells of JSON are sent as what they are, not as texts.
	Objects bool

	analytic bool // it comes from DuckDB

	next  func(ctx context.Context) ([][]datum.Value, error)
	close func()
}

// Next returns the next rows, aligned to Columns and valid until the next
// call, or nil at the end.
func (r *Result) Next(ctx context.Context) ([][]datum.Value, error) {
	if r.next == nil {
		return nil, nil
	}
	return r.next(ctx)
}

// Close lets go of what the result holds. It may be called more than once.
func (r *Result) Close() {
	if end := r.close; end != nil {
		r.close, r.next = nil, nil // first, so that a panic below is not met twice
		end()
	}
}

// buffered returns a result over rows that are in memory.
func buffered(columns []Column, rows [][]datum.Value) *Result {
	r := &Result{Kind: Rows, Columns: columns, Count: int64(len(rows)), Buffered: true}
	r.next = func(context.Context) ([][]datum.Value, error) {
		out := rows
		rows = nil
		if len(out) == 0 {
			return nil, nil
		}
		return out, nil
	}
	return r
}
