package source

import (
	"context"

	"kalamdb/internal/datum"
)

// FileRange is the rows [From, To), by number, of a Parquet file of Rows rows.
type FileRange struct {
	Path           string
	From, To, Rows uint64
}

// Files are ranges of Parquet files of the operating system. The files carry
// the column ids of the table as field ids; they stay as they are while the
// moment is held that the table is bound to.
type Files struct {
	// Folders hold all the files, at any depth.
	Folders []string
	Ranges  []FileRange
	// Absent are the values, by position, of the wanted columns that no file of
	// these has.
	Absent map[int]datum.Value
	// Marks, if not nil, delivers the rows of the ranges that do not count: the
	// index of the range and the number of the row.
	Marks func(ctx context.Context) (Rows, error)
}

// Division is a scan in parts: what lies in Files, and all other rows.
type Division struct {
	Files []Files
	// Rows is how many rows the ranges have, marked ones included.
	Rows int64
	// Rest starts the scan of the others, Pieces a shared one as Pieced does.
	Rest   func(ctx context.Context) (Rows, error)
	Pieces func(ctx context.Context, least int64) (Pieces, error)
}

// Divided is a Table that an executor may read in parts when it reads Parquet
// itself.
type Divided interface {
	Table
	// Divide returns the parts of a scan in no order, or nil when fewer than least
	// rows or more than files files were to be read so. Rows of the files may lie
	// outside of the bounds of the request.
	Divide(ctx context.Context, r Request, least int64, files int) (*Division, error)
}
