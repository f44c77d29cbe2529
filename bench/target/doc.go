// Package target speaks the languages of the servers that are measured: each
// has a load.Dialect, which makes the bytes of requests and judges answers.
//
// A new peer is one file with a Dialect, a line in New, and a scenario's process
// in package main.
//
// Goroutines: none. Locks: none.
package target

import (
	"fmt"

	"kalamdb/bench/load"
)

// The targets that New knows.
const (
	KalamDB    = "kalamdb"
	Ceiling    = "ceiling"
	EmptyHTTP  = "empty"
	PocketBase = "pocketbase"
	Centrifuge = "centrifuge"
	NATS       = "nats"
)

// New returns the dialect that a job names.
func New(job load.Job) (load.Dialect, error) {
	switch job.Target {
	case KalamDB:
		return newKalam(job), nil
	case Ceiling:
		return newEcho(job)
	case EmptyHTTP:
		return newEmpty(job), nil
	case PocketBase:
		return newPocket(job), nil
	case Centrifuge:
		return &centrifuge{head: head("POST", "/publish", job.Addr, "")}, nil
	case NATS:
		return &nats{}, nil
	}
	return nil, fmt.Errorf("no dialect of target %q", job.Target)
}
