package api

import (
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"kalamdb/internal/auth"
)

// violationsToBan is how many refused requests of an address end in a ban.
const violationsToBan = 10

// maxBanFactor bounds how a ban grows with further violations.
const maxBanFactor = 6

// Protection bounds what one address may do. Loopback is exempt from all but
// MaxBody.
type Protection struct {
	// Off switches everything but MaxBody off.
	Off bool
	// MaxBody is the length of a request body; 0 means 10 MiB.
	MaxBody int64
	// RequestsPerSecond of one address; 0 means 200.
	RequestsPerSecond int
	// Ban is how long an address is refused after ten violations; 0 means
	// five minutes.
	Ban time.Duration
	// Connections of one address, trusted proxies excepted; 0 means 100.
	Connections int
}

func (p Protection) withDefaults() Protection {
	p.MaxBody = or(p.MaxBody, 10<<20)
	p.RequestsPerSecond = or(p.RequestsPerSecond, 200)
	p.Ban = or(p.Ban, 5*time.Minute)
	p.Connections = or(p.Connections, 100)
	return p
}

// gate refuses addresses that ask too much, before anything else is done.
type gate struct {
	o       Protection
	proxies []netip.Prefix
	rate    *auth.Limiter
	entries int           // most offenders that are remembered
	idle    time.Duration // how long they are
	now     func() time.Time
	mu      struct {
		sync.RWMutex
		offenders map[string]*offender
		conns     map[net.Conn]*connected // open connections
		perPeer   map[netip.Addr]int
		peak      int // most connections at one time
	}
}

// connected is what is known of an open connection. counted and held are
// guarded by gate.mu.
type connected struct {
	peer    netip.Addr
	active  atomic.Bool // a request is being read or answered
	counted bool        // in gate.mu.perPeer
	held    bool        // somebody says with a release when it is closed
}

// offender is an address that was refused, guarded by gate.mu.
type offender struct {
	violations int
	last       time.Time
	banned     time.Time // until then
}

func newGate(o Protection, proxies []netip.Prefix, entries int, idle time.Duration, now func() time.Time) *gate {
	g := &gate{o: o, proxies: proxies, entries: or(entries, 1000), idle: or(idle, 10*time.Minute), now: now}
	g.rate = auth.NewLimiter(auth.LimiterOptions{PerSecond: o.RequestsPerSecond, Entries: entries, Idle: idle, Now: now})
	g.mu.offenders = make(map[string]*offender)
	g.mu.conns = make(map[net.Conn]*connected)
	g.mu.perPeer = make(map[netip.Addr]int)
	return g
}

// admit reports whether a request whose body may have so many bytes may go on; if
// not it has been answered.
func (g *gate) admit(ctx *fasthttp.RequestCtx, client auth.Client, room int64, now time.Time) bool {
	if n := int64(ctx.Request.Header.ContentLength()); n > room {
		refuse(ctx, fasthttp.StatusRequestEntityTooLarge, "BODY_TOO_LARGE", "Request body exceeds maximum allowed size",
			field{"size_bytes", n}, field{"max_bytes", room})
		return false
	}
	if g.o.Off || client.Local {
		return true
	}
	if g.banned(client.IP, now) {
		g.refuseBanned(ctx)
		return false
	}
	if !g.rate.Allow(client.IP) {
		if g.offend(client.IP, now) {
			g.refuseBanned(ctx)
			return false
		}
		ctx.Response.Header.Set("Retry-After", "1")
		ctx.Response.Header.Set("X-RateLimit-Reset", "1")
		refuse(ctx, fasthttp.StatusTooManyRequests, "RATE_LIMIT_EXCEEDED", "Too many requests from your IP address",
			field{"retry_after_seconds", 1})
		return false
	}
	if n := g.connectionsOf(addrOf(ctx.RemoteAddr())); n > g.o.Connections {
		ctx.Response.Header.Set("Retry-After", "5")
		refuse(ctx, fasthttp.StatusServiceUnavailable, "TOO_MANY_CONNECTIONS", "Too many connections from your IP address",
			field{"current", int64(n)}, field{"max", int64(g.o.Connections)})
		ctx.SetConnectionClose()
		return false
	}
	return true
}

func (g *gate) refuseBanned(ctx *fasthttp.RequestCtx) {
	wait := int64(g.o.Ban / time.Second)
	ctx.Response.Header.Set("Retry-After", strconv.FormatInt(wait, 10))
	refuse(ctx, fasthttp.StatusTooManyRequests, "IP_BANNED",
		"Your IP has been temporarily banned due to excessive requests", field{"retry_after_seconds", wait})
}

func (g *gate) banned(ip string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	o := g.mu.offenders[ip]
	return o != nil && now.Before(o.banned)
}

