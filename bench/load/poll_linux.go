package load

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
	sysEpollPwait2  = 441     // waits with nanoseconds; Linux 5.11 and later
	prSetTimerSlack = 29      // how late a sleeping thread may be woken
	readBuffer      = 8 << 10 // free room for one read, in bytes
)

// poller waits for many connections on one thread.
type poller struct {
	fd     int
	conns  int
	events []syscall.EpollEvent
	ready  []int
}

func newPoller(conns int) (*poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create epoll: %w", err)
	}
	if _, _, e := syscall.Syscall(syscall.SYS_PRCTL, prSetTimerSlack, 1, 0); e != 0 {
		return nil, fmt.Errorf("set timer slack: %w", e)
	}
	return &poller{fd: fd, events: make([]syscall.EpollEvent, conns)}, nil
}

func (p *poller) close() { _ = syscall.Close(p.fd) }

// dial opens a connection; the indexes that wait returns are in order of the
// calls.
func (p *poller) dial(addr string) (int, error) {
	a, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return 0, err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	to := &syscall.SockaddrInet4{Port: a.Port}
	copy(to.Addr[:], a.IP.To4())
	err = errors.Join(
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1),
		syscall.Connect(fd, to),
		syscall.SetNonblock(fd, true),
		syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(p.conns)}),
	)
	if err != nil {
		_ = syscall.Close(fd)
		return 0, err
	}
	p.conns++
	return fd, nil
}

func (p *poller) hangUp(fd int) { _ = syscall.Close(fd) }

// wait returns the indexes of connections that have something to read.
func (p *poller) wait(d time.Duration) ([]int, error) {
	ts := syscall.NsecToTimespec(d.Nanoseconds())
	n, _, e := syscall.Syscall6(sysEpollPwait2, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), uintptr(unsafe.Pointer(&ts)), 0, 0)
	p.ready = p.ready[:0]
	if e == syscall.EINTR {
		return p.ready, nil
	}
	if e != 0 {
		return nil, e
	}
	for i := range int(n) {
		p.ready = append(p.ready, int(p.events[i].Fd))
	}
	return p.ready, nil
}

// read appends to buf what the connection has.
func (p *poller) read(fd int, buf []byte) ([]byte, error) {
	if cap(buf)-len(buf) < readBuffer {
		buf = append(make([]byte, 0, 2*cap(buf)+readBuffer), buf...)
	}
	for {
		n, err := syscall.Read(fd, buf[len(buf):cap(buf)])
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return buf, nil
		case err != nil:
			return buf, err
		case n == 0:
			return buf, io.ErrUnexpectedEOF
		default:
			return buf[:len(buf)+n], nil
		}
	}
}

// write sends all of data; a full socket is waited for.
func (p *poller) write(fd int, data []byte) error {
	for len(data) > 0 {
		n, err := syscall.Write(fd, data)
		switch err {
		case nil:
			data = data[n:]
		case syscall.EINTR:
		case syscall.EAGAIN:
			if err := writable(fd); err != nil {
				return err
			}
		default:
			return err
		}
	}
	return nil
}

// writable waits until the socket takes more.
func writable(fd int) error {
	const pollOut = 4
	set := struct {
		fd              int32
		events, revents int16
	}{fd: int32(fd), events: pollOut}
	limit := syscall.NsecToTimespec(drain.Nanoseconds())
	n, _, e := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&set)), 1, uintptr(unsafe.Pointer(&limit)), 0, 0, 0)
	switch {
	case e == syscall.EINTR:
		return nil
	case e != 0:
		return e
	case n == 0:
		return fmt.Errorf("the server takes nothing for %s", drain)
	}
	return nil
}
