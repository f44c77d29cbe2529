package api

import (
	"fmt"
	"strings"
	"testing"

	"kalamdb/internal/core"
	"kalamdb/internal/disk"
	"kalamdb/internal/testkit"
)

// openOn opens a database on a disk.
func openOn(t testing.TB, mem *disk.Mem) (*core.DB, *core.DB) {
	t.Helper()
	return openWith(t, mem, nil)
}

// openWith is openOn with options.
func openWith(t testing.TB, mem *disk.Mem, change func(*core.Options)) (*core.DB, *core.DB) {
	t.Helper()
	db, err := testkit.Open(mem, testkit.NewClock(), change)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db.DB, db.DB
}

// longQuery returns the rows that fill has written.
const longQuery = "SELECT * FROM app.long"

// fill writes n rows whose answer is much longer than what sockets buffer.
func fill(t *testing.T, e *edge, n int) {
	t.Helper()
	sql := func(text string) {
		t.Helper()
		if status, answer := e.post(t, strings.NewReader(`{"sql":"`+text+`"}`)); status != 200 {
			t.Fatalf("%.80s: %d %s", text, status, answer)
		}
	}
	sql("CREATE NAMESPACE app; CREATE SHARED TABLE app.long (id BIGINT PRIMARY KEY, body TEXT)")
	body := strings.Repeat("x", 2000)
	for from := 0; from < n; from += 400 {
		rows := make([]string, 400)
		for i := range rows {
			rows[i] = fmt.Sprintf("(%d, '%s')", from+i, body)
		}
		sql("INSERT INTO app.long VALUES " + strings.Join(rows, ", "))
	}
}
