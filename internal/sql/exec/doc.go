// Package exec runs bound queries: the row path over one table, and the analytic
// path over queries of any shape.
//
// Expressions are compiled to closures that may be shared by goroutines; what
// belongs to one execution lives in an Env. On the row path a query runs as a
// chain of stages that hand on batches of rows: scan and filter, group, sort or
// project, distinct, limit. A stage that has to keep rows (sorting, grouping,
// DISTINCT) is bounded in bytes by Limits and says which key raises the bound
// when it gives up; with a LIMIT a sort keeps only the rows it will show.
//
// On the analytic path a tree of nodes becomes one SELECT for DuckDB, written
// anew for each execution, because parameters decide what DuckDB may compute. No
// text of a user is in it: tables are kscan(i), columns are numbered, values are
// parameters. An expression is handed over only where DuckDB means what our code
// means (native.go lists that); the largest parts around all others are called
// back into our compiler. Rows are compared, grouped and sorted by bytes that
// our code makes where DuckDB would order a type otherwise. TestPaths compares
// the two paths.
//
// The WHERE clause is applied to every row that a table delivers: key ranges,
// bounds of _seq and limits that are handed to the table only save work.
//
// A grouping of many rows is shared by goroutines that Helpers bounds, where its
// answer does not depend on the order of the rows.
//
// Goroutines: those of Helpers, while a grouping runs; DuckDB calls back on the goroutine that asks for
// rows, and on helpers of the engine while threads share a scan. Locks: generator.opening, held
// while a scan begins; a leaf but for what the table takes. A Result belongs to
// one goroutine at a time.
package exec
