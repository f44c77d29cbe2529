package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"kalamdb/internal/config"
)

// mib is the longest SQL text.
const mib = 1 << 20

// hostile is a request that must be refused, or survived.
type hostile struct {
	name   string
	as     string   // the caller; "" is root
	sql    string   // the statement, or
	body   string   // the whole body
	params []any    // of sql
	header []string // names and values besides the usual ones
	status int
	code   string   // of the error; "" when the request succeeds
	words  []string // that the message contains
	secret []string // that the answer must not contain
}

func (h *hostile) bytes(t *testing.T) []byte {
	t.Helper()
	if h.sql == "" && h.params == nil {
		return []byte(h.body)
	}
	body := map[string]any{"sql": h.sql}
	if h.params != nil {
		body["params"] = h.params
	}
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// run sends a request and holds the answer against what is promised; then the
// server must be as before.
func (x *target) run(t *testing.T, h *hostile) {
	t.Helper()
	if h.as == "" {
		h.as = "root"
	}
	e := x.post(t, "Bearer "+token(h.as), h.bytes(t), h.header...)
	code, message := "", ""
	if e.Error != nil {
		code, message = e.Error.Code, e.Error.Message
	}
	if e.status != h.status || code != h.code {
		t.Errorf("%d %s %.300q, want %d %s", e.status, code, message, h.status, h.code)
	}
	for _, w := range h.words {
		if !strings.Contains(message, w) {
			t.Errorf("message %.300q lacks %q", message, w)
		}
	}
	for _, w := range h.secret {
		if strings.Contains(e.String(), w) {
			t.Errorf("answer %.300s tells %q", e, w)
		}
	}
	admin := roles[h.as] == "system" || roles[h.as] == "dba"
	if e.Error != nil && e.Error.Details != nil && !admin {
		t.Errorf("%s reads details %.200q", h.as, *e.Error.Details)
	}
	x.unharmed(t)
}

// TestHostileSQL sends statements that no honest client sends.
func TestHostileSQL(t *testing.T) {
	x := newTarget(t, nil)
	for _, list := range [][]hostile{malformedSQL(), deepSQL(), wideSQL(), wrongValues(), wrongNames(), wrongRights()} {
		for _, h := range list {
			t.Run(h.name, func(t *testing.T) { x.run(t, &h) })
		}
	}
	x.bounded(t)
}

// bounded reports memory and goroutines that bad input has left behind.
func (x *target) bounded(t *testing.T) {
	t.Helper()
	answer, err := x.client.Get(x.url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || !strings.Contains(string(page), "\nkalamdb_sort_memory_bytes 0\n") {
		t.Errorf("sorts that have ended keep memory, %v", err)
	}
	x.client.CloseIdleConnections()
	deadline := time.Now().Add(10 * time.Second)
	var m runtime.MemStats
	for {
		runtime.GC()
		runtime.ReadMemStats(&m)
		if m.HeapAlloc < 128<<20 && runtime.NumGoroutine() < 200 {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%d MiB of heap and %d goroutines are left", m.HeapAlloc>>20, runtime.NumGoroutine())
			return
		}
	}
}

const (
	invalid   = "INVALID_SQL"
	execution = "SQL_EXECUTION_ERROR"
)

func malformedSQL() []hostile {
	return []hostile{
		{name: "empty", body: `{"sql":""}`, status: 400, code: "EMPTY_SQL", words: []string{"No SQL statements provided"}},
		{name: "blanks", sql: " \n\t ", status: 400, code: "EMPTY_SQL"},
		{name: "comment only", sql: "-- nothing\n/* at all */", status: 400, code: "EMPTY_SQL"},
		{name: "semicolons", sql: strings.Repeat(";", mib), status: 400, code: "EMPTY_SQL"},
		{name: "no SQL", sql: "hello", status: 400, code: invalid, words: []string{"Invalid SQL: "}},
		{name: "half a statement", sql: "SELECT FROM WHERE", status: 400, code: invalid, words: []string{"Invalid SQL: ", "line 1"}},
		{name: "half a statement of a user", as: "alice", sql: "SELECT FROM WHERE", status: 400, code: invalid, words: []string{"SQL statement is invalid or not allowed: ", "line 1"}},
		{name: "open quote", sql: "SELECT 'abc", status: 400, code: execution, words: []string{"unterminated"}},
		{name: "open quote of a user", as: "alice", sql: "SELECT 'abc", status: 400, code: execution},
		{name: "open quote in a batch", sql: "INSERT INTO app.open (id) VALUES (7); SELECT 'abc", status: 400, code: "BATCH_PARSE_ERROR"},
		{name: "open identifier", sql: `SELECT "abc`, status: 400, code: execution},
		{name: "open dollar quote", sql: "SELECT $$abc", status: 400, code: execution},
		{name: "open comment", sql: "SELECT 1 /* abc", status: 400, code: execution},
		{name: "NUL in a literal", sql: "SELECT 'a\x00b'", status: 400, code: execution, words: []string{"NUL"}},
		{name: "NUL at the end", sql: "SELECT 1\x00", status: 400, code: execution, words: []string{"NUL"}},
		{name: "NUL in a name", sql: "SELECT * FROM app.\"o\x00pen\"", status: 400, code: execution, words: []string{"NUL"}},
		{name: "control bytes", sql: "\x01\x02\x03", status: 400, code: invalid},
		{name: "not ASCII", sql: "SÉLECT 1", status: 400, code: invalid},
		{name: "one byte too long", sql: "SELECT '" + strings.Repeat("a", mib-8) + "'", status: 400, code: invalid, words: []string{"SQL query too long: 1048577 bytes (maximum 1048576 bytes)"}},
		{name: "as long as may be", sql: "SELECT LENGTH('" + strings.Repeat("a", mib-17) + "')", status: 200},
		{name: "second statement malformed", sql: "INSERT INTO app.open (id) VALUES (7); SELEC 1", status: 400, code: invalid, words: []string{"Statement 2 failed: "}},
		{name: "transaction left open", sql: "BEGIN; INSERT INTO app.open (id) VALUES (7)", status: 400, code: execution, words: []string{"rolled back automatically"}},
		{name: "CLUSTER LIST", sql: "CLUSTER LIST", status: 400, code: execution, words: []string{"CLI-only command", "system.cluster"}},
		{name: "EXECUTE AS two statements", sql: "EXECUTE AS USER 'alice' (SELECT 1; SELECT 2)", status: 400, code: "INVALID_INPUT", words: []string{"single SQL statement"}},
	}
}

// deepSQL nests further than anything may.
func deepSQL() []hostile {
	deep := func(name, sql string) hostile {
		return hostile{name: "deep " + name, sql: sql, status: 400, code: execution, words: []string{"512 levels", "execution.max_expression_depth"}}
	}
	fill := func(begin, step string) string { return begin + strings.Repeat(step, (mib-len(begin))/len(step)) }
	around := func(begin, open, middle, end string, n int) string {
		return begin + strings.Repeat(open, n) + middle + strings.Repeat(end, n)
	}
	return []hostile{
		deep("parentheses", fill("SELECT ", "(")),
		deep("NOT", fill("SELECT ", "NOT ")),
		deep("minus", fill("SELECT ", "- ")),
		deep("brackets", fill("SELECT ", "[")),
		{name: "deep comments", sql: fill("", "/*"), status: 400, code: execution},
		deep("closed parentheses", around("SELECT ", "(", "1", ")", 500_000)),
		deep("CASE", around("SELECT ", "CASE WHEN true THEN ", "1", " END", 40_000)),
		deep("SELECT in SELECT", around("SELECT ", "(SELECT ", "1", ")", 80_000)),
		deep("FROM in FROM", around("SELECT * FROM ", "(SELECT * FROM ", "app.open", ") x", 50_000)),
		deep("sum", "SELECT 1"+strings.Repeat("+1", 500_000)),
		deep("concatenation", "SELECT ''"+strings.Repeat("||'a'", 200_000)),
		deep("casts", "SELECT 1"+strings.Repeat("::int", 200_000)),
		deep("unions", "SELECT 1"+strings.Repeat(" UNION ALL SELECT 1", 50_000)),
		deep("calls", around("SELECT ", "abs(", "1", ")", 150_000)),
		deep("DEFAULT", "CREATE USER TABLE app.deep (id INT PRIMARY KEY DEFAULT "+around("", "(", "1", ")", 100_000)+")"),
		{name: "deep JSON", sql: "INSERT INTO app.open (id, j) VALUES (7, '" + strings.Repeat("[", 300_000) + strings.Repeat("]", 300_000) + "')", status: 400, code: execution, words: []string{"'j'", "512 levels"}},
	}
}

// wideSQL has too many of something, or nearly.
func wideSQL() []hostile {
	numbers := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "%d,", i+100)
		}
		return b.String() + "99"
	}
	return []hostile{
		{name: "10,000 statements", sql: strings.Repeat("SELECT 1;", 10_000), status: 200},
		{name: "10,001 statements", sql: strings.Repeat("SELECT 1;", 10_001), status: 400, code: execution, words: []string{"10000", "10001"}},
		{name: "10,000 statements, the last one wrong", sql: strings.Repeat("INSERT INTO app.open (id) VALUES (7);", 9_999) + "SELEC 1", status: 400, code: invalid, words: []string{"Statement 10000 failed: "}},
		{name: "10,000 statements, the last one forbidden", as: "alice", sql: strings.Repeat("INSERT INTO app.mine (id) VALUES (7);", 9_999) + "CREATE NAMESPACE bad", status: 403, code: "PERMISSION_DENIED"},
		{name: "IN of 150,000 numbers", sql: "SELECT COUNT(*) FROM app.open WHERE id IN (" + numbers(150_000) + ")", status: 200},
		{name: "IN of 50,000 texts", sql: "SELECT COUNT(*) FROM app.open WHERE s IN ('" + strings.ReplaceAll(numbers(50_000), ",", "','") + "')", status: 200},
		{name: "40,000 conditions", sql: "SELECT COUNT(*) FROM app.open WHERE " + strings.Repeat("id <> 7 AND ", 40_000) + "id <> 8", status: 200},
		{name: "500,000 columns selected", sql: "SELECT " + strings.Repeat("1,", 500_000) + "1", status: 400, code: execution, words: []string{"columns"}},
		{name: "60,000 columns defined", sql: "CREATE USER TABLE app.wide (id INT PRIMARY KEY" + func() string {
			var b strings.Builder
			for i := range 60_000 {
				fmt.Fprintf(&b, ",c%d INT", i)
			}
			return b.String()
		}() + ")", status: 400, code: execution, words: []string{"columns"}},
		{name: "100,000 rows, the last one wrong", sql: "INSERT INTO app.open (id) VALUES " + func() string {
			var b strings.Builder
			for i := range 100_000 {
				fmt.Fprintf(&b, "(%d),", i+100)
			}
			return b.String() + "('x')"
		}(), status: 400, code: execution, words: []string{"'id'"}},
		{name: "a text of 2 GB", sql: "SELECT REPEAT('a', 2000000000)", status: 400, code: execution, words: []string{"bytes"}},
		{name: "texts that multiply", sql: "SELECT REPLACE(REPEAT('a', 1000000), 'a', REPEAT('b', 1000000))", status: 400, code: execution, words: []string{"bytes"}},
		{name: "large texts in 4,000 places", sql: "SELECT LENGTH(CONCAT(" + strings.Repeat("REPEAT('a', 15000000),", 4_000) + "'b'))", status: 400, code: execution, words: []string{"functions of one row", "16777216 bytes"}},
		{name: "large texts in a list", sql: "SELECT id FROM app.open WHERE s IN (" + strings.Repeat("RPAD('a', 4000000),", 4_000) + "'b')", status: 400, code: execution, words: []string{"at most 16777216 bytes"}},
		{name: "large texts in many rows", sql: "INSERT INTO app.open (id, s) SELECT n, REPEAT('a', 15000000) FROM generate_series(7, 20) AS s (n)", status: 400, code: execution, words: []string{"commit.max_bytes"}},
		{name: "20,000 aggregates", sql: "SELECT 1 FROM app.open HAVING " + strings.Repeat("SUM(id + 1) > 0 AND ", 10_000) + func() string {
			var b strings.Builder
			for i := range 20_000 {
				fmt.Fprintf(&b, "SUM(id + %d) > 0 AND ", i)
			}
			return b.String() + "TRUE"
		}(), status: 400, code: execution, words: []string{"4096"}},
		{name: "20,000 terms in ORDER BY", sql: "SELECT id FROM app.open ORDER BY " + strings.Repeat("id,", 20_000) + "id", status: 400, code: execution, words: []string{"ORDER BY", "4096"}},
		{name: "20,000 stars", sql: "SELECT " + strings.Repeat("*,", 20_000) + "* FROM app.open", status: 400, code: execution, words: []string{"select list", "4096"}},
		{name: "a pattern that explodes", sql: "SELECT '" + strings.Repeat("a", 100) + "' ~ '(a+)+$b'", status: 200},
		{name: "LIKE that explodes", sql: "SELECT '" + strings.Repeat("a", 10_000) + "' LIKE '" + strings.Repeat("%a", 5_000) + "b'", status: 200},
		{name: "a number of 100,000 digits", sql: "SELECT " + strings.Repeat("9", 100_000), status: 400, code: execution, words: []string{"out of range"}},
		{name: "a name of 10,000 letters", sql: "CREATE NAMESPACE " + strings.Repeat("a", 10_000), status: 400, code: invalid, words: []string{"64"}},
		{name: "LIMIT -1", sql: "SELECT * FROM app.open LIMIT -1", status: 400, code: execution},
		{name: "LIMIT beyond int64", sql: "SELECT * FROM app.open LIMIT 99999999999999999999", status: 400, code: execution},
		{name: "OFFSET at its largest", sql: "SELECT * FROM app.open LIMIT 9223372036854775807 OFFSET 9223372036854775807", status: 200},
	}
}

