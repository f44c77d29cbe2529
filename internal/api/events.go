package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/valyala/fasthttp"

	"kalamdb/internal/auth"
	"kalamdb/internal/core"
	"kalamdb/internal/fault"
)

// livePath is where live queries come as server-sent events.
const livePath = "/v1/live"

// eventSubscription is the name of the one subscription of a stream of events.
const eventSubscription = "live"

// eventPause is how long a browser waits before it connects again, in
// milliseconds.
const eventPause = "retry: 1000\n\n"

// events serves GET and POST /v1/live: one live query as server-sent events, as
// the HTML standard has them (https://html.spec.whatwg.org/multipage/server-sent-events.html).
// Whatever is wrong before the first event is answered as POST /v1/api/sql does.
func (s *Server) events(ctx *fasthttp.RequestCtx, client auth.Client) {
	if !ctx.IsGet() && !ctx.IsPost() {
		notFound(ctx)
		return
	}
	q := &sqlRequest{server: s, start: s.o.Now(), ctx: s.context(ctx), name: requestName(ctx)}
	request, err := s.eventRequest(ctx, q, client)
	if err != nil {
		s.fail(ctx, q, err)
		return
	}
	e := &eventStream{s: s, session: q.session, ready: make(chan struct{}, 1), more: make(chan struct{}, 1), failed: make(chan error, 1)}
	e.ctx, e.cancel = context.WithCancel(q.ctx)
	e.gone = leaving(ctx.Conn())
	e.extend = func() error { return ctx.SetWriteDeadline(time.Now().Add(writeTimeout)) }
	e.open(request)
	if err := e.first(); err != nil {
		_ = e.Close() // there is nothing in it that could fail
		s.fail(ctx, q, err)
		return
	}
	ctx.SetStatusCode(fasthttp.StatusOK)
	ctx.SetContentType("text/event-stream")
	ctx.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	ctx.Response.Header.Set("X-Accel-Buffering", "no") // proxies must not hold events back
	ctx.Response.SetBodyStream(e, -1)
}

// eventRequest reads who asks for which live query.
func (s *Server) eventRequest(ctx *fasthttp.RequestCtx, q *sqlRequest, client auth.Client) (core.LiveRequest, error) {
	header := &ctx.Request.Header
	if cookie := header.Cookie(accessCookie); len(cookie) > 0 && len(header.Peek(fasthttp.HeaderAuthorization)) == 0 {
		// An EventSource can set no header; the cookie is sent to pages of this
		// site only.
		header.Set(fasthttp.HeaderAuthorization, "Bearer "+string(cookie))
	}
	session, err := s.bearer(ctx, client)
	if err != nil {
		return core.LiveRequest{}, err
	}
	session.RequestID = connectionID()
	q.session = session
	if !s.queries.Allow(string(session.UserID)) {
		return core.LiveRequest{}, fault.New(fault.RateLimitExceeded, "Too many queries per second. Please slow down.")
	}
	var raw struct {
		SQL     *string         `json:"sql"`
		Params  json.RawMessage `json:"params"`
		Options json.RawMessage `json:"options"`
	}
	if ctx.IsPost() {
		body, err := readBody(ctx, maxJSONBody)
		if err == nil {
			err = json.Unmarshal(body, &raw)
		}
		if err != nil {
			return core.LiveRequest{}, fault.New(fault.InvalidInput, "Invalid JSON payload: %s", plainJSON(err))
		}
	} else {
		args := ctx.QueryArgs()
		if args.Has("sql") {
			text := string(args.Peek("sql"))
			raw.SQL = &text
		}
		raw.Params, raw.Options = args.Peek("params"), args.Peek("options")
	}
	switch {
	case raw.SQL == nil:
		return core.LiveRequest{}, fault.New(fault.InvalidInput, "sql is missing: name the query to follow, as in /v1/live?sql=SELECT * FROM chat.message")
	case int64(len(*raw.SQL)) > s.o.MaxSQLBytes:
		return core.LiveRequest{}, fault.New(fault.Syntax, "SQL query too long: %d bytes (maximum %d bytes)", len(*raw.SQL), s.o.MaxSQLBytes)
	}
	q.sql = *raw.SQL
	r := core.LiveRequest{ID: eventSubscription, SQL: q.sql}
	if r.Params, err = subscriptionParams(raw.Params); err == nil {
		r.Options, err = eventOptions(raw.Options, string(header.Peek("Last-Event-ID")))
	}
	return r, err
}

