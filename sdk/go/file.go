package kalam

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
)

// File is a file that goes with a statement, which names it FILE("Key").
type File struct {
	Key  string
	Name string
	Type string // such as image/png; "" is application/octet-stream
	Body io.Reader
}

// FileRef is the value of a FILE column.
type FileRef struct {
	ID     string `json:"id"`
	Sub    string `json:"sub"`
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	Type   string `json:"mime"`
	SHA256 string `json:"sha256"`
}

// ParseFileRef reads a cell of a FILE column, which holds JSON text.
func ParseFileRef(cell json.RawMessage) (FileRef, error) {
	var text string
	var r FileRef
	err := json.Unmarshal(cell, &text)
	if err == nil {
		err = json.Unmarshal([]byte(text), &r)
	}
	if err != nil {
		return r, fmt.Errorf("read a file reference: %w", err)
	}
	return r, nil
}

// Upload runs one INSERT or UPDATE with files, which are sent as they are read.
// It does not try again, for the readers are at their ends then.
func (c *Client) Upload(ctx context.Context, sql string, files []File, params ...any) (*Response, error) {
	token, err := c.Token(ctx)
	if err != nil {
		return nil, err
	}
	body, in := io.Pipe()
	defer body.Close() // ends the writer when the server has answered early
	form := multipart.NewWriter(in)
	go func() { in.CloseWithError(c.writeForm(form, sql, files, params)) }()
	var answer envelope
	status, err := c.send(ctx, http.MethodPost, sqlPath, token, form.FormDataContentType(), body, &answer)
	if err != nil {
		return nil, err
	}
	return answer.response(status)
}

// writeForm writes the parts of an upload.
func (c *Client) writeForm(form *multipart.Writer, sql string, files []File, params []any) error {
	fields := [][2]string{{"sql", sql}}
	if len(params) > 0 {
		text, err := json.Marshal(params)
		if err != nil {
			return fmt.Errorf("encode parameters: %w", err)
		}
		fields = append(fields, [2]string{"params", string(text)})
	}
	if c.o.Namespace != "" {
		fields = append(fields, [2]string{"namespace_id", c.o.Namespace})
	}
	for _, f := range fields {
		if err := form.WriteField(f[0], f[1]); err != nil {
			return err
		}
	}
	quote := strings.NewReplacer("\\", "\\\\", `"`, `\"`, "\r", "", "\n", "")
	for _, f := range files {
		h := textproto.MIMEHeader{}
		h.Set("Content-Disposition", fmt.Sprintf(`form-data; name="file:%s"; filename="%s"`, quote.Replace(f.Key), quote.Replace(f.Name)))
		if f.Type != "" {
			h.Set("Content-Type", f.Type)
		}
		part, err := form.CreatePart(h)
		if err == nil {
			_, err = io.Copy(part, f.Body)
		}
		if err != nil {
			return err
		}
	}
	return form.Close()
}

// Download reads a file of a table, "namespace.table". owner is the user whose
// row of a USER table holds it, "" for one's own. The caller closes it.
func (c *Client) Download(ctx context.Context, table string, ref FileRef, owner string) (io.ReadCloser, error) {
	namespace, name, ok := strings.Cut(table, ".")
	if !ok {
		return nil, fmt.Errorf("the table %q must be written namespace.table", table)
	}
	token, err := c.Token(ctx)
	if err != nil {
		return nil, err
	}
	where := c.base.JoinPath("/api/v1/files", url.PathEscape(namespace), url.PathEscape(name), url.PathEscape(ref.Sub), url.PathEscape(ref.ID))
	if owner != "" {
		where.RawQuery = url.Values{"user_id": {owner}}.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, where.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := c.o.HTTP.Do(request)
	if err != nil {
		return nil, fmt.Errorf("reach the server: %w", err)
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	defer response.Body.Close()
	var answer struct {
		Error json.RawMessage `json:"error"`
		Code  string          `json:"code"`
	}
	e := &Error{Status: response.StatusCode, Code: codeInternal, Message: http.StatusText(response.StatusCode)}
	if json.NewDecoder(io.LimitReader(response.Body, 64<<10)).Decode(&answer) == nil && answer.Code != "" {
		e.Code = answer.Code
		_ = json.Unmarshal(answer.Error, &e.Message) // the status stays for another shape
	}
	return nil, e
}
