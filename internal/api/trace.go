package api

import (
	"context"

	"github.com/valyala/fasthttp"

	"kalamdb/internal/auth"
)

// Headers of W3C Trace Context.
const (
	headerParent = "traceparent"
	headerState  = "tracestate"
)

// Tracer hears of requests. It is called by the goroutines that serve them and
// must not block.
type Tracer interface {
	// Request begins the span of an HTTP request or of a WebSocket message. Its
	// name is a method and a route, or a type of message, never a text of the
	// client's; parent and state are the client's headers of W3C Trace Context,
	// or "". The context returned is that of the work; a nil span means that
	// nobody wants to hear of its end.
	Request(ctx context.Context, name, parent, state string) (context.Context, RequestSpan)
}

// RequestSpan is a request that has begun. End is called once, with the status of
// its answer, 0 for a message.
type RequestSpan interface{ End(status int) }

// spanKey is where a request carries its span.
type spanKey struct{}

// requestSpan is the span of one HTTP request.
type requestSpan struct {
	RequestSpan
	ctx    context.Context
	stream bool // the answer ends it
}

// serveTraced serves a request within a span.
func (s *Server) serveTraced(ctx *fasthttp.RequestCtx, r route, client auth.Client) {
	h := &ctx.Request.Header
	inner, span := s.o.Tracer.Request(s.requests, r.method+" "+string(ctx.Path()), string(h.Peek(headerParent)), string(h.Peek(headerState)))
	if span == nil {
		r.serve(ctx, client)
		return
	}
	x := &requestSpan{RequestSpan: span, ctx: inner}
	ctx.SetUserValue(spanKey{}, x)
	status := fasthttp.StatusInternalServerError // unless it returns
	defer func() {
		if !x.stream {
			x.End(status)
		}
	}()
	r.serve(ctx, client)
	status = ctx.Response.StatusCode()
}

// context is that of a request's work.
func (s *Server) context(ctx *fasthttp.RequestCtx) context.Context {
	if s.o.Tracer == nil {
		return s.requests
	}
	if x, ok := ctx.UserValue(spanKey{}).(*requestSpan); ok {
		return x.ctx
	}
	return s.requests
}

// streamed lets the span of a request last until its answer is written, and
// returns it, or nil.
func streamed(ctx *fasthttp.RequestCtx) *requestSpan {
	x, ok := ctx.UserValue(spanKey{}).(*requestSpan)
	if !ok {
		return nil
	}
	x.stream = true
	return x
}
