package api

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/valyala/fasthttp"

	"kalamdb/internal/auth"
	"kalamdb/internal/core"
	"kalamdb/internal/schema"
)

// Values of the protocol's compression.
const (
	compressionGzip = "gzip"
	compressionNone = "none"
)

// tokenProtocol begins the sub-protocol that carries a token.
const tokenProtocol = "kalamdb.jwt."

// acceptGUID is what the handshake of RFC 6455 adds to the client's key.
const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

// WebSocketOptions say whom sockets serve and where their limits are. DB and
// Auth are required; zero values of the rest mean the defaults of the
// configuration.
type WebSocketOptions struct {
	// DB opens live queries.
	DB *core.DB
	// Auth knows callers.
	Auth *auth.Auth
	// AuthTimeout is how long a client may take to authenticate.
	AuthTimeout time.Duration
	// Heartbeat is the time between pings.
	Heartbeat time.Duration
	// ClientTimeout is how long a client may neither send nor take a byte.
	ClientTimeout time.Duration
	// MaxMessage bounds a message of a client.
	MaxMessage int64
	// CompressChangeBytes is where change frames begin to be compressed:
	// smaller ones are shared between clients.
	CompressChangeBytes int
	// MessagesPerSecond bounds the text messages of one socket.
	MessagesPerSecond int
	// MaxConnections bounds open sockets.
	MaxConnections int
	// Origins are the origins of web pages that may connect, matched exactly;
	// none, or "*" among them, means any.
	Origins []string
	// StrictOrigin refuses clients that name no origin.
	StrictOrigin bool
	// TrustedProxies are networks whose forwarding headers are believed.
	TrustedProxies []netip.Prefix
	// Tracer hears of messages; nil costs nothing.
	Tracer Tracer
	// Logger gets what operators should know; nil means slog.Default.
	Logger *slog.Logger
}

func (o WebSocketOptions) withDefaults() WebSocketOptions {
	o.AuthTimeout = or(o.AuthTimeout, 3*time.Second)
	o.Heartbeat = or(o.Heartbeat, 15*time.Second)
	o.ClientTimeout = or(o.ClientTimeout, 60*time.Second)
	o.MaxMessage = or(o.MaxMessage, 1<<20)
	o.CompressChangeBytes = or(o.CompressChangeBytes, 64<<10)
	o.MessagesPerSecond = or(o.MessagesPerSecond, 50)
	o.MaxConnections = or(o.MaxConnections, 25_000)
	o.Logger = or(o.Logger, slog.Default())
	return o
}

// WebSockets serves GET /v1/ws.
//
// Goroutines: one per socket, which waits for the client's next word; others
// while something is read, written or handled for it. Locks: WebSockets.mu and
// those of each socket, none held while anything is read or written.
type WebSockets struct {
	o     WebSocketOptions
	stats socketCounters
	mu    struct {
		sync.Mutex
		open    map[*socket]struct{}
		ending  bool
		drained chan struct{} // closed when ending and none is open
	}
}

type socketCounters struct {
	accepted, refused, denied, timeouts, messages, frames, writes, bytes atomic.Int64
}

// WebSocketStats counts what WebSockets has done since the start.
type WebSocketStats struct {
	Open     int64
	Accepted int64 // upgrades
	Refused  int64 // upgrades refused
	Denied   int64 // failed authentications
	Timeouts int64 // clients that were not heard of
	Messages int64 // from clients
	Frames   int64 // to clients
	Writes   int64 // to the network
	Bytes    int64 // to the network
}

// NewWebSockets returns a handler for Options.WebSocket.
func NewWebSockets(o WebSocketOptions) (*WebSockets, error) {
	if o.DB == nil || o.Auth == nil {
		return nil, errors.New("websockets need a database and an authenticator")
	}
	w := &WebSockets{o: o.withDefaults()}
	w.mu.open = make(map[*socket]struct{})
	w.mu.drained = make(chan struct{})
	return w, nil
}

