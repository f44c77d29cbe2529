package api

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"
)

// CORS says what web pages of other origins may do; the zero value allows any
// origin, without credentials.
type CORS struct {
	// Origins are matched exactly; none, or "*" among them, means any.
	Origins []string
	// Methods; none means GET, POST, PUT, DELETE, PATCH, OPTIONS.
	Methods []string
	// Headers of requests; "*" among them means any, none means
	// Authorization, Content-Type, Accept, Origin, X-Requested-With.
	Headers []string
	// Expose are the headers of answers that pages may read.
	Expose []string
	// Credentials may be sent.
	Credentials bool
	// MaxAge is how long a preflight is remembered; 0 is not sent.
	MaxAge time.Duration
}

// cors is CORS with its headers made.
type cors struct {
	o                        CORS
	anyOrigin, anyHeader     bool
	methods, headers, expose string
	maxAge                   string
}

func newCORS(o CORS) cors {
	if len(o.Methods) == 0 {
		o.Methods = []string{"GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"}
	}
	if len(o.Headers) == 0 {
		o.Headers = []string{"Authorization", "Content-Type", "Accept", "Origin", "X-Requested-With"}
	}
	c := cors{
		o:         o,
		anyOrigin: len(o.Origins) == 0 || slices.Contains(o.Origins, "*"),
		anyHeader: slices.Contains(o.Headers, "*"),
		methods:   strings.Join(o.Methods, ", "),
		headers:   strings.Join(o.Headers, ", "),
		expose:    strings.Join(o.Expose, ", "),
	}
	if o.MaxAge > 0 {
		c.maxAge = strconv.Itoa(int(o.MaxAge / time.Second))
	}
	return c
}

// allows reports whether pages of an origin may call.
func (c *cors) allows(origin string) bool {
	return c.anyOrigin || slices.Contains(c.o.Origins, origin)
}

// answer adds the headers for the page that calls, and answers a preflight. It
// reports whether the request has been answered.
func (c *cors) answer(ctx *fasthttp.RequestCtx) bool {
	origin := ctx.Request.Header.Peek(fasthttp.HeaderOrigin)
	if len(origin) == 0 {
		return false
	}
	allowed := c.allows(string(origin))
	if allowed {
		c.admit(ctx, string(origin))
	}
	if !ctx.IsOptions() || len(ctx.Request.Header.Peek(fasthttp.HeaderAccessControlRequestMethod)) == 0 {
		return false
	}
	if !allowed {
		ctx.SetStatusCode(fasthttp.StatusForbidden)
		return true
	}
	c.preflight(ctx)
	return true
}

func (c *cors) admit(ctx *fasthttp.RequestCtx, origin string) {
	h := &ctx.Response.Header
	if c.anyOrigin && !c.o.Credentials {
		h.Set(fasthttp.HeaderAccessControlAllowOrigin, "*")
	} else {
		h.Set(fasthttp.HeaderAccessControlAllowOrigin, origin)
		h.Add(fasthttp.HeaderVary, fasthttp.HeaderOrigin)
	}
	if c.o.Credentials {
		h.Set(fasthttp.HeaderAccessControlAllowCredentials, "true")
	}
	if c.expose != "" {
		h.Set(fasthttp.HeaderAccessControlExposeHeaders, c.expose)
	}
}

func (c *cors) preflight(ctx *fasthttp.RequestCtx) {
	h := &ctx.Response.Header
	h.Set(fasthttp.HeaderAccessControlAllowMethods, c.methods)
	headers := c.headers
	if c.anyHeader {
		headers = string(ctx.Request.Header.Peek(fasthttp.HeaderAccessControlRequestHeaders))
	}
	if headers != "" {
		h.Set(fasthttp.HeaderAccessControlAllowHeaders, headers)
	}
	if c.maxAge != "" {
		h.Set(fasthttp.HeaderAccessControlMaxAge, c.maxAge)
	}
	ctx.SetStatusCode(fasthttp.StatusOK)
}
