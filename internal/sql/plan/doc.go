// Package plan owns what SQL means: one catalogue of operators, functions and
// casts, and the binding of parsed statements against table definitions.
//
// Binding resolves names, chooses overloads as PostgreSQL does (exact match
// first, then implicit promotion; quoted strings and parameters take the type
// their place asks for), folds constants, and works out how the rows are
// reached: full keys, key ranges, bounds of _seq, or a scan. The result is a
// typed tree that an executor only has to walk. A bound statement is immutable
// and shared by many goroutines through a plan cache; what belongs to one
// execution lives in an Env.
//
// Both executors must give the type, the value and the fault that the catalogue
// says; docs/sql/functions.md is printed from it.
//
// Goroutines: none. Locks: none.
package plan
