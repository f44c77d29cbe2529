package api

import (
	"bytes"
	"context"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"kalamdb/internal/auth"
	"kalamdb/internal/core"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// maxRequestID bounds the names that callers give their requests.
const maxRequestID = 128

// sqlRequest is one POST /v1/api/sql on its way.
type sqlRequest struct {
	server       *Server
	start        time.Time
	session      *auth.Session // nil until it is known
	sql          string
	namespace    string
	hasNamespace bool
	rawParams    []byte
	params       []datum.Value
	name         string // of the request, "" until somebody asks
	ctx          context.Context
	upload       *core.Upload // of a multipart request, or nil
}

// id names the request in the log and in answers.
func (q *sqlRequest) id() string {
	if q.name == "" {
		q.name = q.server.ids.next()
	}
	return q.name
}

func (q *sqlRequest) user() schema.UserID {
	if q.session == nil {
		return ""
	}
	return q.session.UserID
}

// postSQL runs SQL. The checks come in the order of docs/protocol/http.md.
func (s *Server) postSQL(ctx *fasthttp.RequestCtx, client auth.Client) {
	q := &sqlRequest{server: s, start: s.o.Now(), ctx: s.context(ctx)}
	q.name = requestName(ctx)
	defer func() {
		if q.upload != nil {
			q.upload.Close()
		}
	}()
	if err := s.prepare(ctx, q, client); err != nil {
		s.fail(ctx, q, err)
		return
	}
	s.stats.statements.Add(1)
	results, err := s.o.DB.Execute(q.ctx, q.session, core.Request{
		SQL: q.sql, Params: q.params, Namespace: q.namespace, Gone: leaving(ctx.Conn()), Upload: q.upload,
	})
	if err != nil {
		s.fail(ctx, q, err)
		return
	}
	s.answer(ctx, q, results)
}

// prepare takes a request up to where core takes over.
func (s *Server) prepare(ctx *fasthttp.RequestCtx, q *sqlRequest, client auth.Client) error {
	session, err := s.bearer(ctx, client)
	if err != nil {
		return err
	}
	session.RequestID = q.id()
	q.session = session
	if !s.queries.Allow(string(session.UserID)) {
		return fault.New(fault.RateLimitExceeded, "Too many queries per second. Please slow down.")
	}
	if err := q.decode(ctx); err != nil {
		return err
	}
	if err := q.checkNamespace(); err != nil {
		return err
	}
	if n := int64(len(q.sql)); n > s.o.MaxSQLBytes {
		return fault.New(fault.Syntax, "SQL query too long: %d bytes (maximum %d bytes)", n, s.o.MaxSQLBytes)
	}
	return q.convertParams()
}

// bearer returns the session of the Authorization header. On a server that waits
// for its setup nobody can have got a token: whoever comes with a wrong one
// learns that it is to be set up.
func (s *Server) bearer(ctx *fasthttp.RequestCtx, client auth.Client) (*auth.Session, error) {
	header := ctx.Request.Header.Peek(fasthttp.HeaderAuthorization)
	if len(header) == 0 {
		return nil, fault.New(fault.MissingAuthorization, "Authentication required")
	}
	token, ok := bearerToken(header)
	if !ok {
		return nil, fault.New(fault.InvalidCredentials, "Invalid credentials")
	}
	session, err := s.o.Auth.Authenticate(s.requests, token)
	if fault.Is(err, fault.InvalidCredentials) {
		if needed, fail := s.o.Auth.NeedsSetup(s.requests); fail == nil && needed {
			err = fault.Wrap(fault.SetupRequired, err, "Server requires initial setup")
		}
	}
	if err != nil {
		return nil, err
	}
	session.IP, session.Local = client.IP, client.Local
	return session, nil
}

// bearerToken cuts the token out of an Authorization header.
func bearerToken(header []byte) (string, bool) {
	const scheme = "bearer "
	if len(header) < len(scheme) || !strings.EqualFold(string(header[:len(scheme)]), scheme) {
		return "", false
	}
	return string(bytes.TrimSpace(header[len(scheme):])), true
}

// requestName returns the X-Request-ID of a request, if it is fit for a log.
func requestName(ctx *fasthttp.RequestCtx) string {
	name := ctx.Request.Header.Peek("X-Request-ID")
	if len(name) == 0 || len(name) > maxRequestID {
		return ""
	}
	for _, b := range name {
		if b <= ' ' || b > '~' {
			return ""
		}
	}
	return string(name)
}

// rollUp sums the changes of a batch: results of other statements keep their
// order, then follow one result each for what was inserted, updated, deleted.
func rollUp(results []*core.Result, caller schema.UserID) []*core.Result {
	if len(results) < 2 {
		return results
	}
	kinds := [...]core.ResultKind{core.Inserted, core.Updated, core.Deleted}
	verbs := [...]string{"Inserted", "Updated", "Deleted"}
	var sums [len(kinds)]*core.Result
	out := make([]*core.Result, 0, len(results))
next:
	for _, r := range results {
		for i, kind := range kinds {
			if r.Kind != kind {
				continue
			}
			if sums[i] == nil {
				sums[i] = &core.Result{Kind: kind, Buffered: true, AsUser: caller}
			}
			sums[i].Count += r.Count
			continue next
		}
		out = append(out, r)
	}
	for i, sum := range sums {
		if sum != nil {
			sum.Message = core.DMLMessage(verbs[i], sum.Count)
			out = append(out, sum)
		}
	}
	return out
}
