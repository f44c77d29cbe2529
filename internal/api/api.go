package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttpadaptor"
	"golang.org/x/sync/errgroup"

	"kalamdb/internal/auth"
	"kalamdb/internal/core"
)

// Timeouts and sizes of a connection.
const (
	headerTimeout  = 5 * time.Second  // from the first byte to the end of the headers
	bodyTimeout    = 60 * time.Second // for a body that did not come with the headers
	idleTimeout    = 75 * time.Second // between requests
	writeTimeout   = 30 * time.Second // for a buffered answer, and for each piece of a streamed one
	headerBytes    = 16 << 10         // of a request
	maxJSONBody    = 2 << 20          // of any JSON route
	holdBack       = 64 << 10         // of an answer, before its status is sent
	streamPiece    = 64 << 10         // of a streamed answer
	defaultGrace   = 3 * time.Second
	defaultTimeout = 30 * time.Second
	sqlPath        = "/v1/api/sql"
	lastSecond     = time.Second // for connections to end that were cut off
	unreadBytes    = 128 << 10   // of a body that fasthttp reads away by itself
	unwantedPiece  = 64 << 10    // of a body that nobody wants, in a second
)

// Options say what a Server serves and where its limits are. DB and Auth are
// required; zero values of the rest mean the defaults of the configuration.
type Options struct {
	// Address is host:port; port 0 takes a free one.
	Address string
	// DB runs statements.
	DB *core.DB
	// Auth knows callers.
	Auth *auth.Auth
	// WebSocket serves GET /v1/ws; nil answers 404.
	WebSocket fasthttp.RequestHandler
	// Metrics serves GET /metrics to this machine; nil answers 404.
	Metrics http.Handler
	// EventHeartbeat is the time between comments on a silent stream of events.
	EventHeartbeat time.Duration
	// Node describes this process in health answers; nil leaves it out.
	Node func() Node
	// Version and BuildDate are shown by health answers.
	Version, BuildDate string

	// MaxConnections bounds open connections.
	MaxConnections int
	// ShutdownGrace is what requests get to end; negative means none.
	ShutdownGrace time.Duration
	// HandlerTimeout bounds a request.
	HandlerTimeout time.Duration
	// MaxSQLBytes bounds the text of a request.
	MaxSQLBytes int64
	// MaxResultBytes bounds an answer.
	MaxResultBytes int64
	// Protection bounds addresses.
	Protection Protection
	// MaxUpload is the length of a request body with files; 0 means what the
	// default bounds of files come to.
	MaxUpload int64
	// QueriesPerSecond bounds SQL requests of one user.
	QueriesPerSecond int
	// LimiterEntries and LimiterIdle bound the memory of rate limits.
	LimiterEntries int
	LimiterIdle    time.Duration
	// TrustedProxies are networks whose forwarding headers are believed.
	TrustedProxies []netip.Prefix
	// CORS says what browsers may do.
	CORS CORS
	// CookieSecure marks cookies given over https as Secure.
	CookieSecure bool
	// AllowRemoteSetup opens setup and status to other machines.
	AllowRemoteSetup bool
	// Tracer hears of requests; nil costs nothing.
	Tracer Tracer
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Logger gets what operators should know; nil means slog.Default.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	o.MaxConnections = or(o.MaxConnections, 25_000)
	o.ShutdownGrace = or(o.ShutdownGrace, defaultGrace)
	o.HandlerTimeout = or(o.HandlerTimeout, defaultTimeout)
	o.MaxSQLBytes = or(o.MaxSQLBytes, 1<<20)
	o.MaxResultBytes = or(o.MaxResultBytes, 1<<30)
	o.EventHeartbeat = or(o.EventHeartbeat, 15*time.Second)
	o.QueriesPerSecond = or(o.QueriesPerSecond, 100)
	o.Version = or(o.Version, "0.0.0")
	o.Logger = or(o.Logger, slog.Default())
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Protection = o.Protection.withDefaults()
	o.MaxUpload = max(or(o.MaxUpload, 20*25<<20+o.Protection.MaxBody), o.Protection.MaxBody)
	return o
}

// or returns v, or preset when v is zero.
func or[T comparable](v, preset T) T {
	var zero T
	if v == zero {
		return preset
	}
	return v
}

// Server is the HTTP edge. New makes one, Listen takes its address, Run serves.
type Server struct {
	o        Options
	http     *fasthttp.Server
	listener net.Listener
	routes   map[string]route
	gate     *gate
	cors     cors
	queries  *auth.Limiter
	requests context.Context // ends when requests must
	abandon  context.CancelFunc
	stopping chan struct{} // closed when the end begins
	ids      requestIDs
	stats    counters
}

