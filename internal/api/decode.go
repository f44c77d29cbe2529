package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// maxParts bounds the parts of a multipart body.
const maxParts = 64

// decode reads the body of an SQL request.
func (q *sqlRequest) decode(ctx *fasthttp.RequestCtx) error {
	contentType := string(ctx.Request.Header.ContentType())
	if isForm(contentType) {
		return q.decodeForm(ctx, contentType)
	}
	body, err := readBody(ctx, maxJSONBody)
	if err != nil {
		return fault.New(fault.InvalidInput, "Invalid JSON payload: %s", err)
	}
	return q.decodeJSON(body)
}

// readBody reads a body of at most limit bytes. The bytes live as long as the
// request.
func readBody(ctx *fasthttp.RequestCtx, limit int64) ([]byte, error) {
	n := int64(ctx.Request.Header.ContentLength())
	if n > limit {
		return nil, tooLong(limit)
	}
	stream := ctx.RequestBodyStream()
	if stream == nil {
		return nil, nil
	}
	if n >= 0 {
		body := make([]byte, n)
		if _, err := io.ReadFull(stream, body); err != nil {
			return nil, errors.New("the body is cut off")
		}
		return body, nil
	}
	body, err := io.ReadAll(io.LimitReader(stream, limit+1))
	if err != nil {
		return nil, errors.New("the body is cut off")
	}
	if int64(len(body)) > limit {
		return nil, tooLong(limit)
	}
	return body, nil
}

func tooLong(limit int64) error {
	return errors.New("the body is longer than " + strconv.FormatInt(limit, 10) + " bytes")
}

// decodeJSON reads {"sql", "params", "namespace_id"}; other fields are ignored.
func (q *sqlRequest) decodeJSON(body []byte) error {
	malformed := func(why string) error { return fault.New(fault.InvalidInput, "Invalid JSON payload: %s", why) }
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return malformed("the body is empty")
	case !utf8.Valid(body):
		return malformed("the body is not UTF-8")
	case !json.Valid(body):
		var v any
		return malformed(json.Unmarshal(body, &v).Error())
	case loneSurrogate(body):
		return malformed(wordsLoneSurrogate)
	}
	c := cursor{b: body}
	hasSQL := false
	var params []byte
	wrong := ""
	var seen [3]bool
	once := func(i int, name string) {
		if seen[i] {
			wrong = name + " is given twice"
		}
		seen[i] = true
	}
	if !c.object(func(name string, raw []byte) {
		switch name {
		case "sql":
			once(0, name)
			hasSQL = raw[0] == '"'
			q.sql = text(raw)
			if !hasSQL {
				wrong = "sql must be a string"
			}
		case "params":
			once(1, name)
			params = raw
			if raw[0] != '[' && raw[0] != 'n' {
				wrong = "params must be an array"
			}
		case "namespace_id":
			once(2, name)
			q.namespace, q.hasNamespace = text(raw), raw[0] == '"'
			if raw[0] != '"' && raw[0] != 'n' {
				wrong = "namespace_id must be a string"
			}
		}
	}) {
		return malformed("the body is not an object")
	}
	switch {
	case wrong != "":
		return malformed(wrong)
	case !hasSQL:
		return malformed("missing field sql")
	}
	return q.setParams(params)
}

// decodeForm reads the same as multipart parts. Parts named file:… are files,
// which go to the local disk as they come.
func (q *sqlRequest) decodeForm(ctx *fasthttp.RequestCtx, contentType string) error {
	malformed := func(err error) error {
		return fault.Wrap(fault.InvalidInput, err, "Multipart parse error: %s", err)
	}
	_, options, err := mime.ParseMediaType(contentType)
	if err != nil || options["boundary"] == "" {
		return malformed(errors.New("the Content-Type has no boundary"))
	}
	// Parts are read one by one from the connection; what is kept of each is
	// bounded, and the gate has bounded the whole.
	stream := ctx.RequestBodyStream()
	if stream == nil {
		return malformed(errors.New("the body is empty"))
	}
	body := &uploadReader{from: stream, ctx: ctx, begun: time.Now()}
	reader := multipart.NewReader(io.LimitReader(body, q.server.o.MaxUpload), options["boundary"])
	q.upload = q.server.o.DB.NewUpload()
	hasSQL := false
	var params []byte
	for n := 0; ; n++ {
		part, err := reader.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return malformed(err)
		}
		if n == maxParts {
			return malformed(errors.New("more than " + strconv.Itoa(maxParts) + " parts"))
		}
		name := part.FormName()
		if key, ok := strings.CutPrefix(name, "file:"); ok {
			if err := q.addFile(key, part); err != nil {
				return err
			}
			continue
		}
		value, err := io.ReadAll(io.LimitReader(part, maxJSONBody+1))
		switch {
		case err != nil:
			return malformed(err)
		case len(value) > maxJSONBody:
			return malformed(errors.New("part " + name + " is longer than " + strconv.Itoa(maxJSONBody) + " bytes"))
		case !utf8.Valid(value):
			return malformed(errors.New("part " + name + " is not UTF-8"))
		}
		switch name {
		case "sql":
			q.sql, hasSQL = string(value), true
		case "params":
			params = value
		case "namespace_id":
			q.namespace, q.hasNamespace = string(value), true
		}
	}
	if !hasSQL {
		return fault.New(fault.EmptySQL, "SQL statement is required")
	}
	return q.setFormParams(params)
}

