package api

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"kalamdb/internal/fault"
)

// Wire codes that stand for several faults.
const (
	wireInvalidSQL = "INVALID_SQL"
	wireExecution  = "SQL_EXECUTION_ERROR"
	wireInternal   = "INTERNAL_ERROR"
)

// Codes of WebSocket errors that stand for several faults.
const (
	socketUnsupported = "UNSUPPORTED"
	socketNotFound    = "NOT_FOUND"
	socketFailed      = "SUBSCRIPTION_FAILED"
	socketConversion  = "CONVERSION_ERROR"
)

// wire is how a fault looks outside.
type wire struct {
	status int    // of HTTP
	code   string // in the SQL envelope
	socket string // in WebSocket errors
}

// wires has a row for every fault. It is never written.
var wires = map[fault.Code]wire{
	fault.Syntax:            {400, wireInvalidSQL, wireInvalidSQL},
	fault.InvalidDefinition: {400, wireInvalidSQL, wireInvalidSQL},
	fault.NotImplemented:    {400, wireExecution, socketUnsupported},
	fault.TableNotFound:     {400, wireExecution, socketNotFound},
	fault.NamespaceNotFound: {400, wireExecution, socketNotFound},
	fault.ColumnNotFound:    {400, wireExecution, socketFailed},
	fault.FunctionNotFound:  {400, wireExecution, socketFailed},
	fault.ObjectNotFound:    {400, wireExecution, socketFailed},
	fault.AlreadyExists:     {400, wireExecution, socketFailed},
	fault.DuplicateKey:      {400, wireExecution, socketFailed},
	fault.UniqueViolation:   {400, wireExecution, socketFailed},
	fault.GeneratedAlways:   {400, wireExecution, socketFailed},
	fault.NotNull:           {400, wireExecution, socketFailed},
	fault.CheckFailed:       {400, wireExecution, socketFailed},
	fault.TypeMismatch:      {400, wireExecution, socketConversion},
	fault.InvalidValue:      {400, wireExecution, socketConversion},
	fault.OutOfRange:        {400, wireExecution, socketConversion},
	fault.DivisionByZero:    {400, wireExecution, socketConversion},
	fault.InvalidOperation:  {400, wireExecution, socketUnsupported},
	fault.PermissionDenied:  {403, "PERMISSION_DENIED", "UNAUTHORIZED"},
	fault.Conflict:          {409, "CONFLICT", socketFailed},
	fault.LimitExceeded:     {400, wireExecution, socketUnsupported},
	fault.Timeout:           {400, wireExecution, socketFailed},
	fault.Cancelled:         {400, wireExecution, socketFailed},
	fault.ServerBusy:        {503, "SERVER_BUSY", socketFailed},
	fault.DiskFull:          {503, "DISK_FULL", socketFailed},
	fault.ReadOnly:          {503, "READ_ONLY", socketFailed},
	fault.ShuttingDown:      {503, "SHUTTING_DOWN", socketFailed},
	fault.CursorExpired:     {400, wireExecution, "CURSOR_EXPIRED"},
	fault.ActiveTransaction: {400, wireExecution, socketFailed},
	fault.NoTransaction:     {400, wireExecution, socketFailed},
	fault.FailedTransaction: {400, wireExecution, socketFailed},
	fault.OpenTransaction:   {400, wireExecution, socketFailed},
	fault.SavepointNotFound: {400, wireExecution, socketFailed},
	fault.Internal:          {500, wireInternal, socketFailed},

	fault.EmptySQL:             {400, "EMPTY_SQL", wireInvalidSQL},
	fault.InvalidInput:         {400, "INVALID_INPUT", socketFailed},
	fault.InvalidParameter:     {400, "INVALID_PARAMETER", wireInvalidSQL},
	fault.BatchParseError:      {400, "BATCH_PARSE_ERROR", wireInvalidSQL},
	fault.ParamsWithBatch:      {400, "PARAMS_WITH_BATCH", socketFailed},
	fault.RateLimitExceeded:    {429, "RATE_LIMIT_EXCEEDED", "RATE_LIMIT_EXCEEDED"},
	fault.SubscriptionLimit:    {429, "SUBSCRIPTION_LIMIT_EXCEEDED", "SUBSCRIPTION_LIMIT_EXCEEDED"},
	fault.MissingAuthorization: {401, "MISSING_AUTHORIZATION", "UNAUTHORIZED"},
	fault.TokenExpired:         {401, "TOKEN_EXPIRED", "UNAUTHORIZED"},
	fault.InvalidCredentials:   {401, "INVALID_CREDENTIALS", "UNAUTHORIZED"},
	fault.SetupRequired:        {401, "SETUP_REQUIRED", "UNAUTHORIZED"},
	fault.AccountLocked:        {401, "ACCOUNT_LOCKED", "UNAUTHORIZED"},
	fault.WeakPassword:         {400, wireExecution, socketFailed},
	fault.FileTooLarge:         {400, "FILE_TOO_LARGE", socketFailed},
	fault.TooManyFiles:         {400, "TOO_MANY_FILES", socketFailed},
	fault.MissingFile:          {400, "MISSING_FILE", socketFailed},
	fault.ExtraFile:            {400, "EXTRA_FILE", socketFailed},
	fault.InvalidMIMEType:      {400, "INVALID_MIME_TYPE", socketFailed},
	fault.FileNotFound:         {404, "FILE_NOT_FOUND", socketFailed},
}