// Run waits until ctx ends, then closes every socket and returns when all are
// gone.
func (w *WebSockets) Run(ctx context.Context) error {
	<-ctx.Done()
	w.mu.Lock()
	w.mu.ending = true
	open := make([]*socket, 0, len(w.mu.open))
	for s := range w.mu.open {
		open = append(open, s)
	}
	if len(open) == 0 {
		close(w.mu.drained)
	}
	w.mu.Unlock()
	for _, s := range open {
		s.end(closeGoingAway, "Server shutting down")
	}
	<-w.mu.drained
	return nil
}

// Stats returns the counters.
func (w *WebSockets) Stats() WebSocketStats {
	w.mu.Lock()
	open := len(w.mu.open)
	w.mu.Unlock()
	c := &w.stats
	return WebSocketStats{
		Open: int64(open), Accepted: c.accepted.Load(), Refused: c.refused.Load(), Denied: c.denied.Load(),
		Timeouts: c.timeouts.Load(), Messages: c.messages.Load(), Frames: c.frames.Load(),
		Writes: c.writes.Load(), Bytes: c.bytes.Load(),
	}
}

// enter counts a socket in, unless there are too many or the end has begun.
func (w *WebSockets) enter(s *socket) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.ending || len(w.mu.open) >= w.o.MaxConnections {
		return false
	}
	w.mu.open[s] = struct{}{}
	return true
}

func (w *WebSockets) leave(s *socket) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.mu.open, s)
	if w.mu.ending && len(w.mu.open) == 0 {
		close(w.mu.drained)
	}
}

// full says why no socket can be taken, or nothing.
func (w *WebSockets) full() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.mu.ending:
		return "Server is shutting down"
	case len(w.mu.open) >= w.o.MaxConnections:
		return "Too many WebSocket connections"
	}
	return ""
}

// hello is what a client has said with its upgrade.
type hello struct {
	token      string
	compressed bool
	wish       protocolWish
	session    string // which sockets of the user hold present rows together
	client     auth.Client
	rest       []byte // what had come behind the upgrade
	parent     string // the span that the client named, where there is a tracer
	release    func() // called when the connection is closed, nil for nothing
}

// releaseKey is where a request carries what to call when a connection that was
// handed over is closed.
type releaseKey struct{}

// Handle upgrades a request. Authentication is never a reason to refuse: bad
// tokens are answered on the socket.
func (w *WebSockets) Handle(ctx *fasthttp.RequestCtx) {
	if status, why := w.refusal(ctx); status != 0 {
		w.stats.refused.Add(1)
		ctx.SetStatusCode(status)
		ctx.SetContentType("text/plain; charset=utf-8")
		ctx.SetBodyString(why)
		return
	}
	header := &ctx.Response.Header
	ctx.SetStatusCode(fasthttp.StatusSwitchingProtocols)
	header.Set(fasthttp.HeaderUpgrade, "websocket")
	header.Set(fasthttp.HeaderConnection, "Upgrade")
	header.Set("Sec-WebSocket-Accept", acceptKey(ctx.Request.Header.Peek("Sec-WebSocket-Key")))
	h := w.greet(ctx)
	h.release, _ = ctx.UserValue(releaseKey{}).(func())
	ctx.Hijack(func(c net.Conn) {
		c, h.rest = detach(c)
		go w.serve(c, h)
	})
}

// detach takes a connection out of the hands of the HTTP server, whose buffers
// and request are many times what a socket needs while it waits. It returns
// what the server has read ahead.
func detach(c net.Conn) (net.Conn, []byte) {
	hijacked, ok := c.(interface{ UnsafeConn() net.Conn })
	if !ok {
		return c, nil
	}
	// With a deadline in the past only what is in the buffer can be read.
	_ = c.SetReadDeadline(time.Unix(1, 0)) // a broken connection shows at the first read
	var rest []byte
	for {
		var piece [1 << 10]byte
		n, err := c.Read(piece[:])
		rest = append(rest, piece[:n]...)
		if err != nil {
			break
		}
	}
	c = hijacked.UnsafeConn()
	_ = c.SetReadDeadline(time.Time{})
	return c, rest
}

