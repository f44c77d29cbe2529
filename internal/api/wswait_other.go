//go:build !unix

package api

import "net"

// waiter waits until a connection has something to read. Here the read does.
type waiter struct{}

// readiness returns the waiter of a connection.
func readiness(net.Conn) waiter { return waiter{} }

// await returns at once.
func (waiter) await() {}