// wrongValues do not fit where they go. Nothing of a statement stays.
func wrongValues() []hostile {
	bad := func(name, sql string, words ...string) hostile {
		return hostile{name: name, sql: sql, status: 400, code: execution, words: words}
	}
	return []hostile{
		bad("BIGINT overflow", "INSERT INTO app.open (id) VALUES (9223372036854775808)", "Execution error: ", "'id'", "out of range"),
		bad("INT overflow", "INSERT INTO app.open (id, n) VALUES (7, 2147483648)", "Execution error: ", "'n'", "out of range"),
		bad("SMALLINT overflow in row 2", "INSERT INTO app.open (id, small) VALUES (7, 1), (8, 32768)", "Execution error: ", "'small'"),
		bad("overflow in arithmetic", "SELECT 9223372036854775807 + 1", "Execution error: ", "out of range"),
		bad("least by minus one", "SELECT (-9223372036854775807 - 1) / -1", "Execution error: ", "out of range"),
		bad("overflow in UPDATE", "UPDATE app.open SET n = n + 2147483646 WHERE id = 2", "Execution error: ", "out of range"),
		bad("overflow of SUM", "SELECT SUM(x) FROM (SELECT 9223372036854775807 AS x UNION ALL SELECT 1) AS y"),
		bad("1e400", "SELECT 1e400", "Execution error: "),
		bad("1e400 stored", "INSERT INTO app.open (id, d) VALUES (7, 1e400)", "Execution error: "),
		bad("NaN read", "SELECT CAST('NaN' AS DOUBLE)", "Execution error: ", "NaN"),
		bad("infinity read", "SELECT CAST('-Infinity' AS DOUBLE)", "Execution error: "),
		bad("division by zero", "SELECT 1 / 0", "Execution error: ", "division by zero"),
		bad("division by zero in UPDATE", "UPDATE app.open SET n = 1 / (n - 2) WHERE id > 0", "Execution error: ", "division by zero"),
		bad("DECIMAL overflow", "INSERT INTO app.open (id, m) VALUES (7, 123456789012.5)", "Execution error: ", "'m'"),
		bad("no time", "INSERT INTO app.open (id, ts) VALUES (7, 'soon')", "Execution error: ", "'ts'"),
		bad("the 31st of February", "INSERT INTO app.open (id, ts) VALUES (7, '2026-02-31 10:00:00')", "Execution error: ", "'ts'"),
		bad("no JSON", "INSERT INTO app.open (id, j) VALUES (7, '{')", "Execution error: ", "'j'"),
		bad("text for a number", "INSERT INTO app.open (id, n) VALUES (7, 'seven')", "Execution error: ", "'n'"),
		bad("boolean for a number", "INSERT INTO app.open (id, n) VALUES (7, TRUE)", "Execution error: ", "'n'"),
		bad("number for a boolean", "INSERT INTO app.open (id, b) VALUES (7, 'perhaps')", "Execution error: ", "'b'"),
		bad("key that exists", "INSERT INTO app.open (id) VALUES (7), (1)", "Primary key violation: ", "already exists"),
		bad("key twice", "INSERT INTO app.open (id) VALUES (7), (7)", "Primary key violation: "),
		bad("key moved onto another", "UPDATE app.open SET id = 2 WHERE id = 1"),
		bad("no key", "INSERT INTO app.open (n) VALUES (5)", "NOT NULL constraint violation: ", "'id'"),
		bad("NULL key", "INSERT INTO app.open (id) VALUES (NULL)", "NOT NULL constraint violation: ", "'id'"),
		bad("NULL where none may be", "UPDATE app.open SET s = NULL WHERE id = 1", "NOT NULL constraint violation: ", "'s'"),
		bad("UPDATE without WHERE", "UPDATE app.open SET n = 1", "Invalid operation: "),
		bad("DELETE without WHERE", "DELETE FROM app.open", "Invalid operation: "),
		bad("UPDATE of a stream", "UPDATE app.flow SET s = 'x' WHERE id = 1", "Invalid operation: "),
		bad("_seq given", "INSERT INTO app.open (id, _seq) VALUES (7, 1)"),
		bad("_deleted set", "UPDATE app.open SET _deleted = TRUE WHERE id = 1"),
		{name: "parameter missing", sql: "SELECT $1", status: 400, code: "INVALID_PARAMETER", words: []string{"$1"}},
		bad("lone half of a batch", "INSERT INTO app.shut (id) VALUES (1); INSERT INTO app.open (id) VALUES (7)", "Statement 1 failed: ", "Primary key violation: "),
	}
}

