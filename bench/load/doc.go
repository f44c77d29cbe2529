// Package load is the client that measures: raw HTTP/1.1 over TCP, prebuilt
// bytes out, the least parsing that can judge every answer.
//
// A Job says what to ask of whom; Run does it and returns a Result. A closed
// loop keeps one request on each connection; an open loop (Job.Rate) sends at
// stated moments and counts latency from the moment a request was due, so that a
// stalled server is not asked less and does not look better for it. An answer
// that is not the expected one ends the run with an error.
//
// Jobs run in a process of their own (Serve, Remote), so that CPU time of the
// client and of the server are told apart.
//
// Goroutines: none; one locked thread waits for all connections at once. Locks:
// none.
package load
