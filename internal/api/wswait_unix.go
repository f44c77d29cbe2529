//go:build unix

package api

import (
	"net"
	"syscall"
)

// waiter waits until a connection has something to read, without a buffer to
// read it into. The zero value does not wait: then the read does.
type waiter struct{ raw syscall.RawConn }

// readiness returns the waiter of a connection.
func readiness(c net.Conn) waiter {
	s, ok := c.(syscall.Conn)
	if !ok {
		return waiter{}
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return waiter{} // the read will say why
	}
	return waiter{raw}
}

// await returns when a read would not wait, whatever it would return.
func (w waiter) await() {
	if w.raw != nil {
		_ = w.raw.Read(readable) // an error is the read's as well
	}
}

// readable reports whether a read of the descriptor would not wait.
func readable(fd uintptr) bool {
	var b [1]byte
	_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
	return err != syscall.EAGAIN
}
