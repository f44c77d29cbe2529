// Package live measures what subscribers see, with a client of its own: raw
// WebSocket frames over TCP, no decoding that a program of its size could do
// without, and one clock for the sender and the receiver.
//
// A Job is one scenario against one server; Run does it and returns a Result:
//
//	latency    from the moment an INSERT is due to its event, idle or at a rate
//	broadcast  one row to many subscriptions, beside the ceiling program
//	idle       memory of connections that wait
//	crowd      what an INSERT costs when many subscriptions do not want it
//	sustained  rows to everybody without a rest, of KalamDB and of message servers
//	routing    the event of a row that one subscription of a million selects
//	snapshot   subscribing to rows that are there
//	resume     coming back to rows that were missed
//
// Every delivery is judged: the right row, to the right subscription, exactly
// once. One that is missing, doubled or wrong ends the run with an error.
//
// Ceiling is the program that a broadcast is held against: it has the same
// sockets and writes the same bytes to each of them with one write, after a sync
// if that is what is compared, and does nothing else.
//
// Goroutines: none in Run, where one locked thread waits for all sockets at
// once; in Ceiling one per socket that is being set up. Locks: none.
package live
