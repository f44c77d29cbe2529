package target

import (
	"bytes"
	"fmt"
	"strconv"

	"kalamdb/bench/load"
)

// kalam says operations in SQL over HTTP, with the values in the text unless the
// verb asks for parameters.
type kalam struct {
	head, table string
	want        []byte // scratch: what a row must look like
}

func newKalam(job load.Job) *kalam {
	return &kalam{head: head("POST", "/v1/api/sql", job.Addr, job.Token), table: job.Table}
}

// Append implements load.Dialect.
func (k *kalam) Append(buf []byte, verb load.Verb, key, n int64) []byte {
	return appendRequest(buf, k.head, func(b []byte) []byte {
		return append(k.statement(append(b, `{"sql":"`...), verb, key, n), '}')
	})
}

// statement appends the text of a statement, its closing quote and the
// parameters, if any.
func (k *kalam) statement(b []byte, verb load.Verb, key, n int64) []byte {
	switch verb {
	case load.Insert:
		b = append(k.insert(b), " VALUES "...)
		b = appendRow(b, key)
	case load.InsertRows:
		b = append(k.insert(b), " VALUES "...)
		for i := range int64(load.RowsPerInsert) {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = appendRow(b, key+i)
		}
	case load.InsertTransaction:
		b = append(b, "BEGIN; "...)
		for i := range int64(load.RowsPerInsert) {
			b = append(k.insert(b), " VALUES "...)
			b = append(appendRow(b, key+i), "; "...)
		}
		b = append(b, "COMMIT"...)
	case load.InsertParams:
		b = append(k.insert(b), ` VALUES ($1, $2, $3)","params":[`...)
		b = append(strconv.AppendInt(b, key, 10), `,"`...)
		b = append(load.AppendText(b, key), `",`...)
		return append(strconv.AppendInt(b, n, 10), ']')
	case load.Select:
		b = append(append(append(b, "SELECT id, v, n FROM "...), k.table...), " WHERE id = "...)
		b = strconv.AppendInt(b, key, 10)
	case load.SelectParams:
		b = append(append(append(b, "SELECT id, v, n FROM "...), k.table...), ` WHERE id = $1","params":[`...)
		return append(strconv.AppendInt(b, key, 10), ']')
	case load.Update:
		b = append(append(append(b, "UPDATE "...), k.table...), " SET n = "...)
		b = append(strconv.AppendInt(b, n, 10), " WHERE id = "...)
		b = strconv.AppendInt(b, key, 10)
	case load.Delete:
		b = append(append(append(b, "DELETE FROM "...), k.table...), " WHERE id = "...)
		b = strconv.AppendInt(b, key, 10)
	case load.Aggregate:
		b = append(append(b, "SELECT COUNT(*), SUM(n) FROM "...), k.table...)
	}
	return append(b, '"')
}

func (k *kalam) insert(b []byte) []byte {
	return append(append(append(b, "INSERT INTO "...), k.table...), " (id, v, n)"...)
}

func appendRow(b []byte, key int64) []byte {
	b = append(strconv.AppendInt(append(b, '('), key, 10), ", '"...)
	b = append(load.AppendText(b, key), "', "...)
	return append(strconv.AppendInt(b, load.Number(key), 10), ')')
}

var (
	success  = []byte(`{"status":"success"`)
	oneRow   = []byte(`"row_count":1,`)
	manyRows = fmt.Appendf(nil, `"row_count":%d,`, load.RowsPerInsert)
)

// Check implements load.Dialect.
func (k *kalam) Check(verb load.Verb, key, n int64, status int, body []byte) error {
	if !bytes.HasPrefix(body, success) {
		return fmt.Errorf("status %d: %.300q", status, body)
	}
	switch verb {
	case load.Insert, load.InsertParams, load.Update, load.Delete:
		return expect(status, 200, body, oneRow)
	case load.InsertRows, load.InsertTransaction:
		return expect(status, 200, body, manyRows)
	case load.Select, load.SelectParams:
		w := append(strconv.AppendInt(append(k.want[:0], `"rows":[["`...), key, 10), `","`...)
		w = append(load.AppendText(w, key), `",`...)
		w = append(strconv.AppendInt(w, n, 10), `]],"row_count":1,`...)
		k.want = w
		return expect(status, 200, body, w)
	case load.Aggregate:
		sum := int64(0)
		for i := range n {
			sum += load.Number(key + i)
		}
		return expect(status, 200, body, fmt.Appendf(nil, `"rows":[["%d","%d"]]`, n, sum))
	}
	return errUnknownVerb
}
