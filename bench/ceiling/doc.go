// Package ceiling holds the programs that do no more than a path must: what a
// server is held against, measured in the same run.
//
// Echo answers so many bytes for so many; Synced (C2) does that only after the
// bytes of the request are on disk, together with those of all who wait; FsyncLoop
// is the same without a network. EmptyHTTP and EmptyFastHTTP show what HTTP itself costs in Go. The
// servers trust their client, the load client of this tree.
//
// Goroutines: those of a server end with its process. Locks: pending.mu.
package ceiling
