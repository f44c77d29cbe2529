package api

import (
	"context"
	"io"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"kalamdb/internal/core"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// masked are columns whose content only administrators see.
func masked(name string) bool { return name == "credentials" || name == "password_hash" }

// maskedText replaces their content.
const maskedText = `"***"`

// reply writes the envelope of a success piece by piece, pulling rows as there
// is room. It owns the results.
type reply struct {
	q       *sqlRequest
	results []*core.Result
	lone    bool  // a single result with rows: schema, rows and error are always written
	at      int   // results[at] is next, or being written
	inRows  bool  // within the rows of results[at]
	rows    int64 // of it so far
	batch   [][]datum.Value
	mask    []bool // columns of it to hide, nil for none
	written int64  // bytes that have left the buffer
	buf     []byte
	done    bool
}

// answer writes the results of a request: at once when they fit the hold-back,
// else as a stream.
func (s *Server) answer(ctx *fasthttp.RequestCtx, q *sqlRequest, results []*core.Result) {
	r := &reply{q: q, results: rollUp(results, q.session.UserID)}
	r.lone = len(r.results) == 1 && r.results[0].Kind == core.Rows
	r.buf = append(ctx.Response.SwapBody(nil)[:0], `{"status":"success","results":[`...)
	streams := false
	defer func() {
		if !streams {
			r.Close() // whatever has ended the answer, a panic too
		}
	}()
	if err := r.fill(q.ctx, holdBack); err != nil {
		ctx.Response.SwapBody(r.buf[:0])
		s.fail(ctx, q, err)
		return
	}
	isJSON(ctx, fasthttp.StatusOK)
	if r.done {
		ctx.Response.SwapBody(r.buf)
		return
	}
	streams = true
	ctx.Response.SetBodyStream(&stream{reply: r, ctx: q.ctx, span: streamed(ctx), extend: func() error {
		return ctx.SetWriteDeadline(time.Now().Add(writeTimeout))
	}}, -1)
}

// fill writes until the buffer holds want bytes or everything is written.
func (r *reply) fill(ctx context.Context, want int) error {
	for !r.done && len(r.buf) < want {
		if err := r.step(ctx, want); err != nil {
			return err
		}
		if limit := r.q.server.o.MaxResultBytes; r.written+int64(len(r.buf)) > limit {
			return fault.New(fault.LimitExceeded,
				"the answer is longer than %d bytes; ask for fewer rows or raise limits.max_result_bytes", limit)
		}
	}
	return nil
}

// step writes the next thing: the head of a result, some rows, or the end.
func (r *reply) step(ctx context.Context, want int) error {
	switch {
	case r.at == len(r.results):
		r.end()
		return nil
	case r.inRows:
		return r.appendRows(ctx, want)
	}
	r.begin(r.results[r.at])
	return nil
}

// begin writes a result up to its rows, or all of one without rows.
func (r *reply) begin(result *core.Result) {
	if r.at > 0 {
		r.buf = append(r.buf, ',')
	}
	r.buf = append(r.buf, '{')
	if result.Kind != core.Rows {
		r.finish(result, result.Count)
		return
	}
	if len(result.Columns) > 0 || r.lone {
		r.buf = append(r.buf, `"schema":`...)
		r.buf = appendSchema(r.buf, result.Columns)
		r.buf = append(r.buf, ',')
	}
	r.buf = append(r.buf, `"rows":[`...)
	r.inRows, r.rows, r.batch = true, 0, nil
	r.mask = maskOf(result.Columns, r.q.session.Role.Admin())
}

// finish writes what follows the rows of a result.
func (r *reply) finish(result *core.Result, count int64) {
	r.buf = append(r.buf, `"row_count":`...)
	r.buf = strconv.AppendInt(r.buf, count, 10)
	if result.Message != "" {
		r.buf = append(r.buf, `,"message":`...)
		r.buf = appendString(r.buf, result.Message)
	}
	r.buf = append(r.buf, `,"as_user":`...)
	r.buf = appendString(r.buf, string(result.AsUser))
	r.buf = append(r.buf, '}')
	result.Close()
	r.at++
}

func (r *reply) end() {
	r.buf = append(r.buf, `],"took":`...)
	r.buf = appendTook(r.buf, r.q.server.o.Now().Sub(r.q.start))
	if r.lone {
		r.buf = append(r.buf, `,"error":null`...)
	}
	r.buf = append(r.buf, '}')
	r.done = true
}

// appendRows writes rows until the buffer is full or the result ends.
func (r *reply) appendRows(ctx context.Context, want int) error {
	result := r.results[r.at]
	if len(r.batch) == 0 {
		var err error
		if r.batch, err = result.Next(ctx); err != nil {
			return err
		}
		if r.batch == nil {
			r.buf = append(r.buf, "],"...)
			r.inRows = false
			r.finish(result, r.rows)
			return nil
		}
	}
	for len(r.batch) > 0 && len(r.buf) < want {
		if r.rows > 0 {
			r.buf = append(r.buf, ',')
		}
		var err error
		if r.buf, err = appendRow(r.buf, r.batch[0], r.mask, result.Objects); err != nil {
			return err
		}
		r.rows++
		r.batch = r.batch[1:]
	}
	return nil
}

// Close lets go of all results. It may be called more than once.
func (r *reply) Close() {
	for _, result := range r.results {
		result.Close()
	}
}

func maskOf(columns []core.Column, admin bool) []bool {
	if admin {
		return nil
	}
	var mask []bool
	for i := range columns {
		if masked(columns[i].Name) {
			if mask == nil {
				mask = make([]bool, len(columns))
			}
			mask[i] = true
		}
	}
	return mask
}

// appendRow appends a row; objects says that cells of JSON stand as they are.
func appendRow(dst []byte, row []datum.Value, mask []bool, objects bool) ([]byte, error) {
	dst = append(dst, '[')
	for i := range row {
		if i > 0 {
			dst = append(dst, ',')
		}
		if mask != nil && mask[i] && !row[i].IsNull() {
			dst = append(dst, maskedText...)
			continue
		}
		if objects && row[i].Kind() == datum.JSON {
			dst = append(dst, row[i].Text()...)
			continue
		}
		var err error
		if dst, err = datum.AppendJSON(dst, row[i]); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), nil
}

func appendSchema(dst []byte, columns []core.Column) []byte {
	dst = append(dst, '[')
	for i := range columns {
		c := &columns[i]
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"name":`...)
		dst = appendString(dst, c.Name)
		dst = append(dst, `,"data_type":`...)
		dst = c.Type.AppendWire(dst)
		dst = append(dst, `,"index":`...)
		dst = strconv.AppendInt(dst, int64(i), 10)
		dst = appendFlags(dst, c.PrimaryKey, c.NotNull, c.Unique)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// appendFlags appends what is known of a column; a key is unique.
func appendFlags(dst []byte, key, notNull, unique bool) []byte {
	if !key && !notNull && !unique {
		return dst
	}
	dst = append(dst, `,"flags":[`...)
	if key {
		dst = append(dst, `"pk",`...)
	}
	if notNull {
		dst = append(dst, `"nn",`...)
	}
	if unique || key {
		dst = append(dst, `"uq",`...)
	}
	dst[len(dst)-1] = ']'
	return dst
}

// stream is a reply that is too long for the hold-back, as fasthttp reads it.
// An error from it ends the connection without the final chunk.
type stream struct {
	reply  *reply
	ctx    context.Context
	span   *requestSpan // ends with the answer, or nil
	extend func() error // gives the next piece its time to be written
}

// SupportsBodyWriteTo lets fasthttp take whole pieces.
func (*stream) SupportsBodyWriteTo() bool { return true }

// WriteTo writes the rest of the answer in pieces.
func (t *stream) WriteTo(w io.Writer) (total int64, err error) {
	defer t.recover(&err)
	r := t.reply
	for {
		if len(r.buf) > 0 {
			if err := t.extend(); err != nil {
				return total, err
			}
			n, err := w.Write(r.buf)
			total += int64(n)
			if err != nil {
				return total, err // the client has gone
			}
			r.written += int64(len(r.buf))
			r.buf = r.buf[:0]
		}
		if r.done {
			return total, nil
		}
		if err := r.fill(t.ctx, streamPiece); err != nil {
			t.abort(err)
			return total, err
		}
	}
}

// Read serves readers that do not use WriteTo.
func (t *stream) Read(p []byte) (n int, err error) {
	defer t.recover(&err)
	r := t.reply
	for len(r.buf) == 0 {
		if r.done {
			return 0, io.EOF
		}
		if err := r.fill(t.ctx, streamPiece); err != nil {
			t.abort(err)
			return 0, err
		}
	}
	n = copy(p, r.buf)
	r.written += int64(n)
	r.buf = r.buf[n:]
	return n, nil
}

// Close is called by fasthttp when the answer has ended, well or not.
func (t *stream) Close() error {
	t.reply.Close()
	if t.span != nil {
		t.span.End(fasthttp.StatusOK)
	}
	return nil
}

// recover cuts an answer off that panics: it runs behind the handler, where
// nobody else would keep the process serving.
func (t *stream) recover(err *error) {
	cause := recover()
	if cause == nil {
		return
	}
	s := t.reply.q.server
	s.stats.panics.Add(1)
	s.o.Logger.Error("streamed answer panicked", "request", t.reply.q.id(), "panic", cause, "stack", stack())
	*err = fault.New(fault.Internal, "an internal error occurred")
	t.abort(*err)
}

// abort notes that an answer is being cut off.
func (t *stream) abort(err error) {
	q := t.reply.q
	err = q.server.timeAsFault(err)
	q.server.stats.aborted.Add(1)
	q.server.stats.failed(fault.CodeOf(err))
	q.server.o.Logger.Warn("streamed answer was cut off", "request", q.id(), "user", q.user(), "error", err)
}
