// Package api is the HTTP edge: routes, wire shapes and limits.
//
// A Server accepts connections, finds out who asks and from where, decodes a
// request within bounds, lets core run it, and writes the answer as it comes.
// Requests pass the gates in one order: protection of addresses, CORS, route,
// bearer token, rate of the user, size and shape of the body. faults.go is the
// only place that turns faults into statuses, codes and words, and says who may
// read what.
//
// An answer is buffered up to 64 KiB, so that an error up to there has its own
// status; a longer one is streamed and, when it fails half-way, cut off so that
// it never parses.
//
// Goroutines: the accept loop and one per connection, started by Run, which
// returns when all have ended. Locks: gate.mu and those of the rate limiters;
// none is held while anything else is called.
package api
