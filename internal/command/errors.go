package command

import "errors"

// Refusals that the proposer handles by planning its command again. Everything
// else that apply refuses is a fault for the user.
var (
	// ErrStaleSchema: the table has another version now.
	ErrStaleSchema = errors.New("the table's definition has changed")
	// ErrNotEmpty: the table has rows.
	ErrNotEmpty = errors.New("the table has rows")
	// ErrStaleRow: a row has a newer version than the one that was read.
	ErrStaleRow = errors.New("a row has changed since it was read")
	// ErrStaleRead: what the command has read was changed since.
	ErrStaleRead = errors.New("rows of a table that was read have changed since")
)
