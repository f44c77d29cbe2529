//go:build unix

package api

import (
	"net"
	"syscall"
)

// leaving returns a function that reports whether the client at the other end of
// a connection has closed it. It takes nothing from the connection: it looks at
// the next byte without waiting for it. A client that has sent another request
// behind this one is not seen to leave, nor one whose machine has vanished.
func leaving(c net.Conn) func() bool {
	s, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	return func() bool {
		raw, err := s.SyscallConn()
		if err != nil {
			return true // it was closed here
		}
		gone := false
		err = raw.Control(func(fd uintptr) { gone = left(int(fd)) })
		return gone || err != nil
	}
}

// left reports whether the next read of a descriptor meets the end.
func left(fd int) bool {
	var b [1]byte
	for {
		n, _, err := syscall.Recvfrom(fd, b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch err {
		case nil:
			return n == 0
		case syscall.EINTR:
		case syscall.EAGAIN:
			return false
		default:
			return true
		}
	}
}
