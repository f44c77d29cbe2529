// Package duck runs generated SELECT statements in an embedded DuckDB.
//
// An Engine opens its instance with the first statement, locks it down before
// anything runs in it, lets a bounded number of statements run and wait, and
// closes it when nothing has run for a while. A Statement brings its text, the
// tables that the text reads through kscan(i), and the Go functions that it calls
// back through kfn_<suffix>(i, …). Both are found by the connection that runs the
// statement, so no text can name what belongs to another.
//
// Promises: a statement ends soon after its context does; every source.Rows that
// was opened is closed when the Rows of the result are; a panic in a called
// function ends the statement, not the process; an instance that failed without
// a reason is not used again. The text is the caller's and never a user's: what a
// SELECT could reach is listed in docs/decisions/019-duckdb-bindings.md.
//
// Goroutines: one per statement while its context has ended and DuckDB has not
// yet; one that closes an idle instance; Options.Threads but one that execute tasks
// of DuckDB while a statement scans in pieces, and one that sends them away. Statements that run are bounded by
// Options.Connections, those that wait by Options.Queue; more are refused.
// Locks: Rows.mu, then Engine.mu; run.mu, then helpers.mu;
// instance.mu and scan.mu are leaves.
package duck
