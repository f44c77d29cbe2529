package torture

import (
	"cmp"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// liveProxy stands between clients and the server and does to their connections
// what networks do: cut them in the middle of a frame, hold them, slow them.
type liveProxy struct {
	listener net.Listener
	target   string
	all      sync.WaitGroup

	cuts, stalls, delays atomic.Int64
	mu                   struct {
		sync.Mutex
		pairs  map[*livePair]struct{}
		closed bool
	}
}

const (
	// liveWorth is how many bytes a connection must have carried from the server
	// for its end to count as a cut.
	liveWorth = 512
	// liveBuffers are those of the system behind the proxy: small, so that who
	// reads nothing is felt by the server.
	liveBuffers = 16 << 10
	// liveChunk is what the proxy moves at once.
	liveChunk = 8 << 10
)

// livePair is a connection and its continuation.
type livePair struct {
	client, server net.Conn
	carried        atomic.Int64
	held           atomic.Int64 // nothing is moved before this moment, in nanoseconds
	slow           atomic.Int64 // until this moment each chunk is late
	torn           atomic.Bool  // ends behind a part of the next chunk
	ended          chan struct{}
	once           sync.Once
}

// newLiveProxy listens for connections to a server.
func newLiveProxy(t *testing.T, target string) *liveProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &liveProxy{listener: l, target: target}
	p.mu.pairs = map[*livePair]struct{}{}
	p.all.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *liveProxy) url() string { return "http://" + p.listener.Addr().String() }

func (p *liveProxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.all.Go(func() { p.join(client) })
	}
}

// join carries one connection until it ends.
func (p *liveProxy) join(client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		client.Close() // the server is down; the client sees an end
		return
	}
	_ = server.(*net.TCPConn).SetReadBuffer(liveBuffers) // a hint to the system
	pair := &livePair{client: client, server: server, ended: make(chan struct{})}
	p.mu.Lock()
	p.mu.pairs[pair] = struct{}{}
	closed := p.mu.closed
	p.mu.Unlock()
	if closed {
		pair.end()
	}
	var up sync.WaitGroup
	up.Go(func() { pair.carry(server, client, false) })
	pair.carry(client, server, true)
	up.Wait()
	p.mu.Lock()
	delete(p.mu.pairs, pair)
	p.mu.Unlock()
}

// carry moves bytes one way.
func (x *livePair) carry(to, from net.Conn, down bool) {
	defer x.end()
	chunk := make([]byte, liveChunk)
	for {
		n, err := from.Read(chunk)
		if n > 0 && down {
			x.wait()
			if x.torn.Load() {
				_, _ = to.Write(chunk[:n/2]) // it ends here in any case
				return
			}
			x.carried.Add(int64(n))
		}
		if n > 0 {
			if _, err := to.Write(chunk[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// wait holds or slows what comes from the server.
func (x *livePair) wait() {
	pause := func(d time.Duration) {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-x.ended:
		}
	}
	now := time.Now().UnixNano()
	if until := x.held.Load(); until > now {
		pause(time.Duration(until - now))
	}
	if x.slow.Load() > now {
		pause(time.Duration(rand.IntN(20)) * time.Millisecond)
	}
}

// end closes both sides, without a farewell.
func (x *livePair) end() {
	x.once.Do(func() {
		close(x.ended)
		for _, c := range []net.Conn{x.client, x.server} {
			_ = c.(*net.TCPConn).SetLinger(0) // what waits is thrown away
			_ = c.Close()
		}
	})
}

// harm does something to a connection that has carried enough.
func (p *liveProxy) harm(random *rand.Rand) {
	p.mu.Lock()
	var all []*livePair
	for x := range p.mu.pairs {
		if x.carried.Load() >= liveWorth {
			all = append(all, x)
		}
	}
	p.mu.Unlock()
	if len(all) == 0 {
		return
	}
	x := all[random.IntN(len(all))]
	until := func(d time.Duration) int64 { return time.Now().Add(d).UnixNano() }
	switch random.IntN(8) {
	case 0, 1, 2:
		if random.IntN(2) == 0 { // one that has much to carry
			x = slices.MaxFunc(all, func(a, b *livePair) int { return cmp.Compare(a.carried.Load(), b.carried.Load()) })
		}
		p.stalls.Add(1)
		x.held.Store(until(time.Duration(500+random.IntN(2500)) * time.Millisecond))
	case 3:
		p.delays.Add(1)
		x.slow.Store(until(time.Second))
	case 4, 5:
		p.cuts.Add(1)
		x.torn.Store(true)
	default:
		p.cuts.Add(1)
		x.end()
	}
}

// close ends everything.
func (p *liveProxy) close() {
	_ = p.listener.Close() // it may have been closed
	p.mu.Lock()
	p.mu.closed = true
	for x := range p.mu.pairs {
		x.end()
	}
	p.mu.Unlock()
	p.all.Wait()
}
