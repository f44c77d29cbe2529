package api

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

// TestLongAnswers: an error within the first 64 KiB has a status of its own; a
// later one, and an answer beyond its bound, end the connection so that the
// body cannot be taken for a whole one.
func TestLongAnswers(t *testing.T) {
	e := serve(t, func(o *Options) { o.MaxResultBytes = 400_000 })
	run := func(sql string) (status int, body string, err error) {
		t.Helper()
		r, err := http.NewRequest("POST", e.url+"/v1/api/sql", strings.NewReader(fmt.Sprintf(`{"sql":%q}`, sql)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token(t, "root", "system", nil))
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		return answer.StatusCode, string(text), err
	}
	must := func(sql string) {
		t.Helper()
		if status, text, err := run(sql); status != fasthttp.StatusOK || err != nil {
			t.Fatalf("%.60s: %d %.300s %v", sql, status, text, err)
		}
	}
	must("CREATE NAMESPACE app; CREATE SHARED TABLE app.t (id INT PRIMARY KEY, v TEXT)")
	for i := range 40 { // 400,000 characters in all
		values := make([]string, 50)
		for j := range values {
			values[j] = fmt.Sprintf("(%d, '%s')", i*50+j, strings.Repeat("x", 200))
		}
		must("INSERT INTO app.t VALUES " + strings.Join(values, ", "))
	}
	f := func(sql string, wantStatus int, wantErr bool, words string) {
		t.Helper()
		status, text, err := run(sql)
		if status != wantStatus || (err != nil) != wantErr || !strings.Contains(text, words) {
			t.Errorf("%s: %d, %d bytes, %v; want %d", sql, status, len(text), err, wantStatus)
		}
		if wantErr && strings.HasSuffix(text, "}") {
			t.Errorf("%s: a cut answer ends like a whole one", sql)
		}
	}
	f("SELECT id, v FROM app.t WHERE id < 1000 ORDER BY id", 200, false, `"row_count":1000`)
	f("SELECT id, 1 / (id - 5) FROM app.t ORDER BY id", 400, false, "division by zero")
	f("SELECT id, SUBSTR(v, 1, 100), 1 / (id - 1900) FROM app.t", 200, true, `"success"`)
	f("SELECT id, v FROM app.t", 200, true, `"success"`)
}