func wrongNames() []hostile {
	bad := func(name, sql, code string, words ...string) hostile {
		return hostile{name: name, sql: sql, status: 400, code: code, words: words}
	}
	return []hostile{
		bad("unknown table", "SELECT * FROM app.nothing", execution, "Table not found: ", "app.nothing"),
		{name: "unknown table of a user", as: "alice", sql: "SELECT * FROM app.nothing", status: 400, code: execution, words: []string{"SQL statement failed"}, secret: []string{"nothing"}},
		bad("unknown namespace", "SELECT * FROM nowhere.open", execution, "nowhere", "does not exist"),
		bad("CREATE TABLE in an unknown namespace", "CREATE USER TABLE nowhere.x (id INT PRIMARY KEY)", execution, "Namespace 'nowhere' does not exist", "Create it first with CREATE NAMESPACE nowhere"),
		bad("unknown column", "SELECT nothing FROM app.open", execution, "Not found: ", "nothing"),
		bad("unknown column to write", "INSERT INTO app.open (id, nothing) VALUES (7, 1)", execution, "Not found: ", "nothing"),
		bad("unknown function", "SELECT nothing(1)", execution, "Not found: ", "nothing"),
		bad("unknown type", "CREATE USER TABLE app.x (id WORD PRIMARY KEY)", invalid, "Invalid SQL: "),
		bad("unknown option", "CREATE USER TABLE app.x (id INT PRIMARY KEY) WITH (SPEED='high')", invalid, "Invalid SQL: "),
		bad("unknown storage", "CREATE USER TABLE app.x (id INT PRIMARY KEY) WITH (STORAGE_ID='moon')", execution, "Not found: "),
		bad("column twice", "INSERT INTO app.open (id, id) VALUES (7, 8)", invalid, "'id'"),
		bad("column defined twice", "CREATE USER TABLE app.x (id INT PRIMARY KEY, ID INT)", invalid),
		bad("more columns than values", "INSERT INTO app.open (id, n) VALUES (7)", invalid),
		bad("more values than columns", "INSERT INTO app.open (id) VALUES (7, 8)", invalid),
		bad("no primary key", "CREATE USER TABLE app.x (id INT)", invalid, "PRIMARY KEY"),
		bad("existing table", "CREATE USER TABLE app.mine (id INT PRIMARY KEY)", execution, "Already exists: "),
		bad("existing namespace", "CREATE NAMESPACE app", execution, "Already exists: "),
		bad("existing user", "CREATE USER 'alice' WITH PASSWORD 'Another-secret-1' ROLE user", execution, "Already exists"),
		bad("namespace system", "CREATE NAMESPACE system", invalid, "reserved"),
		bad("namespace root", "CREATE NAMESPACE root", invalid, "reserved"),
		bad("namespace kalamdb", "CREATE NAMESPACE kalamdb", invalid, "reserved"),
		bad("column _seq", "CREATE USER TABLE app.x (id INT PRIMARY KEY, _seq INT)", invalid, "_seq"),
		bad("namespace that is a path", `CREATE NAMESPACE "../up"`, invalid),
		bad("table that is a path", `CREATE USER TABLE app."a/../../b" (id INT PRIMARY KEY)`, invalid),
		bad("user that is a path", `CREATE USER '../up' WITH PASSWORD 'Some-secret-1' ROLE user`, invalid),
		bad("user without a name", `CREATE USER '' WITH PASSWORD 'Some-secret-1' ROLE user`, invalid),
		bad("weak password", `CREATE USER 'weak' WITH PASSWORD 'password' ROLE user`, execution, "assword"),
		bad("password of 73 bytes", `CREATE USER 'weak' WITH PASSWORD '`+strings.Repeat("Ab1-", 18)+`x' ROLE user`, execution, "72"),
		bad("access level of a USER table", "CREATE USER TABLE app.x (id INT PRIMARY KEY) WITH (ACCESS_LEVEL='public')", invalid),
		bad("DROP of what is not there", "DROP TABLE app.nothing", execution, "not found"),
	}
}

