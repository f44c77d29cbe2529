package target

import (
	"bytes"
	"fmt"

	"kalamdb/bench/ceiling"
	"kalamdb/bench/load"
)

// echo sends requests of the size that another target's have, and expects
// answers of that target's size.
type echo struct {
	preamble ceiling.Preamble
	request  []byte
	body     []byte
}

func newEcho(job load.Job) (*echo, error) {
	answer, err := ceiling.Answer(job.ResponseBytes)
	if err != nil {
		return nil, err
	}
	if job.RequestBytes < 1 {
		return nil, fmt.Errorf("a ceiling cannot ask with %d bytes", job.RequestBytes)
	}
	_, body, _ := bytes.Cut(answer, []byte("\r\n\r\n"))
	return &echo{
		preamble: ceiling.Preamble{Request: uint32(job.RequestBytes), Response: uint32(job.ResponseBytes), Kept: uint32(min(job.KeptBytes, job.RequestBytes))},
		request:  bytes.Repeat([]byte("q"), job.RequestBytes),
		body:     body,
	}, nil
}

// Open implements load.Opener.
func (e *echo) Open(buf []byte) []byte { return e.preamble.Append(buf) }

// Append implements load.Dialect.
func (e *echo) Append(buf []byte, _ load.Verb, _, _ int64) []byte { return append(buf, e.request...) }

// Check implements load.Dialect.
func (e *echo) Check(_ load.Verb, _, _ int64, status int, body []byte) error {
	if status != 200 || !bytes.Equal(body, e.body) {
		return fmt.Errorf("echo answered %d %.80q", status, body)
	}
	return nil
}

// empty posts as many bytes to a handler that answers {}.
type empty struct {
	head string
	body []byte
}

func newEmpty(job load.Job) *empty {
	h := head("POST", "/", job.Addr, "")
	return &empty{head: h, body: bytes.Repeat([]byte("q"), max(job.RequestBytes-len(h)-lengthDigits-4, 0))}
}

// Append implements load.Dialect.
func (e *empty) Append(buf []byte, _ load.Verb, _, _ int64) []byte {
	return appendRequest(buf, e.head, func(b []byte) []byte { return append(b, e.body...) })
}

// Check implements load.Dialect.
func (e *empty) Check(_ load.Verb, _, _ int64, status int, body []byte) error {
	return expect(status, 200, body, []byte("{}"))
}
