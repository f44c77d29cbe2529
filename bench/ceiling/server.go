package ceiling

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"

	"github.com/valyala/fasthttp"
)

// client is a connection behind its preamble.
type client struct {
	net.Conn
	in     *bufio.Reader
	asks   Preamble
	answer []byte
}

// accept serves each connection on a goroutine of its own until the listener
// fails. A connection that breaks ends alone.
func accept(l net.Listener, serve func(*client) error) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		go func() {
			defer c.Close()
			x, err := greet(c)
			if err == nil {
				err = serve(x)
			}
			if err != nil && err != io.EOF {
				fmt.Fprintln(os.Stderr, "connection:", err)
			}
		}()
	}
}

func greet(c net.Conn) (*client, error) {
	x := &client{Conn: c, in: bufio.NewReaderSize(c, 16<<10)}
	var b [PreambleBytes]byte
	if _, err := io.ReadFull(x.in, b[:]); err != nil {
		return nil, err
	}
	var err error
	if x.asks, err = parsePreamble(b[:]); err != nil {
		return nil, err
	}
	if x.asks.Response > 0 && !x.asks.Subscribe {
		x.answer, err = Answer(int(x.asks.Response))
	}
	return x, err
}

// Echo answers every request at once.
func Echo(l net.Listener) error {
	return accept(l, func(c *client) error {
		request := make([]byte, c.asks.Request)
		for {
			if _, err := io.ReadFull(c.in, request); err != nil {
				return err
			}
			if _, err := c.Write(c.answer); err != nil {
				return err
			}
		}
	})
}

// pending is what waits for the next sync.
type pending struct {
	file *log
	wake chan struct{}
	mu   struct {
		sync.Mutex
		data    []byte
		clients []*client
	}
}

// Synced answers a request when its bytes are on disk. One goroutine writes and
// syncs what all have sent meanwhile, then answers them.
func Synced(l net.Listener, path string) error {
	file, err := openLog(path)
	if err != nil {
		return err
	}
	p := &pending{file: file, wake: make(chan struct{}, 1)}
	failed := make(chan error, 1)
	go func() { failed <- p.commit() }()
	go func() {
		failed <- accept(l, func(c *client) error {
			request := make([]byte, c.asks.Request)
			for {
				if _, err := io.ReadFull(c.in, request); err != nil {
					return err
				}
				p.add(c, request)
			}
		})
	}()
	return <-failed
}

func (p *pending) add(c *client, data []byte) {
	p.mu.Lock()
	p.mu.data = append(p.mu.data, data...)
	p.mu.clients = append(p.mu.clients, c)
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *pending) commit() error {
	var data []byte
	var clients []*client
	for range p.wake {
		p.mu.Lock()
		data, p.mu.data = p.mu.data, data[:0]
		clients, p.mu.clients = p.mu.clients, clients[:0]
		p.mu.Unlock()
		if len(clients) == 0 {
			continue
		}
		if err := p.file.append(data); err != nil {
			return err
		}
		for _, c := range clients {
			if _, err := c.Write(c.answer); err != nil {
				fmt.Fprintln(os.Stderr, "answer:", err)
			}
		}
	}
	return nil
}

// Broadcast writes the bytes that its one speaker sends to every subscriber,
// once each, then answers the speaker.
func Broadcast(l net.Listener) error {
	var mu sync.Mutex
	var subscribers []*client
	return accept(l, func(c *client) error {
		if c.asks.Subscribe {
			mu.Lock()
			subscribers = append(subscribers, c)
			mu.Unlock()
			_, err := io.Copy(io.Discard, c.in)
			return err
		}
		message := make([]byte, c.asks.Request)
		for {
			if _, err := io.ReadFull(c.in, message); err != nil {
				return err
			}
			mu.Lock()
			listening := subscribers
			mu.Unlock()
			for _, s := range listening {
				if _, err := s.Write(message); err != nil {
					return fmt.Errorf("write to subscriber: %w", err)
				}
			}
			if _, err := c.Write(c.answer); err != nil {
				return err
			}
		}
	})
}

// EmptyHTTP answers {} to everything with net/http.
func EmptyHTTP(l net.Listener) error {
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "{}")
	}))
}

// EmptyFastHTTP answers {} to everything with fasthttp.
func EmptyFastHTTP(l net.Listener) error {
	return fasthttp.Serve(l, func(c *fasthttp.RequestCtx) {
		c.SetContentType("application/json")
		c.SetBodyString("{}")
	})
}

// log is a file that was written full once and is written over and over, so
// that a sync has no metadata to carry: the least that a log can cost.
type log struct {
	file *os.File
	at   int64
}

const logBytes = 64 << 20

func openLog(path string) (*log, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < logBytes; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros, at); err != nil {
			return nil, fmt.Errorf("fill log: %w", err)
		}
	}
	if err := f.Sync(); err != nil {
		return nil, fmt.Errorf("sync log: %w", err)
	}
	return &log{file: f}, nil
}

func (l *log) append(data []byte) error {
	if l.at+int64(len(data)) > logBytes {
		l.at = 0
	}
	if _, err := l.file.WriteAt(data, l.at); err != nil {
		return fmt.Errorf("write log: %w", err)
	}
	l.at += int64(len(data))
	if err := syncData(l.file); err != nil {
		return fmt.Errorf("sync log: %w", err)
	}
	return nil
}