// wrongRights are statements that their callers may not run. What is hidden
// stays hidden.
func wrongRights() []hostile {
	denied := func(name, as, sql string) hostile {
		return hostile{name: as + ": " + name, as: as, sql: sql, status: 403, code: "PERMISSION_DENIED", secret: []string{"secret"}}
	}
	return []hostile{
		denied("system table", "alice", "SELECT * FROM system.users"),
		denied("system table in a subquery", "alice", "SELECT 1 WHERE EXISTS (SELECT 1 FROM system.users)"),
		denied("system table in EXPLAIN", "alice", "EXPLAIN SELECT * FROM system.users"),
		denied("system table written", "alice", "INSERT INTO system.users (user_id) VALUES ('x')"),
		denied("system table deleted", "alice", "DELETE FROM system.users WHERE user_id = 'bob'"),
		denied("private table", "alice", "SELECT * FROM app.shut"),
		denied("private table in a subquery", "alice", "SELECT (SELECT s FROM app.shut WHERE id = 1)"),
		denied("public table written", "alice", "INSERT INTO app.open (id) VALUES (7)"),
		denied("namespace", "alice", "CREATE NAMESPACE bad"),
		denied("user", "alice", "CREATE USER 'bad' WITH PASSWORD 'Some-secret-1' ROLE user"),
		denied("role of oneself", "alice", "ALTER USER 'alice' SET ROLE 'system'"),
		denied("SHOW ALL", "alice", "SHOW ALL"),
		denied("DROP", "alice", "DROP TABLE app.open"),
		denied("flush", "alice", "STORAGE FLUSH TABLE app.open"),
		denied("kill", "alice", "KILL LIVE QUERY 'x'"),
		denied("batch with a forbidden end", "alice", "INSERT INTO app.mine (id) VALUES (7); DROP TABLE app.mine; SELECT * FROM system.users"),
		denied("namespace", "serve", "CREATE NAMESPACE bad"),
		denied("user", "serve", "CREATE USER 'bad' WITH PASSWORD 'Some-secret-1' ROLE user"),
		denied("system role", "chief", "ALTER USER 'alice' SET ROLE 'system'"),
		denied("system user", "chief", "CREATE USER 'bad' WITH PASSWORD 'Some-secret-1' ROLE system"),
	}
}

