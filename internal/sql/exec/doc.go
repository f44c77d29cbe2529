// Package exec runs bound queries over tables: the row path.
//
// Expressions are compiled to closures that may be shared by goroutines; what
// belongs to one execution lives in an Env. A query runs as a chain of stages
// that hand on batches of rows: scan and filter, group, sort or project,
// distinct, limit. A stage that has to keep rows (sorting, grouping, DISTINCT)
// is bounded in bytes by Limits and says which key raises the bound when it
// gives up; with a LIMIT a sort keeps only the rows it will show.
//
// The WHERE clause is applied to every row that a table delivers: key ranges,
// bounds of _seq and limits that are handed to the table only save work.
//
// Goroutines: none. Locks: none. A Result belongs to one goroutine at a time.
package exec
