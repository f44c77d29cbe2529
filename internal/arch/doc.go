// Package arch holds the rules of the house as a test: which room may import
// which, where heavyweight dependencies live, how long files and functions may
// get, and that every package says what it is for. The table of arrows is read
// from docs/architecture.md.
//
// Goroutines: none. Locks: none.
package arch
