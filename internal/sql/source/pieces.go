package source

import "context"

// Pieces is a scan in no order that goroutines share: what they take delivers
// together what one scan would, each row once, at the moment of the table.
type Pieces interface {
	// Next returns the rows of a piece, which the caller closes, or nil when
	// nothing is left that is worth one. Any number of goroutines may call it.
	Next(ctx context.Context) (Rows, error)
	// Close ends the handing out. Pieces that were taken go on.
	Close()
}

// Pieced is a Table whose scans can be shared.
type Pieced interface {
	Table
	// Pieces starts a shared scan, or returns nil where that is not possible or
	// where it would be one of fewer than least rows, about.
	Pieces(ctx context.Context, r Request, least int64) (Pieces, error)
}