// TestHostileBodies sends bodies that are not what the route reads.
func TestHostileBodies(t *testing.T) {
	x := newTarget(t, nil)
	input := func(name, body string, words ...string) hostile {
		return hostile{name: name, body: body, status: 400, code: "INVALID_INPUT", words: append(words, "Invalid JSON payload: ")}
	}
	for _, h := range []hostile{
		input("nothing", ""), input("blanks", " \n "), input("half an object", `{"sql":"SELECT 1"`), input("a word", "hello"),
		input("null", "null"), input("a list", `["SELECT 1"]`), input("a text", `"SELECT 1"`), input("no sql", `{}`),
		input("sql is a number", `{"sql":5}`), input("sql is null", `{"sql":null}`), input("sql is a list", `{"sql":["SELECT 1"]}`),
		input("rest behind the object", `{"sql":"SELECT 1"} x`), input("two objects", `{"sql":"SELECT 1"}{"sql":"SELECT 2"}`),
		input("sql twice", `{"sql":"SELECT 1","sql":"SELECT 2"}`),
		input("not UTF-8", "{\"sql\":\"SELECT '\xff\xfe'\"}"), input("overlong UTF-8", "{\"sql\":\"SELECT '\xc0\x80'\"}"),
		input("surrogates in UTF-8", "{\"sql\":\"SELECT '\xed\xa0\x80'\"}"),
		input("lone high surrogate", `{"sql":"SELECT '\ud800'"}`), input("lone low surrogate", `{"sql":"SELECT '\udc00x'"}`),
		input("surrogates in the wrong order", `{"sql":"SELECT '\udc00\ud800'"}`),
		input("lone surrogate in a parameter", `{"sql":"SELECT $1","params":["\uDBFFx"]}`),
		input("raw control byte", "{\"sql\":\"SELECT '\n'\"}"), input("single quotes", `{'sql':'SELECT 1'}`), input("NaN", `{"sql":"SELECT $1","params":[NaN]}`),
		input("leading zero", `{"sql":"SELECT $1","params":[01]}`), input("params is a number", `{"sql":"SELECT 1","params":5}`), input("params is an object", `{"sql":"SELECT 1","params":{}}`),
		input("namespace_id is a number", `{"sql":"SELECT 1","namespace_id":5}`),
		input("a million brackets", `{"sql":"SELECT 1","x":`+strings.Repeat("[", mib)), input("deep and closed", `{"sql":"SELECT 1","x":`+strings.Repeat("[", 900_000)+strings.Repeat("]", 900_000)+"}"),
		input("2 MiB and a byte", `{"sql":"SELECT 1"`+strings.Repeat(" ", 2*mib-17)+"}", "2097152"),
		{name: "2 MiB", body: `{"sql":"SELECT 1"` + strings.Repeat(" ", 2*mib-18) + "}", status: 200},
		{name: "unknown members", body: `{"x":{"sql":"DROP"},"sql":"SELECT 1","params":null,"namespace_id":null,"y":[1,{}]}`, status: 200},
		{name: "escaped names", body: `{"\u0073ql":"SELECT 1"}`, status: 200},
		{name: "pair of surrogates", body: `{"sql":"SELECT '\ud83c\udf75'"}`, status: 200},
		{name: "escaped NUL", body: `{"sql":"SELECT '\u0000'"}`, status: 400, code: execution, words: []string{"NUL"}},
		{name: "empty namespace_id", body: `{"sql":"SELECT 1","namespace_id":""}`, status: 400, code: "INVALID_INPUT"},
		{name: "namespace_id is a path", body: `{"sql":"SELECT 1","namespace_id":"../x"}`, status: 400, code: "INVALID_INPUT"},
		{name: "namespace_id with NUL", body: `{"sql":"SELECT 1","namespace_id":"a\u0000"}`, status: 400, code: "INVALID_INPUT"},
		{name: "unknown namespace_id", body: `{"sql":"SELECT * FROM open","namespace_id":"nowhere"}`, status: 400, code: execution, words: []string{"does not exist"}},
		{name: "form without boundary", body: "x", header: []string{"Content-Type", "multipart/form-data"}, status: 400, code: "INVALID_INPUT", words: []string{"Multipart parse error"}},
		{name: "form without parts", body: "x", header: []string{"Content-Type", "multipart/form-data; boundary=b"}, status: 400, code: "INVALID_INPUT", words: []string{"Multipart parse error"}},
		{name: "form without end", body: form("sql", "SELECT 1")[:60], header: multipart, status: 400, code: "INVALID_INPUT", words: []string{"Multipart parse error"}},
		{name: "form without sql", body: form("x", "y"), header: multipart, status: 400, code: "EMPTY_SQL", words: []string{"SQL statement is required"}},
		{name: "form with params that are none", body: form("sql", "SELECT $1", "params", "{}"), header: multipart, status: 400, code: "INVALID_PARAMETER", words: []string{"Params must be a JSON array"}},
		{name: "form with broken params", body: form("sql", "SELECT $1", "params", "[1"), header: multipart, status: 400, code: "INVALID_PARAMETER", words: []string{"Invalid params JSON: "}},
		{name: "form with a lone surrogate", body: form("sql", "SELECT $1", "params", `["\ud800"]`), header: multipart, status: 400, code: "INVALID_PARAMETER", words: []string{"Invalid params JSON: "}},
		{name: "form with a file", body: form("sql", "SELECT 1", "file:x", "y"), header: multipart, status: 400, code: "EXTRA_FILE", words: []string{"file:x"}},
		{name: "form of 65 parts", body: form(strings.Split(strings.Repeat("x y ", 65), " ")[:130]...), header: multipart, status: 400, code: "INVALID_INPUT", words: []string{"64"}},
		{name: "form", body: form("sql", "SELECT $1", "params", "[1]"), header: multipart, status: 200},
		{name: "form under another name", body: form("sql", "SELECT 1"), header: []string{"Content-Type", `Multipart/Form-Data; boundary="b"`}, status: 200},
	} {
		t.Run(h.name, func(t *testing.T) { x.run(t, &h) })
	}
	x.bounded(t)
}

