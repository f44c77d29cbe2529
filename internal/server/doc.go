// Package server is the composition root: it opens the rooms from a
// configuration, runs them under one group, and ends them in order.
//
// Order of the start: the store first, for it judges the data directory before
// anything is written there; then the log file and the token secret inside it;
// then core, auth and the edge, which takes its port before anything runs so
// that a port in use is found at once. Statements are served when the catalog
// is complete and root exists.
//
// Order of the end: the edge, so that nobody asks for more; core, which ends
// live queries, jobs and commits in its own order; the files; the store, whose
// clean end spares the next start a recovery; the log last.
//
// Goroutines: those of core and api, started by Run, which returns after all
// have ended; where traces are configured one of OpenTelemetry's, which ends
// within a second of the store's end. Locks: logs.mu and process.mu, held for memory operations.
package server
