package duck

import (
	"context"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/source"
)

// Statement is one SELECT with what it reads and calls. It is not changed while
// it runs.
type Statement struct {
	// Text is one SELECT in DuckDB's words: scans are kscan(i) and kfiles(i), calls are
	// kfn_<suffix>(i, args…), parameters $1….
	Text string
	// Scans are the tables that kscan(i) reads.
	Scans []Scan
	// Files are the Parquet files that kfiles(i) reads.
	Files []Files
	// Calls are the functions that kfn_<suffix>(i, …) calls.
	Calls []Call
	// Params are bound in the physical form of their type.
	Params []datum.Value
	// Columns are the types of the result: how its cells are read back.
	Columns []datum.Type
}

// Scan is one table of a Statement.
type Scan struct {
	// Types are those of the delivered columns, named c0, c1 and so on.
	Types []datum.Type
	// Open starts a scan. It is called when the plan runs; a plan may scan more
	// than once, and each scan gets Rows of its own.
	Open func(ctx context.Context) (source.Rows, error)
	// Pieces, if not nil, starts a scan that threads share. It may return nil, and
	// is then followed by Open.
	Pieces func(ctx context.Context) (source.Pieces, error)
	// Positions say where the value of each of Types stands in a row.
	Positions []int
	// Table, if not nil, is what source.StoredRows are rows of; Positions are those
	// of its columns.
	Table *schema.Table
	// Rows is how many rows to expect, 0 when that is not known.
	Rows int64
}

// Call is one Go function of a Statement. A volatile one is called as
// kvf_<suffix> and neither folded nor shared between equal calls.
type Call struct {
	// Result is the type that the function returns; its form must be that of the
	// suffix in the text.
	Result datum.Type
	// Args are the types of its arguments, without the leading number.
	Args []datum.Type
	// Volatile says that equal arguments may give different results.
	Volatile bool
	// New returns an evaluator, which one thread uses at a time. It is also called
	// for NULL arguments. Its error ends the statement and is returned as it is;
	// args are valid during the call.
	New func() func(args []datum.Value) (datum.Value, error)
}
