package target

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"kalamdb/bench/load"
)

var verbs = []load.Verb{load.Insert, load.InsertParams, load.InsertRows, load.InsertTransaction, load.Select, load.SelectParams, load.Update, load.Delete, load.Aggregate}

// TestRequests: each verb is a whole request with a body of JSON, and as long
// for every key.
func TestRequests(t *testing.T) {
	d, err := New(load.Job{Target: KalamDB, Addr: "127.0.0.1:1", Token: "t", Table: "bench.x"})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range verbs {
		length := 0
		for _, key := range []int64{load.FirstKey, load.FirstKey + 12345, 4_999_999_900} {
			text := d.Append(nil, v, key, load.Number(key))
			r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(text)))
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			body, err := io.ReadAll(r.Body)
			if err != nil || !json.Valid(body) || int64(len(body)) != r.ContentLength || r.Header.Get("Authorization") != "Bearer t" {
				t.Errorf("%s: %v", text, err)
			}
			if length == 0 {
				length = len(text)
			}
			if len(text) != length {
				t.Errorf("%s: %d bytes for key %d, %d for the first", v, len(text), key, length)
			}
		}
	}
}

// TestJudgement: a dialect accepts the answer of a server that has done what
// was asked, and no other.
func TestJudgement(t *testing.T) {
	d, err := New(load.Job{Target: KalamDB, Addr: "127.0.0.1:1", Table: "bench.x"})
	if err != nil {
		t.Fatal(err)
	}
	const key = load.FirstKey + 7
	n := load.Number(key)
	change := func(rows int) string {
		return fmt.Sprintf(`{"status":"success","results":[{"row_count":%d,"message":"x","as_user":"root"}],"took":0.1}`, rows)
	}
	row := func(key, n int64) string {
		return fmt.Sprintf(`{"status":"success","results":[{"schema":[],"rows":[["%d","%s",%d]],"row_count":1,"as_user":"root"}],"took":0.1,"error":null}`, key, load.AppendText(nil, key), n)
	}
	f := func(v load.Verb, status int, body string, ok bool) {
		t.Helper()
		if err := d.Check(v, key, n, status, []byte(body)); (err == nil) != ok {
			t.Errorf("%s, %d %s: %v", v, status, body, err)
		}
	}
	for _, v := range []load.Verb{load.Insert, load.InsertParams, load.Update, load.Delete} {
		f(v, 200, change(1), true)
		f(v, 200, change(0), false)
		f(v, 200, change(10), false)
		f(v, 503, change(1), false)
		f(v, 200, strings.Replace(change(1), "success", "error", 1), false)
		f(v, 200, "", false)
	}
	f(load.InsertRows, 200, change(load.RowsPerInsert), true)
	f(load.InsertRows, 200, change(load.RowsPerInsert-1), false)
	for _, v := range []load.Verb{load.Select, load.SelectParams} {
		f(v, 200, row(key, n), true)
		f(v, 200, row(key+1, n), false)
		f(v, 200, row(key, n+1), false)
		f(v, 200, change(1), false)
	}
	sum := func(count, sum int64) string {
		return fmt.Sprintf(`{"status":"success","results":[{"rows":[["%d","%d"]],"row_count":1}]}`, count, sum)
	}
	if err := d.Check(load.Aggregate, key, 2, 200, []byte(sum(2, load.Number(key)+load.Number(key+1)))); err != nil {
		t.Error(err)
	}
	if err := d.Check(load.Aggregate, key, 2, 200, []byte(sum(2, 1))); err == nil {
		t.Error("a wrong sum is accepted")
	}
	if err := d.Check("x", key, n, 200, []byte(change(1))); err == nil {
		t.Error("an unknown verb is accepted")
	}
}

func TestUnknownTarget(t *testing.T) {
	if _, err := New(load.Job{Target: "x"}); err == nil {
		t.Error("a target without a dialect is accepted")
	}
}
