package live

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"kalamdb/bench/target"
)

// feed is what a server says to its subscribers, in its own protocol.
type feed interface {
	// hello is what a subscriber says first, and then when its WebSocket is open,
	// for servers that read nothing before.
	hello(subscriptions int) (first, then []byte)
	// take reads what has come. Each delivery is handed to f with the number of
	// the subscription on its socket and what everybody gets alike.
	take(s *follower, data []byte, f func(subscription int, body []byte) error) (used int, err error)
}

// feedOf returns the protocol of a job's target.
func (r *run) feedOf() (feed, error) {
	switch r.job.Target {
	case target.KalamDB:
		return kalamFeed{r}, nil
	case target.Centrifuge:
		return centrifugeFeed{r}, nil
	case target.NATS:
		return natsFeed{}, nil
	}
	return nil, fmt.Errorf("nobody knows how to listen to %q", r.job.Target)
}

// upgrade is the request for a WebSocket.
func (r *run) upgrade(path, header string) []byte {
	return []byte("GET " + path + " HTTP/1.1\r\nHost: " + r.job.Addr + "\r\n" + header +
		"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: a2FsYW1kYiBiZW5jaCBrZQ==\r\n\r\n")
}

// upgraded reads the answer to it; used is 0 while it is not complete.
func upgraded(data []byte) (used int, err error) {
	end := bytes.Index(data, headEnd)
	if end < 0 {
		return 0, nil
	}
	if !bytes.HasPrefix(data, []byte("HTTP/1.1 101 ")) {
		return 0, fmt.Errorf("upgrade was answered %.200q", data)
	}
	return end + len(headEnd), nil
}

// frames reads frames until one is not complete; f gets each message.
func (s *follower) frames(data []byte, f func(payload []byte) error) (used int, err error) {
	if !s.upgraded {
		if used, err = upgraded(data); used == 0 || err != nil {
			return 0, err
		}
		s.upgraded = true
		if len(s.then) > 0 {
			if err := s.r.loop.writeNow(s.c, s.then); err != nil {
				return 0, err
			}
		}
	}
	for {
		op, payload, size := frame(data[used:])
		if size == 0 {
			return used, nil
		}
		used += size
		switch op {
		case opText:
			err = f(payload)
		case opPing:
			err = s.r.loop.writeNow(s.c, appendMasked(nil, opPong, payload))
		default:
			err = fmt.Errorf("frame of kind %d: %.200q", op, payload)
		}
		if err != nil {
			return used, err
		}
	}
}

// kalamFeed is a live query for all rows of the table.
type kalamFeed struct{ r *run }

func (k kalamFeed) hello(n int) (first, then []byte) {
	out := k.r.upgrade("/v1/ws?compress=false", "Authorization: Bearer "+k.r.job.Token+"\r\n")
	for i := range n {
		out = appendMasked(out, opText, subscribeMessage(i, k.r.everything(i), nil))
	}
	return out, nil
}

// subscribeMessage is what a client of KalamDB says.
func subscribeMessage(i int, sql string, options map[string]any) []byte {
	subscription := map[string]any{"id": "s" + strconv.Itoa(i), "sql": sql}
	if options != nil {
		subscription["options"] = options
	}
	text, err := json.Marshal(map[string]any{"type": "subscribe", "subscription": subscription})
	if err != nil {
		panic(err) // texts and numbers
	}
	return text
}

func (kalamFeed) take(s *follower, data []byte, f func(int, []byte) error) (int, error) {
	return s.frames(data, func(payload []byte) error {
		switch {
		case bytes.HasPrefix(payload, changeHead):
			i, body, err := split(payload)
			if err != nil {
				return err
			}
			return f(i, body)
		case bytes.HasPrefix(payload, ackHead):
			s.acked++
			return nil
		case bytes.HasPrefix(payload, authHead):
			return nil
		}
		return fmt.Errorf("message %.300q", payload)
	})
}

// centrifugeFeed is centrifuge's protocol in JSON: messages of one frame stand
// on lines of their own.
type centrifugeFeed struct{ r *run }

var (
	pushHead  = []byte(`{"push":{"channel":"bench","pub":{"data":`)
	pushTail  = []byte("}}}")
	replyHead = []byte(`{"id":`)
	emptyText = []byte("{}")
)

func (p centrifugeFeed) hello(int) (first, then []byte) {
	return p.r.upgrade("/connection/websocket", ""), appendMasked(nil, opText, []byte(`{"id":1,"connect":{}}`+"\n"+`{"id":2,"subscribe":{"channel":"bench"}}`))
}

func (centrifugeFeed) take(s *follower, data []byte, f func(int, []byte) error) (int, error) {
	return s.frames(data, func(payload []byte) error {
		for len(payload) > 0 {
			var line []byte
			line, payload, _ = bytes.Cut(payload, []byte("\n"))
			body, ok := bytes.CutPrefix(line, pushHead)
			switch {
			case ok:
				body, ok = bytes.CutSuffix(body, pushTail)
				if !ok {
					return fmt.Errorf("message %.300q", line)
				}
				if err := f(0, body); err != nil {
					return err
				}
			case bytes.Equal(line, emptyText): // a ping
				if err := s.r.loop.writeNow(s.c, appendMasked(nil, opText, emptyText)); err != nil {
					return err
				}
			case bytes.HasPrefix(line, replyHead) && !bytes.Contains(line, []byte(`"error"`)):
				if bytes.Contains(line, []byte(`"subscribe":`)) {
					s.acked++
				}
			case len(line) > 0:
				return fmt.Errorf("message %.300q", line)
			}
		}
		return nil
	})
}

// natsFeed is the protocol of nats-server.
type natsFeed struct{}

func (natsFeed) hello(n int) (first, then []byte) {
	out := []byte("CONNECT {\"verbose\":false,\"pedantic\":false}\r\n")
	for i := range n {
		out = fmt.Appendf(out, "SUB bench %d\r\n", i)
	}
	return append(out, "PING\r\n"...), nil
}

var natsEnd = []byte("\r\n")

func (natsFeed) take(s *follower, data []byte, f func(int, []byte) error) (used int, err error) {
	for {
		rest := data[used:]
		end := bytes.Index(rest, natsEnd)
		if end < 0 {
			return used, nil
		}
		line, size := rest[:end], end+len(natsEnd)
		switch {
		case bytes.HasPrefix(line, []byte("MSG bench ")):
			id, length, ok := bytes.Cut(line[len("MSG bench "):], []byte(" "))
			n, err := strconv.Atoi(string(length))
			i, err1 := strconv.Atoi(string(id))
			if !ok || err != nil || err1 != nil {
				return used, fmt.Errorf("line %.200q", line)
			}
			if len(rest) < size+n+len(natsEnd) {
				return used, nil
			}
			if err := f(i, rest[size:size+n]); err != nil {
				return used, err
			}
			size += n + len(natsEnd)
		case bytes.Equal(line, []byte("PONG")):
			s.acked = s.r.job.PerSocket
		case bytes.Equal(line, []byte("PING")):
			if err := s.r.loop.writeNow(s.c, []byte("PONG\r\n")); err != nil {
				return used, err
			}
		case !bytes.HasPrefix(line, []byte("INFO ")):
			return used, fmt.Errorf("line %.200q", line)
		}
		used += size
	}
}
