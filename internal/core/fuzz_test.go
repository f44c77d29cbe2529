package core_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"kalamdb/internal/auth"
	"kalamdb/internal/core"
	"kalamdb/internal/datum"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/testkit"
)

// hidden stands in rows that nobody but their owner may see.
const hidden = "Zq7hidden"

// fuzzDB is a database with rows of bob, of everybody and of nobody else.
func fuzzDB(f *testing.F) *testkit.Database {
	f.Helper()
	db, err := testkit.Open(disk.NewMem(), testkit.NewClock(), func(o *core.Options) { o.Limits.StatementTime = 5 * time.Second })
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = db.Close() })
	do := func(s *auth.Session, sql string) {
		if _, err := run(db, s, sql); err != nil {
			f.Fatalf("%s: %v", sql, err)
		}
	}
	do(root, `CREATE NAMESPACE app; CREATE USER 'bob' WITH PASSWORD 'correct horse' ROLE user; CREATE USER 'alice' WITH PASSWORD 'correct horse' ROLE user;
		CREATE TABLE app.n (id BIGINT PRIMARY KEY, v TEXT, j JSON, d DECIMAL(10,2), at TIMESTAMP) WITH (TYPE='USER');
		CREATE TABLE app.s (id BIGINT PRIMARY KEY DEFAULT SNOWFLAKE_ID(), v TEXT) WITH (TYPE='SHARED', ACCESS_LEVEL='PUBLIC');
		CREATE TABLE app.p (id BIGINT PRIMARY KEY, v TEXT) WITH (TYPE='SHARED', ACCESS_LEVEL='PRIVATE');
		CREATE TABLE app.e (id BIGINT PRIMARY KEY, v TEXT) WITH (TYPE='STREAM', TTL_SECONDS=3600)`)
	do(root, "INSERT INTO app.p VALUES (1, '"+hidden+"'); INSERT INTO app.s VALUES (1, 'a'), (2, NULL)")
	do(session("bob", schema.RoleUser), "INSERT INTO app.n VALUES (1, '"+hidden+"', '{\"k\":\""+hidden+"\"}', 1.5, '2026-01-01'); INSERT INTO app.e VALUES (1, '"+hidden+"')")
	do(session("alice", schema.RoleUser), "INSERT INTO app.n VALUES (1, 'mine', '[1,2]', 0, NULL), (2, 'x', NULL, -1.25, '2026-01-01 10:00:00')")
	if _, err := db.Flush(context.Background(), "app", "n"); err != nil {
		f.Fatal(err)
	}
	do(session("alice", schema.RoleUser), "INSERT INTO app.n VALUES (3, 'hot', '{}', 7, NULL)")
	return db
}

// FuzzExecute runs any statement as a user who may do little, and as root over
// another database. Every refusal has a code that callers may see, and no row
// of somebody else is shown to the user.
func FuzzExecute(f *testing.F) {
	db, open := fuzzDB(f), fuzzDB(f)
	for _, sql := range []string{
		"SELECT * FROM app.n WHERE id > $1 ORDER BY v DESC LIMIT 2", "SELECT count(*), max(v) FROM app.n GROUP BY id HAVING count(*) > 0",
		"SELECT j->'k', j->>0, upper(v) FROM app.n", "INSERT INTO app.n (id, v) VALUES (9, 'y') ON CONFLICT (id) DO UPDATE SET v = excluded.v",
		"UPDATE app.n SET v = v || '!' WHERE id IN (1, 2)", "DELETE FROM app.n WHERE id = 9", "SELECT * FROM app.p", "SELECT * FROM app.e", "SHOW TABLES",
		"EXECUTE AS USER 'bob' (SELECT * FROM app.n)", "SELECT * FROM system.tables", "SELECT * FROM information_schema.columns", "SHOW STATS FOR TABLE app.n",
		"CREATE TABLE app.x (id INT PRIMARY KEY, e EMBEDDING(2)) WITH (TYPE='USER')", "ALTER TABLE app.s ADD COLUMN c INT DEFAULT 5", "DROP TABLE IF EXISTS app.x",
		"STORAGE FLUSH TABLE app.n", "DESCRIBE TABLE app.n", "EXPLAIN SELECT 1", "SELECT CASE WHEN v LIKE 'm%' THEN 1 ELSE 2 END, CAST(d AS TEXT), EXTRACT(year FROM at) FROM app.n",
		"SELECT DISTINCT ON (v) * FROM app.s; SELECT 1", "SUBSCRIBE TO app.n WHERE id = 1", "CREATE USER 'x' WITH PASSWORD 'correct horse' ROLE user", "SELECT v FROM app.n AS OF TIMESTAMP '2026-05-04'",
	} {
		f.Add(sql, "x", int64(1))
	}
	f.Fuzz(func(t *testing.T, sql, text string, n int64) {
		params := []datum.Value{datum.NewInt(datum.BigInt, n), datum.NewText(text)}
		if !strings.Contains(sql, "$1") {
			params = nil
		}
		typed := strings.Contains(sql+text, hidden) // he knows it already
		attempt(t, db, session("alice", schema.RoleUser), sql, params, typed)
		attempt(t, open, root, sql, params, true)
	})
}

// attempt runs a request and reads its rows.
func attempt(t *testing.T, db *testkit.Database, s *auth.Session, sql string, params []datum.Value, may bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	refused := func(err error) {
		t.Helper()
		if code := fault.CodeOf(err); code == fault.Internal || !may && strings.Contains(err.Error(), hidden) {
			t.Fatalf("%q as %s: %s %v", sql, s.UserID, code, err)
		}
	}
	results, err := db.Execute(ctx, s, core.Request{SQL: sql, Params: params, Namespace: "app"})
	if err != nil {
		refused(err)
		return
	}
	for _, r := range results {
		defer r.Close()
	}
	for _, r := range results {
		for {
			rows, err := r.Next(ctx)
			if err != nil {
				refused(err)
				break
			}
			if len(rows) == 0 {
				break
			}
			for _, row := range rows {
				for _, v := range row {
					if !may && strings.Contains(v.String(), hidden) {
						t.Fatalf("%q shows %s to %s", sql, v, s.UserID)
					}
				}
			}
		}
	}
}