// eventOptions reads the options of a subscription; what it resumes from is the
// id of the last event, if the client names one.
func eventOptions(raw json.RawMessage, last string) (*core.LiveSnapshot, error) {
	if absent(raw) {
		raw = json.RawMessage("{}")
	}
	o, refusal, err := snapshotOptions(raw)
	switch {
	case err != nil:
		return nil, fault.New(fault.InvalidInput, "options: %s", err)
	case refusal != nil:
		return nil, refusal
	case last == "":
		return o, nil
	}
	from, _, err := position("Last-Event-ID", json.RawMessage(last))
	if err != nil {
		return nil, fault.New(fault.InvalidInput, "%s: send the id of the last event as it came", err)
	}
	o.From, o.HasFrom = from, true
	o.LastRows, o.HasLastRows = 0, false
	return o, nil
}

// eventStream is the body of the answer: what the hub has for one connection,
// as events. Read is called by one goroutine; another one opens the
// subscription and asks for the pages of its snapshot.
type eventStream struct {
	s       *Server
	session *auth.Session
	live    *core.LiveConn
	ctx     context.Context
	cancel  context.CancelFunc
	extend  func() error
	gone    func() bool // the client has closed the connection; nil where that cannot be seen
	ready   chan struct{}
	more    chan struct{} // the next page is wanted
	failed  chan error    // why the subscription did not open, or has no next page
	work    sync.WaitGroup
	buf     []byte // to be sent
	over    bool   // nothing follows buf
}

// open connects and lets the subscription be opened.
func (e *eventStream) open(request core.LiveRequest) {
	e.live = e.s.o.DB.Hub().Connect(core.LiveConnOptions{
		ID: e.session.RequestID, Address: e.session.IP, User: e.session.UserID, Encoder: jsonFrames{}, Lagging: true, Commits: true,
		Ready: func() {
			select {
			case e.ready <- struct{}{}:
			default: // it is known already
			}
		},
	})
	e.work.Go(func() {
		err := e.s.o.DB.Subscribe(e.ctx, e.session, e.live, request)
		for err == nil {
			select {
			case <-e.more:
				err = e.live.NextBatch(e.ctx, eventSubscription, 0, false)
			case <-e.ctx.Done():
				return
			}
		}
		e.failed <- err
	})
}

// first waits for the acknowledgement, or for why there is none.
func (e *eventStream) first() error {
	select {
	case err := <-e.failed:
		return err
	case <-e.ready:
		e.buf = append(e.buf, eventPause...)
		return nil
	case <-e.s.stopping:
		return fault.New(fault.ShuttingDown, "the server is stopping; send the request again in a moment")
	case <-e.ctx.Done():
		return e.ctx.Err()
	}
}

// Read returns the next bytes of events. It waits for them, with a comment now
// and then by which both sides notice that the other is gone.
func (e *eventStream) Read(p []byte) (int, error) {
	for len(e.buf) == 0 {
		if e.over {
			return 0, io.EOF
		}
		e.fill()
	}
	_ = e.extend() // a broken connection shows at the write
	n := copy(p, e.buf)
	if e.buf = e.buf[n:]; len(e.buf) == 0 {
		e.buf = nil
	}
	return n, nil
}

