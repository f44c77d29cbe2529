// Package kalam is the Go client of KalamDB: SQL over HTTP and live queries
// over WebSocket.
//
// A Client runs statements for one account. A Live carries any number of
// subscriptions over one socket; when the socket breaks it connects again and
// resumes each of them from the last row it has seen, so that a subscriber ends
// with exactly the rows of the table, or gets an error that says why it cannot.
//
// Goroutines: two per Live, ended by Live.Close; those of the HTTP client's idle
// connections, ended by Client.Close. Locks: Client.mu, Live.mu, and two of each
// socket; none is taken under another.
package kalam

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// maxBody is how much of an answer is read at most, in bytes.
const maxBody = 1 << 30

// Options say where the server is and who calls.
type Options struct {
	// URL is the server's, such as http://127.0.0.1:2900.
	URL string
	// User and Password are exchanged for a token, again when it expires.
	User, Password string
	// Token is used instead if User is "".
	Token string
	// Namespace is where unqualified names are looked up; "" is default.
	Namespace string
	// HTTP makes the requests; nil is a client of its own. WebSockets do not
	// use it.
	HTTP *http.Client
}

// Client runs statements for one account. It may be used by many goroutines.
type Client struct {
	o    Options
	base *url.URL
	mu   struct {
		sync.Mutex
		token string
	}
}

// New returns a client. It does not connect.
func New(o Options) (*Client, error) {
	base, err := url.Parse(o.URL)
	if err != nil {
		return nil, fmt.Errorf("parse server URL %q: %w", o.URL, err)
	}
	if base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("server URL %q must begin with http:// or https:// and name a host", o.URL)
	}
	if o.HTTP == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.MaxIdleConnsPerHost = 64
		o.HTTP = &http.Client{Transport: transport}
	}
	c := &Client{o: o, base: base}
	if o.User == "" {
		c.mu.token = o.Token
	}
	return c, nil
}

// Close closes idle connections. Requests that run are not disturbed, and the
// client may go on being used.
func (c *Client) Close() { c.o.HTTP.CloseIdleConnections() }

// Error is what the server refused, or how it failed.
type Error struct {
	Status  int    // HTTP status, 0 over WebSocket
	Code    string // such as SQL_EXECUTION_ERROR
	Message string
	Details string // only for administrators
}

// Error returns the code and the message.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Temporary reports whether the same request may succeed later: the server was
// busy, stopping, or had enough of this caller for now; or another commit came
// before that of a transaction, of which nothing was written.
func (e *Error) Temporary() bool {
	switch e.Code {
	case codeRateLimit, codeConflict, "SERVER_BUSY", "SHUTTING_DOWN":
		return true
	}
	return e.Status == http.StatusTooManyRequests || e.Status >= http.StatusInternalServerError
}

const sqlPath = "/v1/api/sql"

// Codes that the client acts on.
const (
	codeRateLimit         = "RATE_LIMIT_EXCEEDED"
	codeSubscriptionLimit = "SUBSCRIPTION_LIMIT_EXCEEDED"
	codeCredentials       = "INVALID_CREDENTIALS"
	codeInternal          = "INTERNAL_ERROR"
	codeConflict          = "CONFLICT"
)

// Column is one column of a result.
type Column struct {
	Name  string          `json:"name"`
	Type  json.RawMessage `json:"data_type"`
	Index int             `json:"index"`
	Flags []string        `json:"flags"`
}

// Result is what one statement answered.
type Result struct {
	Columns []Column            `json:"schema"`
	Rows    [][]json.RawMessage `json:"rows"`
	Count   int64               `json:"row_count"`
	Message string              `json:"message"`
	AsUser  string              `json:"as_user"`
}

// Response is what a request answered.
type Response struct {
	Results []Result
	Took    time.Duration
}

// Query runs one or more statements. params are $1, $2, … and need exactly one
// statement; they may be nil, bool, integers, floats and strings. A refusal is
// an *Error. When the server does not take the token any more, and Options name
// a user, the client logs in and tries once more.
func (c *Client) Query(ctx context.Context, sql string, params ...any) (*Response, error) {
	body, err := json.Marshal(struct {
		SQL       string `json:"sql"`
		Params    []any  `json:"params,omitempty"`
		Namespace string `json:"namespace_id,omitempty"`
	}{sql, params, c.o.Namespace})
	if err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	token, err := c.Token(ctx)
	if err != nil {
		return nil, err
	}
	response, err := c.post(ctx, token, body)
	var refused *Error
	if errors.As(err, &refused) && refused.Status == http.StatusUnauthorized && c.o.User != "" {
		c.forget(token)
		if token, err = c.Token(ctx); err != nil {
			return nil, err
		}
		return c.post(ctx, token, body)
	}
	return response, err
}

// envelope is the answer to SQL.
type envelope struct {
	Status  string   `json:"status"`
	Results []Result `json:"results"`
	Took    float64  `json:"took"`
	Error   *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Details string `json:"details"`
	} `json:"error"`
}

func (c *Client) post(ctx context.Context, token string, body []byte) (*Response, error) {
	var answer envelope
	status, err := c.send(ctx, http.MethodPost, sqlPath, token, "application/json", bytes.NewReader(body), &answer)
	if err != nil {
		return nil, err
	}
	return answer.response(status)
}

func (answer *envelope) response(status int) (*Response, error) {
	if answer.Status != "success" {
		e := &Error{Status: status, Code: codeInternal, Message: http.StatusText(status)}
		if answer.Error != nil {
			e.Code, e.Message, e.Details = answer.Error.Code, answer.Error.Message, answer.Error.Details
		}
		return nil, e
	}
	return &Response{Results: answer.Results, Took: time.Duration(answer.Took * float64(time.Millisecond))}, nil
}

// send makes a request and decodes a JSON answer of any status.
func (c *Client) send(ctx context.Context, method, path, token, contentType string, body io.Reader, answer any) (int, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.base.JoinPath(path).String(), body)
	if err != nil {
		return 0, fmt.Errorf("make request: %w", err)
	}
	request.Header.Set("Content-Type", contentType)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := c.o.HTTP.Do(request)
	if err != nil {
		return 0, fmt.Errorf("reach the server: %w", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil {
		return response.StatusCode, fmt.Errorf("read the answer: %w", err)
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return response.StatusCode, fmt.Errorf("the server answered %s with %q: %w", response.Status, shorten(text), err)
	}
	return response.StatusCode, nil
}

func shorten(text []byte) string {
	if len(text) > 200 {
		text = text[:200]
	}
	return string(text)
}

// Token returns the token in force, logging in if there is none and Options
// name a user.
func (c *Client) Token(ctx context.Context) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.token != "" || c.o.User == "" {
		return c.mu.token, nil
	}
	body, err := json.Marshal(map[string]string{"user": c.o.User, "password": c.o.Password})
	if err != nil {
		return "", fmt.Errorf("encode login: %w", err)
	}
	var answer struct {
		AccessToken string `json:"access_token"`
		Error       string `json:"error"`
		Message     string `json:"message"`
	}
	status, err := c.send(ctx, http.MethodPost, "/v1/api/auth/login", "", "application/json", bytes.NewReader(body), &answer)
	if err != nil {
		return "", err
	}
	if answer.AccessToken == "" {
		return "", &Error{Status: status, Code: strings.ToUpper(answer.Error), Message: answer.Message}
	}
	c.mu.token = answer.AccessToken
	return c.mu.token, nil
}

// forget drops a token that the server no longer takes.
func (c *Client) forget(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.token == token {
		c.mu.token = ""
	}
}