// New returns a server that does not listen yet.
func New(o Options) (*Server, error) {
	if o.DB == nil || o.Auth == nil {
		return nil, errors.New("api needs a database and an authenticator")
	}
	o = o.withDefaults()
	s := &Server{
		o:    o,
		gate: newGate(o.Protection, o.TrustedProxies, o.LimiterEntries, o.LimiterIdle, o.Now),
		cors: newCORS(o.CORS),
		queries: auth.NewLimiter(auth.LimiterOptions{
			PerSecond: o.QueriesPerSecond, Entries: o.LimiterEntries, Idle: o.LimiterIdle, Now: o.Now,
		}),
		ids:      newRequestIDs(),
		stats:    counters{faults: newFaultCounters()},
		stopping: make(chan struct{}),
	}
	s.requests, s.abandon = context.WithCancel(context.Background())
	s.routes = s.table()
	s.http = &fasthttp.Server{
		Handler:     s.handle,
		Name:        "kalamdb",
		Concurrency: o.MaxConnections,
		ReadTimeout: headerTimeout, IdleTimeout: idleTimeout, WriteTimeout: writeTimeout,
		ReadBufferSize:               headerBytes,
		MaxRequestBodySize:           int(o.Protection.MaxBody),
		StreamRequestBody:            true, // nobody buffers a body before it is known who sends it
		DisablePreParseMultipartForm: true,
		NoDefaultContentType:         true,
		CloseOnShutdown:              true,
		KeepHijackedConns:            true, // sockets give its buffers back while they wait
		SecureErrorLogMessage:        true,
		HeaderReceived:               s.bodyLimits,
		ErrorHandler:                 s.badRequest,
		ConnState:                    s.gate.connection,
		Logger:                       discard{},
	}
	return s, nil
}

// discard drops what fasthttp says about broken connections.
type discard struct{}

// Printf does nothing.
func (discard) Printf(string, ...any) {}

// bodyLimits gives a body more time than the headers had, and one with files more
// room.
func (s *Server) bodyLimits(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	if isUpload(h) {
		return fasthttp.RequestConfig{ReadTimeout: uploadPatience, MaxRequestBodySize: int(s.o.MaxUpload)}
	}
	if n := h.ContentLength(); n > 0 || n == -1 {
		return fasthttp.RequestConfig{ReadTimeout: bodyTimeout}
	}
	return fasthttp.RequestConfig{}
}

// badRequest answers what fasthttp could not read.
func (s *Server) badRequest(ctx *fasthttp.RequestCtx, err error) {
	var small *fasthttp.ErrSmallBuffer
	var network net.Error
	status := fasthttp.StatusBadRequest
	switch {
	case errors.As(err, &small):
		status = fasthttp.StatusRequestHeaderFieldsTooLarge
	case errors.As(err, &network) && network.Timeout():
		status = fasthttp.StatusRequestTimeout
	}
	ctx.Response.Reset()
	ctx.SetStatusCode(status)
}

// Listen takes the address and returns it with the port in force.
func (s *Server) Listen() (net.Addr, error) {
	listener, err := net.Listen("tcp", s.o.Address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", s.o.Address, err)
	}
	s.listener = listener
	return listener.Addr(), nil
}

// Run serves until ctx ends and returns when every connection is closed. Then
// the listener closes first, so that nothing new begins; requests get the
// grace to end by themselves; what is left is cancelled, then cut off.
func (s *Server) Run(ctx context.Context) error {
	if s.listener == nil {
		if _, err := s.Listen(); err != nil {
			return err
		}
	}
	defer s.abandon()
	g, inner := errgroup.WithContext(ctx)
	g.Go(func() error {
		err := s.http.Serve(s.listener)
		if err == nil || inner.Err() != nil && errors.Is(err, net.ErrClosed) {
			return nil
		}
		return fmt.Errorf("serve %s: %w", s.listener.Addr(), err)
	})
	g.Go(func() error {
		<-inner.Done()
		s.shutdown()
		return nil
	})
	return g.Wait()
}

func (s *Server) shutdown() {
	close(s.stopping)
	_ = s.listener.Close() // the end of Serve reports what is wrong
	grace := max(s.o.ShutdownGrace, 0)
	limit, cancel := context.WithTimeout(context.Background(), grace+lastSecond)
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.http.ShutdownWithContext(limit) // closes idle connections and makes the others the last of theirs
	}()
	defer func() { cancel(); <-ended }()

	// Most of the grace is for ending well, some for noticing that it is over
	// and saying so to the client, and a fifth for the rooms behind the edge.
	s.gate.closeAll(true)
	if s.gate.waitEmpty(grace * 3 / 5) {
		return
	}
	s.abandon()
	if s.gate.waitEmpty(grace / 5) {
		return
	}
	cut := s.gate.closeAll(false)
	s.o.Logger.Warn("connections were cut off at shutdown", "connections", cut)
	s.gate.waitEmpty(lastSecond) // a handler that ignores its context is left behind
}

// Stopping is closed when the server takes no new work: connections that were
// handed over close themselves then.
func (s *Server) Stopping() <-chan struct{} { return s.stopping }

// Client returns where a request comes from.
func (s *Server) Client(ctx *fasthttp.RequestCtx) auth.Client {
	return clientOf(ctx.RemoteAddr(), ctx.Request.Header.Peek("X-Forwarded-For"),
		ctx.Request.Header.Peek("X-Real-IP"), s.o.TrustedProxies)
}