// addFile takes one file.
func (q *sqlRequest) addFile(key string, part *multipart.Part) error {
	from := &partReader{from: part}
	err := q.upload.Add(key, part.FileName(), part.Header.Get("Content-Type"), from)
	if from.err != nil {
		return fault.Wrap(fault.InvalidInput, from.err, "Multipart parse error: %s", from.err)
	}
	return err
}

// partReader remembers why a part could not be read: that is the sender's doing,
// and what fails behind it ours.
type partReader struct {
	from io.Reader
	err  error
}

// Read implements io.Reader.
func (r *partReader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// setFormParams reads params as text, where they are checked by themselves.
func (q *sqlRequest) setFormParams(params []byte) error {
	params = bytes.TrimSpace(params)
	if len(params) == 0 {
		return nil
	}
	if !json.Valid(params) {
		var v any
		return fault.New(fault.InvalidParameter, "Invalid params JSON: %s", json.Unmarshal(params, &v))
	}
	if loneSurrogate(params) {
		return fault.New(fault.InvalidParameter, "Invalid params JSON: %s", wordsLoneSurrogate)
	}
	if params[0] != '[' && params[0] != 'n' {
		return fault.New(fault.InvalidParameter, "Params must be a JSON array")
	}
	return q.setParams(params)
}

// setParams keeps a valid JSON array, or null, for conversion. The conversion
// comes after the other checks of the request.
func (q *sqlRequest) setParams(params []byte) error {
	if len(params) > 0 && params[0] == '[' {
		q.rawParams = params
	}
	return nil
}

// checkNamespace lowers the namespace and refuses what could be a path.
func (q *sqlRequest) checkNamespace() error {
	if !q.hasNamespace {
		return nil
	}
	q.namespace = strings.ToLower(q.namespace)
	switch n := q.namespace; {
	case n == "":
		return fault.New(fault.InvalidInput, "namespace_id must not be empty")
	case strings.Contains(n, "..") || strings.ContainsAny(n, "/\\\x00"):
		return fault.New(fault.InvalidInput, `namespace_id must not contain "..", "/", "\" or NUL`)
	}
	return nil
}

// convertParams turns JSON scalars into SQL values. Integers keep all 64 bits;
// other numbers are DOUBLE.
func (q *sqlRequest) convertParams() error {
	if q.rawParams == nil {
		return nil
	}
	c := cursor{b: q.rawParams}
	n, wrong := 0, ""
	c.array(func(raw []byte) {
		n++
		v, why := paramOf(raw)
		if why != "" && wrong == "" {
			wrong = "Parameter $" + strconv.Itoa(n) + " invalid: " + why
		}
		q.params = append(q.params, v)
	})
	if wrong != "" {
		return fault.New(fault.InvalidParameter, "%s", wrong)
	}
	return nil
}

// paramOf returns the value of a parameter, or why it is none.
func paramOf(raw []byte) (_ datum.Value, why string) {
	switch raw[0] {
	case 'n':
		return datum.NullValue, ""
	case 't', 'f':
		return datum.NewBool(raw[0] == 't'), ""
	case '"':
		return datum.NewText(text(raw)), ""
	case '[', '{':
		return datum.NullValue, "arrays and objects are not yet supported; pass JSON as text"
	}
	if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		return datum.NewInt(datum.BigInt, n), ""
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil {
		return datum.NullValue, "the number is out of range"
	}
	return datum.NewDouble(f), ""
}
