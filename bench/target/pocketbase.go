package target

import (
	"fmt"
	"strconv"

	"kalamdb/bench/load"
)

// pocketID is the width of a record's id in PocketBase.
const pocketID = 15

// pocket says operations over the REST interface of PocketBase. A row is a
// record of a collection whose rules let everybody in; its id is the key with
// leading zeros.
type pocket struct {
	records string // path of the records
	host    string
	body    []byte // scratch
	want    []byte // scratch: what a record must look like
}

func newPocket(job load.Job) *pocket {
	return &pocket{records: "/api/collections/" + job.Table + "/records", host: job.Addr}
}

// Append implements load.Dialect.
func (p *pocket) Append(buf []byte, verb load.Verb, key, n int64) []byte {
	method, one := "", true
	p.body = p.body[:0]
	switch verb {
	case load.Insert:
		method, one = "POST", false
		b := appendID(append(p.body, `{"id":"`...), key)
		b = load.AppendText(append(b, `","v":"`...), key)
		b = strconv.AppendInt(append(b, `","n":`...), n, 10)
		p.body = append(b, '}')
	case load.Select:
		method = "GET"
	case load.Update:
		method = "PATCH"
		p.body = append(strconv.AppendInt(append(p.body, `{"n":`...), n, 10), '}')
	case load.Delete:
		method = "DELETE"
	case load.Aggregate: // it has no sum
		return p.finish(append(append(append(buf, "GET "...), p.records...), "?perPage=1&fields=id"...))
	}
	buf = append(append(append(buf, method...), ' '), p.records...)
	if one {
		buf = appendID(append(buf, '/'), key)
	}
	return p.finish(buf)
}

// finish appends what follows the path.
func (p *pocket) finish(buf []byte) []byte {
	buf = append(append(buf, " HTTP/1.1\r\nHost: "...), p.host...)
	if len(p.body) > 0 {
		buf = append(buf, "\r\nContent-Type: application/json\r\nContent-Length: "...)
		buf = strconv.AppendInt(buf, int64(len(p.body)), 10)
	}
	buf = append(buf, "\r\n\r\n"...)
	return append(buf, p.body...)
}

func appendID(b []byte, key int64) []byte {
	digits := strconv.FormatInt(key, 10)
	for range pocketID - len(digits) {
		b = append(b, '0')
	}
	return append(b, digits...)
}

// Check implements load.Dialect. The record is answered to all but Delete.
func (p *pocket) Check(verb load.Verb, key, n int64, status int, body []byte) error {
	switch verb {
	case load.Insert, load.Select, load.Update:
		w := appendID(append(p.want[:0], `"id":"`...), key)
		w = strconv.AppendInt(append(w, `","n":`...), n, 10)
		w = load.AppendText(append(w, `,"v":"`...), key)
		p.want = append(w, `"}`...)
		return expect(status, 200, body, p.want)
	case load.Delete:
		if status != 204 || len(body) != 0 {
			return fmt.Errorf("status %d, want 204 without a body: %.300q", status, body)
		}
		return nil
	case load.Aggregate:
		return expect(status, 200, body, fmt.Appendf(nil, `"totalItems":%d,`, n))
	}
	return errUnknownVerb
}