// Close ends the subscription. It may be called more than once.
func (e *eventStream) Close() error {
	e.cancel()
	e.live.Close()
	e.work.Wait()
	return nil
}

// fill waits for something to send.
func (e *eventStream) fill() {
	frames, err := e.live.Take(e.ctx, nil, writePiece)
	if err != nil {
		e.end(fault.New(fault.Cancelled, "the connection was ended by the server"))
		return
	}
	for i := range frames {
		e.add(&frames[i])
	}
	if len(e.buf) > 0 {
		return
	}
	rest := e.s.o.EventHeartbeat
	if ends := e.session.Ends; !ends.IsZero() {
		left := time.Until(ends)
		if left <= 0 {
			e.end(fault.New(fault.TokenExpired, "Token expired"))
			return
		}
		rest = min(rest, left)
	}
	beat := time.NewTimer(rest)
	defer beat.Stop()
	select {
	case <-e.ready:
		e.live.Touch()
	case err := <-e.failed:
		e.end(err)
	case <-e.s.stopping:
		e.end(fault.New(fault.ShuttingDown, "the server is stopping; connect again in a moment"))
	case <-e.ctx.Done():
		e.over = true
	case <-beat.C:
		if e.over = e.gone != nil && e.gone(); !e.over {
			e.buf = append(e.buf, ":\n\n"...)
		}
	}
}

// end appends the last event: why the stream ends.
func (e *eventStream) end(err error) {
	e.over = true
	if errors.Is(err, context.Canceled) && e.ctx.Err() != nil {
		return
	}
	code, words := socketError(err)
	if fault.CodeOf(err) == fault.Internal {
		e.s.o.Logger.Error("live query failed", "user", userOf(e.session), "connection", e.session.RequestID, "error", err)
	}
	e.buf = appendEvent(e.buf, &core.LiveFrame{Kind: core.LiveError, Body: appendSocketError(nil, eventSubscription, code, words)})
}

// add appends a frame and acts on what it says.
func (e *eventStream) add(f *core.LiveFrame) {
	if e.over {
		return
	}
	e.buf = appendEvent(e.buf, f)
	switch {
	case f.Kind == core.LiveError:
		e.over = true // the subscription has ended, and it is the only one
	case f.Kind == core.LiveReply && wantsNext(f.Body):
		e.more <- struct{}{} // there is one page on the way at a time
	}
}

// wantsNext reports whether a batch says that another one follows.
func wantsNext(frame []byte) bool {
	const batch = `{"type":"initial_data_batch",`
	if !bytes.HasPrefix(frame, []byte(batch)) {
		return false
	}
	control := frame[max(bytes.LastIndex(frame, []byte(`"batch_control":{`)), 0):]
	return bytes.Contains(control, []byte(`"has_more":true`))
}

// appendEvent appends a frame as an event of its type. The mark of a commit
// carries its position as the id: a client may resume there.
func appendEvent(dst []byte, f *core.LiveFrame) []byte {
	text := f.Head
	if len(text) == 0 {
		text = f.Body
	}
	kind, _, _ := bytes.Cut(bytes.TrimPrefix(text, []byte(`{"type":"`)), []byte{'"'})
	dst = append(dst, "event: "...)
	dst = append(dst, kind...)
	if f.Kind == core.LiveNoticeFrame && string(kind) == core.LiveCommit {
		const before = `"position":"`
		at := bytes.LastIndex(f.Body, []byte(before))
		digits, _, _ := bytes.Cut(f.Body[at+len(before):], []byte{'"'})
		dst = append(dst, "\nid: "...)
		dst = append(dst, digits...)
	}
	dst = append(dst, "\ndata: "...)
	from := len(dst)
	dst = append(append(dst, f.Head...), f.Body...)
	for i, b := range dst[from:] {
		if b == '\n' || b == '\r' { // white space between tokens of a JSON cell
			dst[from+i] = ' '
		}
	}
	return append(dst, "\n\n"...)
}
