package ceiling

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"

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
	x.answer, err = Answer(int(x.asks.Response))
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