// publicWords are what callers below dba read instead of a sentence that is
// not for them. It is never written.
var publicWords = map[string]string{
	"BATCH_PARSE_ERROR": "Failed to parse SQL batch",
	wireExecution:       "SQL statement failed",
	wireInvalidSQL:      "SQL statement is invalid or not allowed",
	wireInternal:        "SQL request failed",
}

// report is a fault as one caller sees it over HTTP.
type report struct {
	status  int
	code    string
	message string
	details string // "" for none
	retry   string // Retry-After, "" for none
}

// reportOf words a fault for a caller: sql is the text of the request, admin
// says whether he is dba or system, id names the request.
func reportOf(err error, sql string, admin bool, id string) report {
	f := fault.Of(err)
	w, known := wires[f.Code]
	if !known {
		w = wires[fault.Internal]
	}
	r := report{status: w.status, code: w.code, message: f.Sentence()}
	if r.status == fasthttp.StatusServiceUnavailable {
		r.retry = "1"
	}
	if f.Code == fault.BatchParseError && !severalStatements(sql, f.Offset) {
		r.code = wireExecution
	}
	if admin {
		r.details = or(f.Detail, sql)
	}
	switch {
	case f.Code == fault.Internal || !known:
		r.message = publicWords[wireInternal] + " (request " + id + ")"
	case r.code == wireInvalidSQL:
		r.message = syntaxWords(f, sql, admin)
	case !admin && !f.Code.Info().Shown:
		r.message = publicWords[r.code]
	}
	return r
}

// syntaxWords is the sentence of a fault that speaks only of the caller's own
// text, with its place.
func syntaxWords(f *fault.Error, sql string, admin bool) string {
	text := f.Sentence()
	if !admin {
		text = strings.Replace(text, f.Code.Info().Prefix, publicWords[wireInvalidSQL]+": ", 1)
	}
	if f.Statement > 0 {
		sql = f.Detail // offsets are within the statement
	}
	if f.Offset < 0 || f.Offset > len(sql) || strings.Contains(text, " at line ") {
		return text // there is no place, or the parser has said it
	}
	before := sql[:f.Offset]
	line := strings.Count(before, "\n") + 1
	column := utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
	return text + " at line " + strconv.Itoa(line) + " column " + strconv.Itoa(column)
}

// severalStatements reports whether a semicolon divides statements before an
// offset, where a quote begins that does not end.
func severalStatements(sql string, offset int) bool {
	var quote byte
	for i := 0; i < len(sql) && i < offset; i++ {
		switch c := sql[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"' || c == '`':
			quote = c
		case c == ';':
			return true
		}
	}
	return false
}

// timeAsFault words the end of a context: that of a statement's time, or that
// of the server.
func (s *Server) timeAsFault(err error) error {
	if s.requests.Err() != nil && (errors.Is(err, context.Canceled) || fault.Is(err, fault.Cancelled)) {
		return fault.Wrap(fault.ShuttingDown, err, "the server is stopping; send the request again in a moment")
	}
	var f *fault.Error
	if !errors.As(err, &f) && errors.Is(err, context.DeadlineExceeded) {
		return fault.Wrap(fault.Timeout, err, "Handler execution timeout: exceeded %s", s.o.HandlerTimeout)
	}
	return err
}

// fail answers a request of the SQL envelope with a fault, and logs what the
// caller must not see.
func (s *Server) fail(ctx *fasthttp.RequestCtx, q *sqlRequest, err error) {
	err = s.timeAsFault(err)
	id := q.id()
	r := reportOf(err, q.sql, q.session != nil && q.session.Role.Admin(), id)
	if q.upload != nil && q.upload.Files() > 0 && fault.Is(err, fault.TableNotFound) {
		r.code = "TABLE_NOT_FOUND"
		if q.session == nil || !q.session.Role.Admin() {
			r.message = "Requested table is not available"
		}
	}
	s.stats.failed(fault.CodeOf(err))
	if r.status == fasthttp.StatusInternalServerError {
		s.o.Logger.Error("request failed", "request", id, "user", q.user(), "error", err)
	} else if fault.Is(err, fault.ServerBusy) && fault.Of(err).Unwrap() != nil {
		s.o.Logger.Warn("request refused", "request", id, "user", q.user(), "error", err) // the cause is for operators
	}
	isJSON(ctx, r.status)
	if r.retry != "" {
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, r.retry)
	}
	b := append(ctx.Response.SwapBody(nil)[:0], `{"status":"error","error":{"code":`...)
	b = appendString(b, r.code)
	b = append(b, `,"message":`...)
	b = appendString(b, r.message)
	if r.details != "" {
		b = append(b, `,"details":`...)
		b = appendString(b, r.details)
	}
	b = append(b, `},"results":[],"took":`...)
	b = appendTook(b, s.o.Now().Sub(q.start))
	ctx.Response.SwapBody(append(b, '}'))
}

// recover answers 500 when a handler panics; the process goes on serving.
func (s *Server) recover(ctx *fasthttp.RequestCtx) {
	cause := recover()
	if cause == nil {
		return
	}
	s.stats.panics.Add(1)
	q := &sqlRequest{server: s, start: s.o.Now()}
	s.o.Logger.Error("handler panicked", "request", q.id(), "path", string(ctx.Path()), "panic", cause, "stack", stack())
	ctx.Response.Reset()
	s.fail(ctx, q, fault.New(fault.Internal, "an internal error occurred"))
	ctx.SetConnectionClose()
}