// refusal returns the status and the words that a request is refused with
// before the upgrade, or 0.
func (w *WebSockets) refusal(ctx *fasthttp.RequestCtx) (int, string) {
	if why := w.full(); why != "" {
		return fasthttp.StatusServiceUnavailable, why
	}
	switch origin := string(ctx.Request.Header.Peek(fasthttp.HeaderOrigin)); {
	case origin == "" && w.o.StrictOrigin:
		return fasthttp.StatusForbidden, "Origin header required"
	case origin != "" && len(w.o.Origins) > 0 && !slices.Contains(w.o.Origins, "*") && !slices.Contains(w.o.Origins, origin):
		return fasthttp.StatusForbidden, "Origin not allowed"
	}
	if len(ctx.QueryArgs().Peek("session")) > maxSession {
		return fasthttp.StatusBadRequest, "Expected a session of at most 64 bytes"
	}
	h := &ctx.Request.Header
	switch {
	case !hasWord(h.Peek(fasthttp.HeaderConnection), "upgrade") || !hasWord(h.Peek(fasthttp.HeaderUpgrade), "websocket"):
		return fasthttp.StatusBadRequest, "Expected a WebSocket upgrade"
	case string(h.Peek("Sec-WebSocket-Version")) != "13":
		ctx.Response.Header.Set("Sec-WebSocket-Version", "13")
		return fasthttp.StatusUpgradeRequired, "Expected WebSocket version 13"
	}
	if key, err := base64.StdEncoding.DecodeString(string(h.Peek("Sec-WebSocket-Key"))); err != nil || len(key) != 16 {
		return fasthttp.StatusBadRequest, "Expected a Sec-WebSocket-Key of 16 bytes"
	}
	return 0, ""
}

// hasWord reports whether a comma-separated header has a word, in any case.
func hasWord(header []byte, word string) bool {
	for part := range strings.SplitSeq(string(header), ",") {
		if strings.EqualFold(strings.TrimSpace(part), word) {
			return true
		}
	}
	return false
}

func acceptKey(key []byte) string {
	sum := sha1.Sum(append(slices.Clone(key), acceptGUID...))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// greet reads what a client says with its upgrade and echoes its sub-protocol.
func (w *WebSockets) greet(ctx *fasthttp.RequestCtx) hello {
	request := &ctx.Request.Header
	h := hello{client: clientOf(ctx.RemoteAddr(), request.Peek("X-Forwarded-For"), request.Peek("X-Real-IP"), w.o.TrustedProxies)}
	if w.o.Tracer != nil {
		h.parent = string(request.Peek(headerParent))
	}
	args := ctx.QueryArgs()
	h.compressed = string(args.Peek("compress")) != "false" && string(args.Peek("compression")) != compressionNone
	h.wish.Serialization = string(args.Peek("serialization"))
	h.session = string(args.Peek("session"))
	if features := string(args.Peek("features")); features != "" {
		h.wish.Features = strings.Split(features, ",")
	}
	for offered := range strings.SplitSeq(string(request.Peek("Sec-WebSocket-Protocol")), ",") {
		offered = strings.TrimSpace(offered)
		if token, ok := strings.CutPrefix(offered, tokenProtocol); ok && token != "" {
			h.token = token
			ctx.Response.Header.Set("Sec-WebSocket-Protocol", offered)
			break
		}
	}
	if authorization := request.Peek(fasthttp.HeaderAuthorization); len(authorization) > 0 {
		// A header that carries no bearer token is a failed attempt all the same.
		h.token, _ = bearerToken(authorization)
		if h.token == "" {
			h.token = "-"
		}
	}
	return h
}

// connectionID returns a UUID without dashes.
func connectionID() string {
	id := uuid.New()
	return hex.EncodeToString(id[:])
}

// sessionOf completes a session with where it comes from.
func (h *hello) sessionOf(s *auth.Session, id string) *auth.Session {
	s.IP, s.Local, s.RequestID = h.client.IP, h.client.Local, id
	return s
}

// userOf names the user of a session for logs.
func userOf(s *auth.Session) schema.UserID {
	if s == nil {
		return ""
	}
	return s.UserID
}