// offend notes a violation and reports whether the address is banned now.
func (g *gate) offend(ip string, now time.Time) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	o := g.mu.offenders[ip]
	if o == nil || now.Sub(o.last) > g.idle && now.After(o.banned) {
		g.forget(now)
		o = &offender{}
		g.mu.offenders[ip] = o
	}
	o.violations++
	o.last = now
	if factor := min(o.violations/violationsToBan, maxBanFactor); factor > 0 {
		o.banned = now.Add(g.o.Ban * time.Duration(factor))
		return true
	}
	return false
}

// forget makes room for an offender: idle ones go, and when all are recent the
// one with the fewest violations does.
func (g *gate) forget(now time.Time) {
	if len(g.mu.offenders) < g.entries {
		return
	}
	mildest, fewest := "", 0
	for ip, o := range g.mu.offenders {
		if now.Sub(o.last) > g.idle && now.After(o.banned) {
			delete(g.mu.offenders, ip)
			continue
		}
		if mildest == "" || o.violations < fewest {
			mildest, fewest = ip, o.violations
		}
	}
	if len(g.mu.offenders) >= g.entries {
		delete(g.mu.offenders, mildest)
	}
}

// connection follows a connection's life. A hijacked one is its owner's, and
// goes on counting for its peer while it is held.
func (g *gate) connection(c net.Conn, state fasthttp.ConnState) {
	switch state {
	case fasthttp.StateNew:
		peer := addrOf(c.RemoteAddr())
		g.mu.Lock()
		g.mu.conns[c] = &connected{peer: peer, counted: true}
		g.mu.perPeer[peer]++
		g.mu.peak = max(g.mu.peak, len(g.mu.conns))
		g.mu.Unlock()
	case fasthttp.StateActive, fasthttp.StateIdle:
		g.mu.RLock()
		known := g.mu.conns[c]
		g.mu.RUnlock()
		if known != nil {
			known.active.Store(state == fasthttp.StateActive)
		}
	case fasthttp.StateHijacked, fasthttp.StateClosed:
		g.mu.Lock()
		defer g.mu.Unlock()
		known := g.mu.conns[c]
		if known == nil {
			return
		}
		delete(g.mu.conns, c)
		if state == fasthttp.StateClosed || !known.held {
			g.uncount(known)
		}
	}
}

// uncount takes a connection off those of its peer; g.mu is held.
func (g *gate) uncount(known *connected) {
	if !known.counted {
		return
	}
	known.counted = false
	if g.mu.perPeer[known.peer]--; g.mu.perPeer[known.peer] == 0 {
		delete(g.mu.perPeer, known.peer)
	}
}

// hold keeps a connection counted among those of its peer after it has been
// handed over. Whoever owns it then calls release when it is closed; when it is
// not handed over it is counted as any other.
func (g *gate) hold(c net.Conn) (release func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	known := g.mu.conns[c]
	if known == nil {
		return func() {}
	}
	known.held = true
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.uncount(known)
	}
}

// connectionsOf returns how many connections of a peer count against it.
func (g *gate) connectionsOf(peer netip.Addr) int {
	if trusted(peer, g.proxies) {
		return 0
	}
	return g.connectionsOfPeer(peer)
}

// connectionsOfPeer returns how many connections of a peer are open.
func (g *gate) connectionsOfPeer(peer netip.Addr) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.mu.perPeer[peer]
}

// open returns how many connections are open, and the most that ever were.
func (g *gate) open() (now, peak int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.mu.conns), g.mu.peak
}

// closeAll cuts off every connection, or only those between requests, and
// returns how many there were.
func (g *gate) closeAll(idleOnly bool) int {
	g.mu.RLock()
	var conns []net.Conn
	for c, known := range g.mu.conns {
		if !idleOnly || !known.active.Load() {
			conns = append(conns, c)
		}
	}
	g.mu.RUnlock()
	for _, c := range conns {
		_ = c.Close() // it is being given up
	}
	return len(conns)
}

// waitEmpty waits until no connection is open, at most so long, and reports
// whether none is.
func (g *gate) waitEmpty(atMost time.Duration) bool {
	limit := time.NewTimer(atMost)
	defer limit.Stop()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		if now, _ := g.open(); now == 0 {
			return true
		}
		select {
		case <-look.C:
		case <-limit.C:
			now, _ := g.open()
			return now == 0
		}
	}
}

// field is a number of a flat error body.
type field struct {
	name  string
	value int64
}

// refuse answers with the flat shape of errors that come before any route.
func refuse(ctx *fasthttp.RequestCtx, status int, code, message string, fields ...field) {
	isJSON(ctx, status)
	b := append([]byte(nil), `{"error":`...)
	b = appendString(b, code)
	b = append(b, `,"message":`...)
	b = appendString(b, message)
	for _, f := range fields {
		b = append(b, `,"`...)
		b = append(b, f.name...)
		b = append(b, `":`...)
		b = strconv.AppendInt(b, f.value, 10)
	}
	ctx.SetBody(append(b, '}'))
}
