package core_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"kalamdb/internal/core"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/testkit"
)

// rowsOf runs a SELECT and returns its rows as text.
func rowsOf(t testing.TB, db *testkit.Database, user, sql string) []string {
	t.Helper()
	s := session(user, schema.RoleUser)
	if user == "root" {
		s = root
	}
	results, err := db.Execute(t.Context(), s, core.Request{SQL: sql})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	defer results[0].Close()
	var out []string
	for {
		rows, err := results[0].Next(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		if rows == nil {
			return out
		}
		for _, row := range rows {
			cells := make([]string, len(row))
			for i, v := range row {
				cells[i] = v.String()
			}
			out = append(out, strings.Join(cells, " "))
		}
	}
}

// TestRunaway: statements without an end are ended by the statement's time or by
// memory, and others go on.
func TestRunaway(t *testing.T) {
	db := openDB(t, func(o *core.Options) {
		o.Limits.StatementTime = 500 * time.Millisecond
		o.Analytics.Memory, o.Analytics.TempBytes = 64<<20, 64<<20
	})
	mustRun(t, db, root, "CREATE NAMESPACE r; CREATE SHARED TABLE r.t (id BIGINT PRIMARY KEY); INSERT INTO r.t VALUES (1)")
	for _, sql := range []string{
		"SELECT count(*) FROM generate_series(1, 100000000) a, generate_series(1, 1000000) b",
		"WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n FROM x) SELECT count(*) FROM x",
		"SELECT a FROM generate_series(1, 1000000000) AS g(a) ORDER BY a DESC",
		"SELECT string_agg(repeat('x', 1000), ',') FROM generate_series(1, 1000000000)",
	} {
		begin := time.Now()
		_, err := runAll(t, db, sql)
		if !fault.Is(err, fault.Timeout) && !fault.Is(err, fault.LimitExceeded) {
			t.Errorf("%s: %v", sql, err)
		}
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("%s took %s", sql, took)
		}
		if got := rowsOf(t, db, "root", "SELECT id FROM r.t WHERE id = 1"); len(got) != 1 {
			t.Errorf("after %s: %v", sql, got)
		}
	}
}

func runAll(t *testing.T, db *testkit.Database, sql string) (int, error) {
	results, err := db.Execute(t.Context(), root, core.Request{SQL: sql})
	if err != nil {
		return 0, err
	}
	defer results[0].Close()
	n := 0
	for {
		rows, err := results[0].Next(t.Context())
		if err != nil || rows == nil {
			return n, err
		}
		n += len(rows)
	}
}

// TestCallerGivesUp: the end of the caller's context ends the statement.
func TestCallerGivesUp(t *testing.T) {
	db := openDB(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	results, err := db.Execute(ctx, root, core.Request{SQL: "SELECT count(*) FROM generate_series(1, 100000000) a, generate_series(1, 1000000) b"})
	if err == nil {
		_, err = results[0].Next(ctx)
		results[0].Close()
	}
	if !fault.Is(err, fault.Cancelled) && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestAnalyticLimits: rows and bytes of a result are bounded on both paths.
func TestAnalyticLimits(t *testing.T) {
	db := openDB(t, func(o *core.Options) {
		o.Limits.DefaultQueryLimit, o.Limits.MaxQueryLimit, o.Limits.MaxResultBytes = 10, 20, 1<<20
	})
	f := func(sql string, want int) {
		t.Helper()
		if n, err := runAll(t, db, sql); n != want || err != nil {
			t.Errorf("%s: %d rows, %v; want %d", sql, n, err, want)
		}
	}
	f("SELECT * FROM generate_series(1, 1000)", 10)
	f("SELECT * FROM generate_series(1, 1000) LIMIT 15", 15)
	f("SELECT * FROM generate_series(1, 1000) LIMIT 100", 20)
	db = openDB(t, func(o *core.Options) { o.Limits.MaxResultBytes = 1 << 20 })
	if _, err := runAll(t, db, "SELECT repeat('x', 1000) FROM generate_series(1, 100000)"); !fault.Is(err, fault.LimitExceeded) {
		t.Errorf("a large result: %v", err)
	}
}

// TestTogether runs analytic statements of several users at once: nobody meets
// the rows of another.
func TestTogether(t *testing.T) {
	db := openDB(t, nil)
	mustRun(t, db, root, "CREATE NAMESPACE c; CREATE USER TABLE c.t (id BIGINT PRIMARY KEY, who TEXT)")
	users := []string{"ann", "bob", "cid", "dan"}
	for i, u := range users {
		for id := range i + 2 {
			mustRun(t, db, session(u, schema.RoleUser), fmt.Sprintf("INSERT INTO c.t VALUES (%d, '%s')", id, u))
		}
	}
	var wait sync.WaitGroup
	for i, u := range users {
		wait.Go(func() {
			want := fmt.Sprintf("%s %d", u, (i+2)*(i+2))
			for range 25 {
				got := rowsOf(t, db, u, "SELECT a.who, count(*) FROM c.t a, c.t b WHERE a.who = b.who OR a.who <> b.who GROUP BY a.who")
				if len(got) != 1 || got[0] != want {
					t.Errorf("%s: %v, want %s", u, got, want)
					return
				}
			}
		})
	}
	wait.Wait()
}

// TestLargeGrouping: a grouping that calculates over many rows is left to
// DuckDB, and answers the same.
func TestLargeGrouping(t *testing.T) {
	db := openDB(t, nil)
	mustRun(t, db, root, "CREATE NAMESPACE g; CREATE SHARED TABLE g.t (id BIGINT PRIMARY KEY, n INT)")
	explained := func() string {
		return strings.Join(rowsOf(t, db, "root", "EXPLAIN SELECT n % 3, sum(id * 2) FROM g.t GROUP BY n % 3"), "\n")
	}
	mustRun(t, db, root, "INSERT INTO g.t VALUES (0, 0)")
	if text := explained(); !strings.HasPrefix(text, "path row path") {
		t.Error(text)
	}
	for from := 1; from <= 20_000; from += 5000 {
		values := make([]string, 5000)
		for i := range values {
			values[i] = fmt.Sprintf("(%d, %d)", from+i, (from+i)%7)
		}
		mustRun(t, db, root, "INSERT INTO g.t VALUES "+strings.Join(values, ", "))
	}
	if text := explained(); !strings.HasPrefix(text, "path analytic path: a grouping that calculates") {
		t.Error(text)
	}
	got := rowsOf(t, db, "root", "SELECT n % 3, count(*), sum(id * 2) FROM g.t GROUP BY n % 3 ORDER BY 1")
	count, sum := [3]int{}, [3]int{}
	for id := range 20_001 {
		count[id%7%3]++
		sum[id%7%3] += id * 2
	}
	for i, row := range got {
		if want := fmt.Sprintf("%d %d %d", i, count[i], sum[i]); row != want {
			t.Errorf("%s, want %s", row, want)
		}
	}
	if len(got) != 3 {
		t.Error(got)
	}
}
