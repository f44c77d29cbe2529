package api

import (
	"errors"
	"io"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"kalamdb/internal/auth"
	"kalamdb/internal/core"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// Prefixes of the routes of files. The second is the one that older clients make.
const (
	filesPrefix = "/v1/files/"
	filesAlias  = "/api/v1/files/"

	exportsPrefix = "/v1/exports/"
)

// How slow an upload may be: so many bytes a second after the first time.
const (
	uploadPatience = 60 * time.Second
	uploadPace     = 32 << 10
)

// isUpload reports whether a request may bring files, and so a longer body.
func isUpload(h *fasthttp.RequestHeader) bool {
	uri, _, _ := strings.Cut(string(h.RequestURI()), "?")
	return uri == sqlPath && isForm(string(h.ContentType()))
}

// isForm reports whether a content type is that of a form with parts.
func isForm(contentType string) bool {
	const form = "multipart/form-data"
	return len(contentType) >= len(form) && strings.EqualFold(contentType[:len(form)], form)
}

// uploadReader reads the body of an upload and gives each piece its time, as long
// as it comes with some pace.
type uploadReader struct {
	from  io.Reader
	ctx   *fasthttp.RequestCtx
	begun time.Time
	read  int64
}

// Read implements io.Reader.
func (r *uploadReader) Read(p []byte) (int, error) {
	end := r.begun.Add(uploadPatience + time.Duration(r.read/uploadPace)*time.Second)
	_ = r.ctx.SetReadDeadline(end) // a broken connection shows at the read
	n, err := r.from.Read(p)
	r.read += int64(n)
	return n, err
}

// file answers GET /v1/files/{namespace}/{table}/{folder}/{name}.
func (s *Server) file(ctx *fasthttp.RequestCtx, client auth.Client, rest string, byID bool) {
	session, ok := s.caller(ctx, client)
	if !ok {
		return
	}
	address, err := fileAddress(rest, byID)
	if err == nil && ctx.QueryArgs().Has("user_id") {
		if address.Owner = schema.UserID(ctx.QueryArgs().Peek("user_id")); address.Owner == "" {
			err = fault.New(fault.InvalidInput, "user_id must not be empty")
		}
	}
	if err != nil {
		s.flat(ctx, err)
		return
	}
	f, err := s.o.DB.File(s.context(ctx), session, address)
	switch {
	case errors.Is(err, core.ErrNoTable):
		isJSON(ctx, fasthttp.StatusNotFound)
		b := append([]byte(nil), `{"error":`...)
		ctx.SetBody(append(appendString(b, "Table '"+address.Namespace+"."+address.Table+"' not found"), '}'))
		return
	case err != nil:
		s.flat(ctx, err)
		return
	}
	s.send(ctx, download{
		name: f.Stored, kind: guessType(f.Stored), size: f.Size, tag: `"` + f.SHA256 + `"`, disposition: "inline", open: f.Open,
	})
}

// export answers GET /v1/exports/{user_id}/{export_id}.
func (s *Server) export(ctx *fasthttp.RequestCtx, client auth.Client, rest string) {
	session, ok := s.caller(ctx, client)
	if !ok {
		return
	}
	parts, err := pathParts(rest, 2)
	if err != nil {
		s.flat(ctx, fault.New(fault.InvalidInput, "Invalid export path"))
		return
	}
	archive, err := s.o.DB.Archive(s.context(ctx), session, schema.UserID(parts[0]), parts[1])
	switch {
	case errors.Is(err, core.ErrNoExport):
		isJSON(ctx, fasthttp.StatusNotFound)
		ctx.SetBodyString(`{"error":"Export not found","code":"EXPORT_NOT_FOUND"}`)
	case err != nil:
		s.flat(ctx, err)
	default:
		s.send(ctx, download{name: parts[1] + ".zip", kind: "application/zip", size: archive.Size, disposition: "attachment", open: archive.Open})
	}
}

// caller authenticates the request of a download; when it cannot it has answered.
func (s *Server) caller(ctx *fasthttp.RequestCtx, client auth.Client) (*auth.Session, bool) {
	q := &sqlRequest{server: s, start: s.o.Now(), ctx: s.context(ctx), name: requestName(ctx)}
	session, err := s.bearer(ctx, client)
	if err == nil && !s.queries.Allow(string(session.UserID)) {
		err = fault.New(fault.RateLimitExceeded, "Too many queries per second. Please slow down.")
	}
	if err != nil {
		s.fail(ctx, q, err)
		return nil, false
	}
	session.RequestID = q.id()
	return session, true
}

// fileAddress reads the path behind the prefix. Its parts are decoded one by one,
// so that an encoded slash leads nowhere.
func fileAddress(rest string, byID bool) (core.FileAddress, error) {
	parts, err := pathParts(rest, 4)
	if err != nil {
		return core.FileAddress{}, fault.New(fault.InvalidInput, "Invalid file path")
	}
	return core.FileAddress{
		Namespace: strings.ToLower(parts[0]), Table: strings.ToLower(parts[1]), Folder: parts[2], Name: parts[3], ByID: byID,
	}, nil
}

// pathParts splits a path into n decoded parts, none of which leads elsewhere.
func pathParts(rest string, n int) ([]string, error) {
	parts := strings.Split(rest, "/")
	if len(parts) != n {
		return nil, errors.New("the path has another number of parts")
	}
	for i := range parts {
		part, err := url.PathUnescape(parts[i])
		if err != nil || part == "" || part == "." || strings.Contains(part, "..") || strings.ContainsAny(part, "/\\\x00") {
			return nil, errors.New("a part of the path is invalid")
		}
		parts[i] = part
	}
	return parts, nil
}

// flat answers a fault in the flat shape of downloads.
func (s *Server) flat(ctx *fasthttp.RequestCtx, err error) {
	err = s.timeAsFault(err)
	code := fault.CodeOf(err)
	w, known := wires[code]
	message := fault.Of(err).Message
	if !known || code == fault.Internal {
		w, message = wires[fault.Internal], "Failed to read file"
		s.o.Logger.Error("download failed", "path", string(ctx.Path()), "error", err)
	} else if code == fault.ServerBusy {
		s.o.Logger.Warn("download refused", "path", string(ctx.Path()), "error", err)
	}
	s.stats.failed(code)
	isJSON(ctx, w.status)
	b := append([]byte(nil), `{"error":`...)
	b = append(appendString(b, message), `,"code":`...)
	ctx.SetBody(append(appendString(b, w.code), '}'))
}

// guessType returns the type that the extension of a name stands for. Types are
// those of a fixed list: what the machine knows beside them must not matter.
func guessType(name string) string {
	if kind, ok := fileTypes[strings.ToLower(path.Ext(name))]; ok {
		return kind
	}
	return "application/octet-stream"
}

// fileTypes is never written.
var fileTypes = map[string]string{
	".txt": "text/plain; charset=utf-8", ".csv": "text/csv; charset=utf-8", ".md": "text/markdown; charset=utf-8",
	".html": "text/html; charset=utf-8", ".htm": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
	".js": "text/javascript; charset=utf-8", ".json": "application/json", ".xml": "application/xml", ".pdf": "application/pdf",
	".zip": "application/zip", ".gz": "application/gzip", ".tar": "application/x-tar",
	".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp",
	".svg": "image/svg+xml", ".ico": "image/x-icon", ".bmp": "image/bmp", ".avif": "image/avif",
	".mp3": "audio/mpeg", ".wav": "audio/wav", ".ogg": "audio/ogg", ".mp4": "video/mp4", ".webm": "video/webm", ".mov": "video/quicktime",
	".doc": "application/msword", ".xls": "application/vnd.ms-excel", ".ppt": "application/vnd.ms-powerpoint",
	".docx":    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	".xlsx":    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	".pptx":    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
	".parquet": "application/vnd.apache.parquet", ".wasm": "application/wasm",
}

// download is bytes that a caller may have.
type download struct {
	name, kind, disposition string
	size                    int64
	tag                     string // a strong ETag, "" for none
	open                    func(offset, n int64) (io.ReadCloser, error)
}

// send answers with the bytes, or the range of them that was asked for. What
// users have sent must not act for the page that shows it.
func (s *Server) send(ctx *fasthttp.RequestCtx, d download) {
	h := &ctx.Response.Header
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set(fasthttp.HeaderCacheControl, "private, no-cache")
	h.Set(fasthttp.HeaderAcceptRanges, "bytes")
	h.Set(fasthttp.HeaderContentDisposition, d.disposition+`; filename="`+d.name+`"`)
	if d.tag != "" {
		h.Set(fasthttp.HeaderETag, d.tag)
		if string(ctx.Request.Header.Peek(fasthttp.HeaderIfNoneMatch)) == d.tag {
			ctx.SetStatusCode(fasthttp.StatusNotModified)
			return
		}
	}
	from, n, status := rangeOf(string(ctx.Request.Header.Peek(fasthttp.HeaderRange)), d.size)
	switch status {
	case fasthttp.StatusRequestedRangeNotSatisfiable:
		h.Set(fasthttp.HeaderContentRange, "bytes */"+strconv.FormatInt(d.size, 10))
		ctx.SetStatusCode(status)
		return
	case fasthttp.StatusPartialContent:
		h.Set(fasthttp.HeaderContentRange, "bytes "+strconv.FormatInt(from, 10)+"-"+strconv.FormatInt(from+n-1, 10)+"/"+strconv.FormatInt(d.size, 10))
	}
	body, err := d.open(from, n)
	if err != nil {
		ctx.Response.Reset()
		s.flat(ctx, err)
		return
	}
	ctx.SetStatusCode(status)
	ctx.SetContentType(d.kind)
	where := string(ctx.Path()) // ctx is another's when the body has been sent
	ctx.Response.SetBodyStream(&sending{from: body, extend: func() error {
		return ctx.SetWriteDeadline(time.Now().Add(writeTimeout))
	}, failed: func(err error) { s.o.Logger.Error("a download broke off", "path", where, "error", err) }}, int(n))
}

// rangeOf reads a Range of one stretch; any other form is not obeyed.
func rangeOf(header string, size int64) (from, n int64, status int) {
	spec, ok := strings.CutPrefix(header, "bytes=")
	first, last, dash := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok || !dash || strings.Contains(spec, ",") {
		return 0, size, fasthttp.StatusOK
	}
	if first == "" {
		tail, err := strconv.ParseUint(last, 10, 63)
		if err != nil {
			return 0, size, fasthttp.StatusOK
		}
		if tail == 0 || size == 0 {
			return 0, 0, fasthttp.StatusRequestedRangeNotSatisfiable
		}
		n = min(int64(tail), size)
		return size - n, n, fasthttp.StatusPartialContent
	}
	begin, err := strconv.ParseUint(first, 10, 63)
	if err != nil {
		return 0, size, fasthttp.StatusOK
	}
	end := uint64(max(size-1, 0))
	if last != "" {
		given, err := strconv.ParseUint(last, 10, 63)
		if err != nil || given < begin {
			return 0, size, fasthttp.StatusOK
		}
		end = min(end, given)
	}
	if begin >= uint64(size) {
		return 0, 0, fasthttp.StatusRequestedRangeNotSatisfiable
	}
	return int64(begin), int64(end-begin) + 1, fasthttp.StatusPartialContent
}

// sending is the body of a download, as fasthttp reads it.
type sending struct {
	from   io.ReadCloser
	extend func() error // gives the next piece its time to be written
	failed func(error)  // hears why bytes could not be read
}

// Read implements io.Reader.
func (b *sending) Read(p []byte) (int, error) {
	if err := b.extend(); err != nil {
		return 0, err
	}
	n, err := b.from.Read(p)
	if err != nil && err != io.EOF {
		b.failed(err)
	}
	return n, err
}

// Close ends the download.
func (b *sending) Close() error { return b.from.Close() }