var multipart = []string{"Content-Type", "multipart/form-data; boundary=b"}

// form writes a multipart body of names and values.
func form(pairs ...string) string {
	var b strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		fmt.Fprintf(&b, "--b\r\nContent-Disposition: form-data; name=%q\r\n\r\n%s\r\n", pairs[i], pairs[i+1])
	}
	return b.String() + "--b--\r\n"
}

// TestHostileParameters sends parameters that are too many, too large or of the
// wrong kind.
func TestHostileParameters(t *testing.T) {
	x := newTarget(t, nil)
	many := func(n int) (sql string, params []any) {
		names := make([]string, n)
		for i := range n {
			names[i] = fmt.Sprintf("$%d", i+1)
			params = append(params, i)
		}
		return "SELECT 1 WHERE 1 IN (" + strings.Join(names, ",") + ")", params
	}
	fifty, fiftyValues := many(50)
	fiftyOne, fiftyOneValues := many(51)
	raw := func(params string) string {
		return `{"sql":"INSERT INTO app.open (id, d) VALUES ($1, $2)","params":` + params + `}`
	}
	for _, h := range []hostile{
		{name: "50", sql: fifty, params: fiftyValues, status: 200},
		{name: "51", sql: fiftyOne, params: fiftyOneValues, status: 400, code: execution, words: []string{"Parameter count exceeded: maximum 50 parameters allowed, got 51"}},
		{name: "524,288 bytes", sql: "SELECT LENGTH($1)", params: []any{strings.Repeat("a", 524_288)}, status: 200},
		{name: "524,289 bytes", sql: "SELECT LENGTH($2), $1", params: []any{1, strings.Repeat("a", 524_289)}, status: 400, code: execution, words: []string{"Parameter size exceeded: parameter at index 1 is 524289 bytes (max 524288 bytes)"}},
		{name: "too large for a user", as: "alice", sql: "SELECT $1", params: []any{strings.Repeat("a", 600_000)}, status: 400, code: execution, words: []string{"Parameter size exceeded: parameter at index 0 is 600000 bytes (max 524288 bytes)"}},
		{name: "missing", sql: "SELECT $1, $2", params: []any{1}, status: 400, code: "INVALID_PARAMETER", words: []string{"$2"}},
		{name: "missing, none sent", sql: "SELECT * FROM app.open WHERE id = $1", params: []any{}, status: 400, code: "INVALID_PARAMETER", words: []string{"$1"}},
		{name: "$0", sql: "SELECT $0", params: []any{1}, status: 400, code: invalid},
		{name: "$99999999999", sql: "SELECT $99999999999", params: []any{1}, status: 400, code: "INVALID_PARAMETER"},
		{name: "a list", sql: "SELECT $1", params: []any{[]any{1}}, status: 400, code: "INVALID_PARAMETER", words: []string{"Parameter $1 invalid: ", "not yet supported"}},
		{name: "an object", sql: "SELECT $2", params: []any{1, map[string]any{"a": 1}}, status: 400, code: "INVALID_PARAMETER", words: []string{"Parameter $2 invalid: ", "not yet supported"}},
		{name: "with a batch", sql: "SELECT $1; SELECT 2", params: []any{1}, status: 400, code: "PARAMS_WITH_BATCH", words: []string{"Parameters not supported with multi-statement batches"}},
		{name: "beyond int64", body: raw(`[9223372036854775808, 1]`), status: 400, code: execution, words: []string{"out of range"}},
		{name: "far beyond int64", body: raw(`[` + strings.Repeat("9", 300) + `, 1]`), status: 400, code: execution, words: []string{"out of range"}},
		{name: "1e400", body: raw(`[7, 1e400]`), status: 400, code: "INVALID_PARAMETER", words: []string{"Parameter $2 invalid: ", "out of range"}},
		{name: "-1e400", body: raw(`[7, -1e400]`), status: 400, code: "INVALID_PARAMETER", words: []string{"Parameter $2 invalid: ", "out of range"}},
		{name: "a million digits", body: raw(`[7, ` + strings.Repeat("9", mib) + `]`), status: 400, code: "INVALID_PARAMETER", words: []string{"Parameter $2 invalid: "}},
		{name: "text for a key", body: raw(`["seven", 1]`), status: 400, code: execution, words: []string{"'id'"}},
		{name: "boolean for a number", body: raw(`[true, 1]`), status: 400, code: execution, words: []string{"'id'"}},
		{name: "NULL for a key", body: raw(`[null, 1]`), status: 400, code: execution, words: []string{"NOT NULL constraint violation: "}},
		{name: "NUL in a text", body: `{"sql":"SELECT LENGTH($1)","params":["a\u0000b"]}`, status: 200},
		{name: "SQL in a text", sql: "SELECT COUNT(*) FROM app.open WHERE s = $1", params: []any{"'; DROP TABLE app.open; --"}, status: 200},
	} {
		t.Run(h.name, func(t *testing.T) { x.run(t, &h) })
	}
	x.bounded(t)
}

