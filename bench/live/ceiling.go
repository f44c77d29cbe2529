package live

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"golang.org/x/sync/errgroup"
)

const (
	// maxFrames bounds the bytes that a socket of the ceiling has per round.
	maxFrames = 64 << 20
	// logBytes is the length of the file that is written over and over.
	logBytes = 4 << 20
)

// Ceiling serves the ceiling program of a broadcast on a listener until ctx
// ends, with a file of its own at path.
//
// A client opens its sockets and sends on each a length and the bytes that a
// round is to send there. Another connection says the length 0, whether rounds
// are synced, how long a request is and how many sockets there are; from then on
// each of its requests is written to the file, synced if so, and followed by
// one write to every socket.
func Ceiling(ctx context.Context, listener net.Listener, path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("open file of the ceiling: %w", err)
	}
	defer file.Close()
	// A file that was written once needs no metadata with a sync: the least that
	// a log can cost.
	if _, err := file.Write(make([]byte, logBytes)); err != nil {
		return fmt.Errorf("write file of the ceiling: %w", err)
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("sync file of the ceiling: %w", err)
	}
	c := &ceiling{file: file, arrived: make(chan struct{}, 1)}
	group, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	for {
		conn, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				err = nil
			}
			c.hangUp()
			return errors.Join(err, group.Wait())
		}
		group.Go(func() error { return c.greet(ctx, conn) })
	}
}

type ceiling struct {
	file    *os.File
	arrived chan struct{} // holds a token when there is a new socket
	mu      struct {
		sync.Mutex
		sockets []prepared
		open    []net.Conn
	}
}

// prepared is a socket and the bytes that it gets each round.
type prepared struct {
	conn  net.Conn
	bytes []byte
}

// hangUp closes all connections.
func (c *ceiling) hangUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.mu.open {
		conn.Close()
	}
}

// greet finds out what a connection is for. That of a client that has gone is no
// error: the next one begins anew.
func (c *ceiling) greet(ctx context.Context, conn net.Conn) error {
	c.mu.Lock()
	c.mu.open = append(c.mu.open, conn)
	c.mu.Unlock()
	in := bufio.NewReader(conn)
	var length uint32
	if binary.Read(in, binary.BigEndian, &length) != nil {
		return nil
	}
	if length == 0 {
		return c.rounds(ctx, conn, in)
	}
	if length > maxFrames {
		return fmt.Errorf("%d bytes for one socket", length)
	}
	bytes := make([]byte, length)
	if _, err := io.ReadFull(in, bytes); err != nil {
		return nil
	}
	c.mu.Lock()
	c.mu.sockets = append(c.mu.sockets, prepared{conn, bytes})
	c.mu.Unlock()
	select {
	case c.arrived <- struct{}{}:
	default:
	}
	return nil
}

// rounds writes to everybody whenever a request comes.
func (c *ceiling) rounds(ctx context.Context, conn net.Conn, in *bufio.Reader) error {
	var header struct {
		Synced           byte
		Request, Sockets uint32
	}
	if binary.Read(in, binary.BigEndian, &header) != nil {
		return nil
	}
	sockets, err := c.gather(ctx, int(header.Sockets))
	if err != nil {
		return err
	}
	if _, err := conn.Write([]byte{1}); err != nil {
		return nil
	}
	request := make([]byte, min(header.Request, logBytes/2))
	for at := int64(0); ; at = (at + int64(len(request))) % (logBytes / 2) {
		if _, err := io.ReadFull(in, request); err != nil {
			return nil
		}
		if _, err := c.file.WriteAt(request, at); err != nil {
			return fmt.Errorf("write file of the ceiling: %w", err)
		}
		if header.Synced == 't' {
			if err := syncData(c.file); err != nil {
				return fmt.Errorf("sync file of the ceiling: %w", err)
			}
		}
		for i := range sockets {
			if _, err := sockets[i].conn.Write(sockets[i].bytes); err != nil {
				return nil
			}
		}
	}
}

// gather waits until n sockets are prepared and takes them.
func (c *ceiling) gather(ctx context.Context, n int) ([]prepared, error) {
	for {
		c.mu.Lock()
		if len(c.mu.sockets) >= n {
			sockets := c.mu.sockets
			c.mu.sockets = nil
			c.mu.Unlock()
			return sockets, nil
		}
		c.mu.Unlock()
		select {
		case <-c.arrived:
		case <-ctx.Done():
			return nil, nil
		}
	}
}
