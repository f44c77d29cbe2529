package live

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"
	"unsafe"
)

const (
	sysEpollPwait2  = 441       // waits with nanoseconds; Linux 5.11 and later
	prSetTimerSlack = 29        // how late a sleeping thread may be woken
	readBuffer      = 256 << 10 // bytes of one read
	eventsAtOnce    = 512
)

// loop waits for many connections on one thread.
type loop struct {
	fd     int
	events [eventsAtOnce]syscall.EpollEvent
	conns  map[int]*conn
	buffer []byte // of one read
}

// conn is one connection of the loop.
type conn struct {
	fd   int
	rest []byte // what has come of a message that is not complete
	take func(data []byte) (used int, err error)
}

func newLoop() (*loop, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create epoll: %w", err)
	}
	if _, _, e := syscall.Syscall(syscall.SYS_PRCTL, prSetTimerSlack, 1, 0); e != 0 {
		return nil, fmt.Errorf("set timer slack: %w", e)
	}
	return &loop{fd: fd, conns: make(map[int]*conn), buffer: make([]byte, readBuffer)}, nil
}

func (l *loop) close() {
	for fd := range l.conns {
		_ = syscall.Close(fd)
	}
	_ = syscall.Close(l.fd)
}

// dial opens a connection. take is handed what comes, as soon as something has,
// and says how much of it was whole messages.
func (l *loop) dial(addr string, take func([]byte) (int, error)) (*conn, error) {
	a, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return nil, err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open socket: %w", err)
	}
	to := &syscall.SockaddrInet4{Port: a.Port}
	copy(to.Addr[:], a.IP.To4())
	err = errors.Join(
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1),
		syscall.Connect(fd, to),
		syscall.SetNonblock(fd, true),
		syscall.EpollCtl(l.fd, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(fd)}),
	)
	if err != nil {
		_ = syscall.Close(fd)
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	c := &conn{fd: fd, take: take}
	l.conns[fd] = c
	return c, nil
}

// drop closes a connection.
func (l *loop) drop(c *conn) {
	delete(l.conns, c.fd)
	_ = syscall.Close(c.fd) // nothing is expected of it any more
}

// turn waits at most d for something to read and hands it on.
func (l *loop) turn(d time.Duration) error {
	ts := syscall.NsecToTimespec(max(d, 0).Nanoseconds())
	n, _, e := syscall.Syscall6(sysEpollPwait2, uintptr(l.fd), uintptr(unsafe.Pointer(&l.events[0])), eventsAtOnce, uintptr(unsafe.Pointer(&ts)), 0, 0)
	if e == syscall.EINTR {
		return nil
	}
	if e != 0 {
		return fmt.Errorf("wait for events: %w", e)
	}
	for i := range int(n) {
		c := l.conns[int(l.events[i].Fd)]
		if c == nil {
			continue // it has just been dropped
		}
		if err := l.read(c); err != nil {
			return err
		}
	}
	return nil
}

// read hands on what a connection has.
func (l *loop) read(c *conn) error {
	kept := copy(l.buffer, c.rest)
	if kept == len(l.buffer) {
		return fmt.Errorf("a message exceeds %d bytes", readBuffer)
	}
	n, err := syscall.Read(c.fd, l.buffer[kept:])
	switch {
	case err == syscall.EINTR || err == syscall.EAGAIN:
		return nil
	case err != nil:
		return fmt.Errorf("read: %w", err)
	case n == 0:
		return fmt.Errorf("read: %w", io.ErrUnexpectedEOF)
	}
	data := l.buffer[:kept+n]
	used, err := c.take(data)
	c.rest = append(c.rest[:0], data[used:]...)
	return err
}

// write sends all of data; a full socket is waited for while others are read.
func (l *loop) write(c *conn, data []byte) error {
	for len(data) > 0 {
		n, err := syscall.Write(c.fd, data)
		switch err {
		case nil:
			data = data[n:]
		case syscall.EINTR:
		case syscall.EAGAIN:
			if err := l.turn(time.Millisecond); err != nil {
				return err
			}
		default:
			return fmt.Errorf("write: %w", err)
		}
	}
	return nil
}

// writeNow sends a few bytes to a socket that has room for them. It may be used
// while a message is being taken.
func (l *loop) writeNow(c *conn, data []byte) error {
	if n, err := syscall.Write(c.fd, data); err != nil || n != len(data) {
		return fmt.Errorf("write %d bytes: %d were taken: %w", len(data), n, err)
	}
	return nil
}

// await turns until done, at most patience long.
func (l *loop) await(what string, done func() bool) error {
	for deadline := time.Now().Add(patience); !done(); {
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: nothing more came within %s", what, patience)
		}
		if err := l.turn(100 * time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}