// TestHostileTokens sends tokens that are not the caller's, not ours or not
// valid any more. Only an expired one is told apart.
func TestHostileTokens(t *testing.T) {
	x := newTarget(t, nil)
	now := time.Now()
	c := claims("alice")
	good := token("alice")
	for _, h := range []struct{ name, header, code string }{
		{"none", "", "MISSING_AUTHORIZATION"},
		{"Basic", "Basic cm9vdDpIb3N0aWxlLXJvb3QtMQ==", "INVALID_CREDENTIALS"},
		{"no scheme", good, "INVALID_CREDENTIALS"},
		{"no token", "Bearer ", "INVALID_CREDENTIALS"},
		{"a word", "Bearer hello", "INVALID_CREDENTIALS"},
		{"two tokens", "Bearer " + good + " " + good, "INVALID_CREDENTIALS"},
		{"two parts", "Bearer " + good[:strings.LastIndex(good, ".")], "INVALID_CREDENTIALS"},
		{"four parts", "Bearer " + good + ".x", "INVALID_CREDENTIALS"},
		{"another secret", "Bearer " + mint("HS256", "another secret of at least 32 characters", c), "INVALID_CREDENTIALS"},
		{"alg none", "Bearer " + mint("none", "", c), "INVALID_CREDENTIALS"},
		{"alg None", "Bearer " + mint("None", "", c), "INVALID_CREDENTIALS"},
		{"alg HS384", "Bearer " + mint("HS384", targetSecret, c), "INVALID_CREDENTIALS"},
		{"alg HS512", "Bearer " + mint("HS512", targetSecret, c), "INVALID_CREDENTIALS"},
		{"alg RS256", "Bearer " + mint("RS256", targetSecret, c) + "AAAA", "INVALID_CREDENTIALS"},
		{"changed role", "Bearer " + swapPayload(good, mint("HS256", targetSecret, with(c, map[string]any{"role": "system"}))), "INVALID_CREDENTIALS"},
		{"role that is not the stored one", "Bearer " + mint("HS256", targetSecret, with(c, map[string]any{"role": "system"})), "INVALID_CREDENTIALS"},
		{"role that is none", "Bearer " + mint("HS256", targetSecret, with(c, map[string]any{"role": "emperor"})), "INVALID_CREDENTIALS"},
		{"foreign issuer", "Bearer " + mint("HS256", targetSecret, with(c, map[string]any{"iss": "https://accounts.example.com"})), "INVALID_CREDENTIALS"},
		{"no issuer", "Bearer " + mint("HS256", targetSecret, with(c, map[string]any{"iss": nil})), "INVALID_CREDENTIALS"},
		{"no subject", "Bearer " + mint("HS256", targetSecret, with(c, map[string]any{"sub": nil})), "INVALID_CREDENTIALS"},
		{"subject that is a number", "Bearer " + mint("HS256", targetSecret, with(c, map[string]any{"sub": 7})), "INVALID_CREDENTIALS"},
		{"unknown user", "Bearer " + mint("HS256", targetSecret, with(c, map[string]any{"sub": "nobody"})), "INVALID_CREDENTIALS"},
		{"deleted user", "Bearer " + token("gone"), "INVALID_CREDENTIALS"},
		{"refresh token", "Bearer " + mint("HS256", targetSecret, with(c, map[string]any{"token_type": "refresh"})), "INVALID_CREDENTIALS"},
		{"no token type", "Bearer " + mint("HS256", targetSecret, with(c, map[string]any{"token_type": nil})), "INVALID_CREDENTIALS"},
		{"no expiry", "Bearer " + mint("HS256", targetSecret, with(c, map[string]any{"exp": nil})), "INVALID_CREDENTIALS"},
		{"expiry that is a text", "Bearer " + mint("HS256", targetSecret, with(c, map[string]any{"exp": "never"})), "INVALID_CREDENTIALS"},
		{"from tomorrow", "Bearer " + mint("HS256", targetSecret, with(c, map[string]any{"iat": now.Add(24 * time.Hour).Unix()})), "INVALID_CREDENTIALS"},
		{"valid from tomorrow", "Bearer " + mint("HS256", targetSecret, with(c, map[string]any{"nbf": now.Add(24 * time.Hour).Unix()})), "INVALID_CREDENTIALS"},
		{"expired", "Bearer " + mint("HS256", targetSecret, with(c, map[string]any{"exp": now.Add(-2 * time.Minute).Unix()})), "TOKEN_EXPIRED"},
		{"expired and forged", "Bearer " + mint("HS256", "another secret of at least 32 characters", with(c, map[string]any{"exp": now.Add(-2 * time.Minute).Unix()})), "INVALID_CREDENTIALS"},
		{"10 KiB", "Bearer " + good + strings.Repeat("A", 10<<10), "INVALID_CREDENTIALS"},
	} {
		t.Run(h.name, func(t *testing.T) {
			e := x.post(t, h.header, []byte(`{"sql":"DROP TABLE app.mine"}`))
			if e.status != http.StatusUnauthorized || e.Error == nil || e.Error.Code != h.code {
				t.Fatalf("%s, want 401 %s", e, h.code)
			}
			want := "Invalid credentials"
			if h.code == "MISSING_AUTHORIZATION" {
				want = "Authentication required"
			}
			if e.Error.Message != want || e.Error.Details != nil {
				t.Errorf("%s, want the message %q", e, want)
			}
			x.unharmed(t)
		})
	}
	t.Run("just expired", func(t *testing.T) { // within the leeway
		if e := x.post(t, "Bearer "+mint("HS256", targetSecret, with(c, map[string]any{"exp": now.Add(-10 * time.Second).Unix()})), []byte(`{"sql":"SELECT 1"}`)); e.status != http.StatusOK {
			t.Error(e)
		}
	})
	t.Run("no role", func(t *testing.T) { // then the stored one counts
		if e := x.post(t, "bearer "+mint("HS256", targetSecret, with(c, map[string]any{"role": nil})), []byte(`{"sql":"SELECT * FROM app.mine"}`)); e.status != http.StatusOK {
			t.Error(e)
		}
	})
}

