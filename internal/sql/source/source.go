// Package source says what a table looks like to an executor: a Table with
// columns, scanned by a Request, delivering Batches of rows.
//
// A Table is bound to one moment and one scope before an executor sees it, so
// nothing here can name another user's rows.
// Goroutines: none. Locks: none.
package source

import (
	"context"
	"sync/atomic"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
)

// BatchRows is how many rows a Batch holds at most.
const BatchRows = 1024

// Order is how a scan delivers its rows.
type Order uint8

// The orders.
const (
	Any       Order = iota // whatever is fastest
	ByKey                  // primary key, ascending
	BySeq                  // _seq, ascending
	BySeqDesc              // _seq, descending
)

// Bound is one end of a range over the leading key columns.
type Bound struct {
	Values    []datum.Value // a prefix of the key; empty for no bound
	Inclusive bool
}

// Range is what lies between two bounds of the leading columns of an index.
type Range struct{ Low, High Bound }

// IndexRequest asks for the rows within one of the ranges of an index.
type IndexRequest struct {
	Index  schema.IndexID
	Ranges []Range
}

// Request says which rows and columns a scan wants. It is a promise of the
// table to deliver at least the rows asked for, never a row outside the
// bounds; the executor still applies the whole WHERE clause.
type Request struct {
	// Columns are the positions that are needed, ascending; nil means all.
	// Other positions of a delivered row are undefined.
	Columns []int
	// Keys, if not nil, asks for exactly these full keys: point reads. A key
	// given twice is delivered once.
	Keys [][]datum.Value
	// Low and High bound the key.
	Low, High Bound
	// Index, if not nil, is a shorter way to the rows: those outside of its ranges
	// are not wanted. A hint: they may be delivered all the same.
	Index *IndexRequest
	// Where are conditions that the wanted rows meet, all of them. A hint: rows
	// that do not may be delivered all the same.
	Where []schema.Condition
	// Tally, if not nil, counts what is read of cold files.
	Tally *Tally
	// AfterSeq and UpToSeq bound _seq: AfterSeq < _seq <= UpToSeq; UpToSeq 0
	// means no upper bound.
	AfterSeq, UpToSeq uint64
	// Deleted delivers tombstones too.
	Deleted bool
	// Order is the order the rows must come in.
	Order Order
	// Limit is how many rows the executor will take, 0 for all. A hint.
	Limit int
}

// Tally counts what scans read of cold files, and what they need not read. A
// segment is what a file holds of a partition.
type Tally struct {
	Segments, SegmentsPruned   atomic.Int64
	RowGroups, RowGroupsPruned atomic.Int64
}

// AddGroups counts row groups. The tally may be nil.
func (t *Tally) AddGroups(read, pruned int) {
	if t != nil {
		t.RowGroups.Add(int64(read))
		t.RowGroupsPruned.Add(int64(pruned))
	}
}

// AddSegments counts segments. The tally may be nil.
func (t *Tally) AddSegments(read, pruned int) {
	if t != nil {
		t.Segments.Add(int64(read))
		t.SegmentsPruned.Add(int64(pruned))
	}
}

// Batch is up to BatchRows rows, each as long as the table's columns. The
// table may reuse it: rows are valid until the next call of Next.
type Batch struct {
	Rows [][]datum.Value
}

// Rows delivers a scan. It is used by one goroutine at a time.
type Rows interface {
	// Next returns the next batch, or nil at the end. It stops early with
	// ctx's error.
	Next(ctx context.Context) (*Batch, error)
	// Close releases what the scan holds. It may be called more than once.
	Close()
}

// StoredRows are Rows that can also hand rows on as they are stored, which
// spares who wants them in another form the values in between.
type StoredRows interface {
	Rows
	// Stored calls each with up to most of the next rows, as schema.RowReader reads
	// them, and returns how many there were. When they were fewer, the others, if
	// any, come by Next. body is valid until each returns.
	Stored(ctx context.Context, most int, each func(body []byte, seq uint64, deleted bool) error) (n int, err error)
}

// Table is one table at one moment in one scope.
type Table interface {
	// Definition returns the columns and key. For views over running state it
	// is a definition of kind System.
	Definition() *schema.Table
	// Scan starts a scan.
	Scan(ctx context.Context, r Request) (Rows, error)
	// Count returns the number of live rows if it is known without reading
	// them.
	Count(ctx context.Context) (n int64, known bool, err error)
}

// Counted is a Table that may know how many live rows lie within bounds of _seq
// without reading them.
type Counted interface {
	Table
	// CountWithin returns the number of live rows with after < _seq <= upTo; an
	// upTo of 0 is open.
	CountWithin(ctx context.Context, after, upTo uint64) (n int64, known bool, err error)
}
