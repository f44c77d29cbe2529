// Package parse turns SQL text into trees.
//
// Split cuts a batch into statements, Parse turns one of them into a Statement,
// and Normalize turns one into the key of a plan cache and the literals that
// were taken out of it. KalamDB's own statements are read by a small parser of
// this room; SELECT, INSERT, UPDATE, DELETE and VALUES, and every expression,
// are read by PostgreSQL's own grammar (libpg_query) and converted. The home of
// that library is this room; none of its types leaves it.
//
// The room promises: no text makes it panic or recurse without bound (nesting
// is counted on the tokens before any parser sees them); every offset in a tree
// or a fault lies inside the text that was given; two texts with the same key
// have the same tree but for the values of their literals and for offsets; what
// the grammar takes and no executor has is named (Unsupported, Select.Complex,
// NotYet) and never dropped.
//
// Spellings of KalamDB 0.4.3 that PostgreSQL's grammar refuses are rewritten on
// the tokens, in place and without changing the length of the text, so that
// offsets stay what they were. They are listed in docs/sql/statements.md.
//
// Goroutines: none. Locks: none; all functions may be called concurrently.
package parse