// swapPayload signs nothing: it puts the claims of one token into another.
func swapPayload(token, other string) string {
	mine, theirs := strings.Split(token, "."), strings.Split(other, ".")
	return mine[0] + "." + theirs[1] + "." + mine[2]
}

// TestHostileSorts runs many sorts at a time that together want more than there
// is: some are refused, none stays, and afterwards all is as before.
func TestHostileSorts(t *testing.T) {
	x := newTarget(t, func(o *config.Options) { o.Limits.MaxResultBytes = 8 << 20 })
	x.readerTable(t, "app.large")
	x.readerWork(t, "app.large")
	statuses := make(chan string, 24)
	for i := range cap(statuses) {
		go func() {
			// Some are taken to their end, some are abandoned with their answer.
			sql := []string{
				"SELECT id, s FROM app.large WHERE id < 12000 ORDER BY s, id DESC",
				"SELECT s, COUNT(*) FROM app.large GROUP BY s || id HAVING COUNT(*) > 1",
				"SELECT DISTINCT s || id FROM app.large",
				"SELECT id FROM app.large WHERE id < 12000 ORDER BY s || 1/(id - 11999)",
			}[i%4]
			body, err := json.Marshal(map[string]string{"sql": sql})
			if err != nil {
				panic(err)
			}
			r, err := http.NewRequest(http.MethodPost, x.url+"/v1/api/sql", strings.NewReader(string(body)))
			if err != nil {
				panic(err)
			}
			r.Header.Set("Authorization", "Bearer "+token("alice"))
			answer, err := x.client.Do(r)
			if err != nil {
				statuses <- err.Error()
				return
			}
			if i%3 > 0 {
				_, _ = io.Copy(io.Discard, answer.Body) // it may be cut off
			}
			answer.Body.Close()
			statuses <- answer.Status
		}()
	}
	seen := map[string]int{}
	for range cap(statuses) {
		seen[<-statuses]++
	}
	t.Log(seen)
	for status := range seen {
		if status != "200 OK" && status != "400 Bad Request" && status != "503 Service Unavailable" {
			t.Errorf("%d answers are %s", seen[status], status)
		}
	}
	x.eventually(t, "the memory of sorts is given back", func() bool {
		rows := x.must(t, "root", "SELECT metric_value FROM system.stats WHERE metric_name = 'sort_memory_bytes'").rows(t)
		return len(rows) == 1 && fmt.Sprint(rows[0][0]) == "0"
	})
	x.must(t, "alice", "SELECT id, s FROM app.large WHERE id < 1000 ORDER BY s, id DESC")
	x.unharmed(t)
}

// TestHostileRate holds a user to his rate, and nobody else.
func TestHostileRate(t *testing.T) {
	x := newTarget(t, func(o *config.Options) { o.RateLimit.MaxQueries = 40 })
	refused := 0
	for range 400 {
		e := x.post(t, "Bearer "+token("bob"), []byte(`{"sql":"SELECT 1"}`))
		switch {
		case e.status == http.StatusOK:
		case e.status == http.StatusTooManyRequests && e.Error.Code == "RATE_LIMIT_EXCEEDED" && e.Error.Message == "Too many queries per second. Please slow down.":
			refused++
		default:
			t.Fatal(e)
		}
	}
	if refused == 0 {
		t.Error("400 queries at once were all answered")
	}
	x.must(t, "serve", "SELECT 1")
}