// handle takes a request through the gates to its route.
func (s *Server) handle(ctx *fasthttp.RequestCtx) {
	defer s.discardBody(ctx)
	defer s.recover(ctx)
	s.stats.requests.Add(1)
	client := s.Client(ctx)
	room := s.o.Protection.MaxBody
	if isUpload(&ctx.Request.Header) {
		room = s.o.MaxUpload
	}
	if !s.gate.admit(ctx, client, room, s.o.Now()) {
		s.stats.refused.Add(1)
		return
	}
	if s.cors.answer(ctx) {
		return
	}
	if r, ok := s.routes[string(ctx.Path())]; ok && (r.method == "" || string(ctx.Method()) == r.method) {
		if s.o.Tracer != nil {
			s.serveTraced(ctx, r, client)
			return
		}
		r.serve(ctx, client)
		return
	}
	if s.serveBelow(ctx, client) {
		return
	}
	notFound(ctx)
}

// serveBelow serves the routes whose path goes on behind a prefix, as it was
// sent: nothing in it has been resolved.
func (s *Server) serveBelow(ctx *fasthttp.RequestCtx, client auth.Client) bool {
	if string(ctx.Method()) != fasthttp.MethodGet {
		return false
	}
	given := string(ctx.URI().PathOriginal())
	if rest, ok := strings.CutPrefix(given, filesPrefix); ok {
		s.file(ctx, client, rest, false)
		return true
	}
	if rest, ok := strings.CutPrefix(given, exportsPrefix); ok {
		s.export(ctx, client, rest)
		return true
	}
	if rest, ok := strings.CutPrefix(given, filesAlias); ok {
		s.file(ctx, client, rest, true)
		return true
	}
	return false
}

// discardBody reads away a long body that nobody wanted: closing a connection
// with bytes unread can take the answer from the client.
func (s *Server) discardBody(ctx *fasthttp.RequestCtx) {
	n := ctx.Request.Header.ContentLength()
	if n >= 0 && n <= unreadBytes {
		return
	}
	stream := ctx.RequestBodyStream()
	if stream == nil {
		return
	}
	// Whoever stops sending, or sends slower than a piece in a moment, gets the
	// answer at once.
	end := time.Now().Add(bodyTimeout)
	for read := int64(0); read < 2*s.o.Protection.MaxBody && time.Now().Before(end); {
		_ = ctx.SetReadDeadline(time.Now().Add(lastSecond)) // a broken connection shows at the read
		n, err := io.CopyN(io.Discard, stream, unwantedPiece)
		if err != nil {
			if err != io.EOF {
				ctx.SetConnectionClose()
			}
			return
		}
		read += n
	}
	ctx.SetConnectionClose()
}

// route is one path.
type route struct {
	method string // "" where serve looks itself
	serve  func(ctx *fasthttp.RequestCtx, client auth.Client)
}

func (s *Server) table() map[string]route {
	return map[string]route{
		"/health":                {fasthttp.MethodGet, s.health},
		"/v1/api/healthcheck":    {fasthttp.MethodGet, s.health},
		"/v1/api/cluster/health": {fasthttp.MethodGet, s.clusterHealth},
		sqlPath:                  {fasthttp.MethodPost, s.postSQL},
		"/v1/api/auth/login":     {fasthttp.MethodPost, s.login},
		"/v1/api/auth/refresh":   {fasthttp.MethodPost, s.refresh},
		"/v1/api/auth/logout":    {fasthttp.MethodPost, s.logout},
		"/v1/api/auth/me":        {fasthttp.MethodGet, s.me},
		"/v1/api/auth/setup":     {fasthttp.MethodPost, s.setup},
		"/v1/api/auth/status":    {fasthttp.MethodGet, s.setupStatus},
		"/v1/ws":                 {fasthttp.MethodGet, s.socket},
		livePath:                 {"", s.events},
		"/metrics":               {fasthttp.MethodGet, s.metrics()},
	}
}

// socket hands WebSocket upgrades over; their connections go on counting for
// their addresses.
func (s *Server) socket(ctx *fasthttp.RequestCtx, _ auth.Client) {
	if s.o.WebSocket == nil {
		notFound(ctx)
		return
	}
	ctx.SetUserValue(releaseKey{}, s.gate.hold(ctx.Conn()))
	s.o.WebSocket(ctx)
}

// metrics serves the page for Prometheus; other machines do not see that there
// is one.
func (s *Server) metrics() func(*fasthttp.RequestCtx, auth.Client) {
	if s.o.Metrics == nil {
		return func(ctx *fasthttp.RequestCtx, _ auth.Client) { notFound(ctx) }
	}
	page := fasthttpadaptor.NewFastHTTPHandler(s.o.Metrics)
	return func(ctx *fasthttp.RequestCtx, client auth.Client) {
		if !client.Local {
			notFound(ctx)
			return
		}
		page(ctx)
	}
}

// notFound answers unknown routes and wrong methods alike.
func notFound(ctx *fasthttp.RequestCtx) { ctx.SetStatusCode(fasthttp.StatusNotFound) }

// isJSON writes the headers of a JSON answer.
func isJSON(ctx *fasthttp.RequestCtx, status int) {
	ctx.SetStatusCode(status)
	ctx.SetContentType("application/json")
}
