package core_test

import (
	"context"
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

// say runs a text in a conversation and returns the cells of all rows, and the
// messages of statements without any, divided by blanks.
func say(t *testing.T, c *core.Conversation, sql string) (string, error) {
	t.Helper()
	results, err := c.Execute(t.Context(), sql, nil)
	if err != nil {
		return "", err
	}
	var cells []string
	for _, r := range results {
		if r.Kind != core.Rows {
			cells = append(cells, r.Message)
		}
		for {
			rows, err := r.Next(t.Context())
			if err != nil {
				r.Close()
				return "", err
			}
			if rows == nil {
				break
			}
			for _, row := range rows {
				for _, v := range row {
					cells = append(cells, v.String())
				}
			}
		}
		r.Close()
	}
	return strings.Join(cells, " "), nil
}

// mustSay is say for texts that succeed.
func mustSay(t *testing.T, c *core.Conversation, sql, want string) {
	t.Helper()
	got, err := say(t, c, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	if want != "" && got != want {
		t.Errorf("%s: %s, want %s", sql, got, want)
	}
}

// mustRefuse is say for texts that fail.
func mustRefuse(t *testing.T, c *core.Conversation, sql string, code fault.Code, text string) {
	t.Helper()
	if _, err := say(t, c, sql); !fault.Is(err, code) || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: %v, want %s with %q", sql, err, code, text)
	}
}

// converse opens a conversation that the test closes.
func converse(t *testing.T, db *testkit.Database) *core.Conversation {
	t.Helper()
	c := db.Converse(session("root", schema.RoleSystem), "Test", schema.DefaultNamespace)
	t.Cleanup(c.Close)
	return c
}

// openAccounts opens a database with a SHARED and a USER table.
func openAccounts(t *testing.T, change func(*core.Options)) *testkit.Database {
	t.Helper()
	db := openDB(t, change)
	mustRun(t, db, root, "CREATE NAMESPACE x; CREATE SHARED TABLE x.t (id BIGINT PRIMARY KEY, v BIGINT); CREATE USER TABLE x.u (id BIGINT PRIMARY KEY, v BIGINT); INSERT INTO x.t VALUES (1, 10), (2, 20), (3, 30); INSERT INTO x.u VALUES (1, 10)")
	return db
}

// nothingIsOpen fails when a transaction has left something behind.
func nothingIsOpen(t *testing.T, db *testkit.Database) {
	t.Helper()
	if s := db.Stats(); s.Transactions.Open != 0 || s.Transactions.Bytes != 0 {
		t.Errorf("%d transactions with %d bytes are open", s.Transactions.Open, s.Transactions.Bytes)
	}
	deadline := time.Now().Add(time.Minute)
	for db.Stats().Apply.Views > 1 { // the hub may hold one for a moment
		mustRun(t, db, root, "UPDATE x.t SET v = v + 1 WHERE id = 1")
		if time.Now().After(deadline) {
			t.Fatalf("%d views are open", db.Stats().Apply.Views)
		}
	}
}

// TestTransactionOutlivesRequests: a conversation keeps its transaction between
// statements; others see nothing of it before its COMMIT, and it sees nothing
// of theirs.
func TestTransactionOutlivesRequests(t *testing.T) {
	db := openAccounts(t, nil)
	a, b := converse(t, db), converse(t, db)
	mustSay(t, a, "BEGIN", "")
	mustSay(t, a, "INSERT INTO x.t VALUES (4, 40)", "")
	mustSay(t, a, "UPDATE x.t SET v = 11 WHERE id = 1", "Updated 1 row(s)")
	mustSay(t, b, "SELECT id, v FROM x.t ORDER BY id", "1 10 2 20 3 30")
	mustSay(t, b, "UPDATE x.t SET v = 33 WHERE id = 3; DELETE FROM x.t WHERE id = 2; INSERT INTO x.t VALUES (5, 50)", "")
	mustSay(t, a, "SELECT id, v FROM x.t ORDER BY id", "1 11 2 20 3 30 4 40")
	mustSay(t, a, "SELECT COUNT(*) FROM x.t", "4")
	if open, failed := a.InTransaction(); !open || failed {
		t.Errorf("open %v, failed %v", open, failed)
	}
	if got := one(t, db, "SELECT COUNT(*) FROM system.transactions WHERE origin = 'Test' AND state = 'idle' AND write_count = 2 AND touched_tables_count = 1 AND write_bytes > 0"); got != "1" {
		t.Errorf("%s rows of it in system.transactions", got)
	}
	mustSay(t, a, "COMMIT", "")
	mustSay(t, b, "SELECT id, v FROM x.t ORDER BY id", "1 11 3 33 4 40 5 50")
	nothingIsOpen(t, db)
}

// TestTransactionConflicts: of two that change one row the first to commit wins;
// the other is refused as a whole, with a code that says it may be run again.
func TestTransactionConflicts(t *testing.T) {
	db := openAccounts(t, nil)
	a, b := converse(t, db), converse(t, db)
	for i, test := range []struct {
		ours, theirs string
		conflict     bool
	}{
		{"UPDATE x.t SET v = v + 1 WHERE id = 1", "UPDATE x.t SET v = v + 1 WHERE id = 1", true},
		{"UPDATE x.t SET v = v + 1 WHERE id = 1", "UPDATE x.t SET v = v + 1 WHERE id = 2", false},
		{"UPDATE x.t SET v = v + 1 WHERE id = 1", "DELETE FROM x.t WHERE id = 1", true},
		{"DELETE FROM x.t WHERE id = 1", "UPDATE x.t SET v = v + 1 WHERE id = 1", true},
		{"DELETE FROM x.t WHERE id = 1", "DELETE FROM x.t WHERE id = 1", true},
		{"DELETE FROM x.t WHERE id = 1; INSERT INTO x.t VALUES (1, 5)", "UPDATE x.t SET v = v + 1 WHERE id = 1", true},
		{"INSERT INTO x.t VALUES (9, 9)", "INSERT INTO x.t VALUES (9, 8)", true},
		{"INSERT INTO x.t VALUES (9, 9)", "INSERT INTO x.t VALUES (9, 8); DELETE FROM x.t WHERE id = 9", false},
		{"INSERT INTO x.t VALUES (9, 9); DELETE FROM x.t WHERE id = 9", "INSERT INTO x.t VALUES (9, 8)", false},
		{"INSERT INTO x.u VALUES (9, 9); UPDATE x.t SET v = 0 WHERE id = 3", "UPDATE x.t SET v = 0 WHERE id IN (1, 2)", false},
		{"UPDATE x.u SET v = 0 WHERE id = 1; UPDATE x.t SET v = 0 WHERE id = 3", "UPDATE x.t SET v = v + 1 WHERE id = 3", true},
		{"SELECT v FROM x.t WHERE id = 1; UPDATE x.t SET v = 0 WHERE id = 2", "UPDATE x.t SET v = v + 1 WHERE id = 1", false},
		{"UPDATE x.t SET v = v + 1 WHERE id = 1", "STORAGE FLUSH TABLE x.t", false},
		{"UPDATE x.t SET v = v + 1 WHERE id = 1", "ALTER TABLE x.t SET ACCESS LEVEL PUBLIC", true},
		{"INSERT INTO x.t VALUES (9, 9)", "DROP TABLE x.t", true},
	} {
		for _, block := range []bool{false, true} { // the others commit by themselves, or in a transaction
			theirs := test.theirs
			if block && strings.Contains("INSERT UPDATE DELETE", theirs[:6]) {
				theirs = "BEGIN; " + theirs + "; COMMIT"
			} else if block {
				continue
			}
			mustSay(t, b, "DELETE FROM x.t WHERE id > 0; INSERT INTO x.t VALUES (1, 10), (2, 20), (3, 30); DELETE FROM x.u WHERE id > 0; INSERT INTO x.u VALUES (1, 10)", "")
			mustSay(t, a, "BEGIN; "+test.ours, "")
			mustSay(t, b, theirs, "")
			before := ""
			if test.conflict && i < 13 {
				before, _ = say(t, b, "SELECT id, v FROM x.t ORDER BY id; SELECT id, v FROM x.u ORDER BY id")
			}
			_, err := say(t, a, "COMMIT")
			if fault.Is(err, fault.Conflict) != test.conflict || err != nil && !test.conflict {
				t.Errorf("%s against %s: %v", test.ours, theirs, err)
			}
			if open, _ := a.InTransaction(); open {
				t.Error("the transaction is open after its COMMIT")
			}
			if before != "" {
				mustSay(t, b, "SELECT id, v FROM x.t ORDER BY id; SELECT id, v FROM x.u ORDER BY id", before)
			}
		}
	}
	if s := db.Stats().Transactions; s.Open != 0 || s.Conflicts == 0 || s.Bytes != 0 {
		t.Errorf("%+v", s)
	}
}

// TestFailedTransaction: after a failure nothing but an end is taken, COMMIT
// rolls back, and a savepoint brings the transaction back.
func TestFailedTransaction(t *testing.T) {
	db := openAccounts(t, nil)
	c := converse(t, db)
	mustSay(t, c, "BEGIN; INSERT INTO x.t VALUES (4, 40)", "")
	mustRefuse(t, c, "INSERT INTO x.t VALUES (1, 1)", fault.DuplicateKey, "already exists")
	for _, sql := range []string{"SELECT 1", "INSERT INTO x.t VALUES (5, 50)", "SAVEPOINT a", "RELEASE a", "BEGIN", "ROLLBACK TO a"} {
		mustRefuse(t, c, sql, fault.FailedTransaction, "current transaction is aborted, commands ignored until end of transaction block")
	}
	if s := db.Stats().Transactions; s.Open != 0 || s.Bytes != 0 {
		t.Errorf("a failed transaction without savepoints holds %+v", s)
	}
	if open, failed := c.InTransaction(); !open || !failed {
		t.Errorf("open %v, failed %v", open, failed)
	}
	if got, err := say(t, c, "COMMIT"); err != nil || !strings.HasPrefix(got, "Transaction rolled back (") {
		t.Errorf("COMMIT of a failed transaction: %q, %v", got, err)
	}
	mustSay(t, c, "SELECT COUNT(*) FROM x.t", "3")

	mustSay(t, c, "BEGIN; INSERT INTO x.t VALUES (4, 40); SAVEPOINT a; INSERT INTO x.t VALUES (5, 50)", "")
	mustRefuse(t, c, "SELECT 1 / 0", fault.DivisionByZero, "")
	mustRefuse(t, c, "SELECT 1", fault.FailedTransaction, "division by zero")
	mustSay(t, c, "ROLLBACK TO a; INSERT INTO x.t VALUES (6, 60)", "")
	mustRefuse(t, c, "SELECT v / (v - 20) FROM x.t", fault.DivisionByZero, "") // while its rows are read
	mustRefuse(t, c, "SELECT 1", fault.FailedTransaction, "")
	mustSay(t, c, "ROLLBACK TO a; INSERT INTO x.t VALUES (7, 70); COMMIT; SELECT id FROM x.t ORDER BY id", "")
	mustSay(t, c, "SELECT id FROM x.t ORDER BY id", "1 2 3 4 7")

	mustSay(t, c, "BEGIN", "")
	mustRefuse(t, c, "SELEC", fault.Syntax, "")
	mustRefuse(t, c, "SELECT 1", fault.FailedTransaction, "")
	mustSay(t, c, "ROLLBACK; BEGIN", "")
	mustRefuse(t, c, "SELECT 1; SELEC", fault.Syntax, "") // a batch of which nothing ran
	mustRefuse(t, c, "SELECT 1", fault.FailedTransaction, "")
	mustSay(t, c, "ROLLBACK", "")
	mustSay(t, c, "SELECT 1", "1")
	nothingIsOpen(t, db)
}

// TestTransactionLimits: each bound ends the transaction that meets it, says
// which key raises it, and leaves nothing.
func TestTransactionLimits(t *testing.T) {
	db := openAccounts(t, func(o *core.Options) {
		o.Transactions = core.TransactionOptions{MaxBytes: 8 << 10, Memory: 12 << 10, MaxOpen: 3, IdleTimeout: time.Minute, Timeout: 10 * time.Minute}
		o.Commit.MaxRows = 50
	})
	mustRun(t, db, root, "CREATE SHARED TABLE x.w (id BIGINT PRIMARY KEY, v TEXT)")
	wide := strings.Repeat("w", 1000)
	a, b := converse(t, db), converse(t, db)
	fill := func(c *core.Conversation, n int) (err error) {
		for i := 0; i < n && err == nil; i++ {
			_, err = say(t, c, fmt.Sprintf("INSERT INTO x.w VALUES (%d, '%s')", i, wide))
		}
		return err
	}
	mustSay(t, a, "BEGIN", "")
	if err := fill(a, 20); !fault.Is(err, fault.LimitExceeded) || !strings.Contains(err.Error(), "transaction.max_bytes") {
		t.Errorf("too many bytes: %v", err)
	}
	mustRefuse(t, a, "SELECT 1", fault.FailedTransaction, "transaction.max_bytes")
	mustSay(t, a, "ROLLBACK", "")

	mustSay(t, a, "BEGIN; UPDATE x.t SET v = 0 WHERE id = 1", "")
	for i := range 200 { // the same row again and again is one change
		mustSay(t, a, fmt.Sprintf("UPDATE x.t SET v = %d WHERE id = 1", i+1), "")
	}
	mustSay(t, a, "COMMIT", "")
	mustSay(t, a, "BEGIN; SAVEPOINT s", "") // unless marks keep what was there
	var err error
	for i := 0; i < 200 && err == nil; i++ {
		_, err = say(t, a, fmt.Sprintf("UPDATE x.t SET v = %d WHERE id = 1; SAVEPOINT s%d", i, i))
	}
	if !fault.Is(err, fault.LimitExceeded) {
		t.Errorf("savepoints without end: %v", err)
	}
	mustSay(t, a, "ROLLBACK TO s; RELEASE s; COMMIT", "")

	mustSay(t, a, "BEGIN", "")
	mustSay(t, b, "BEGIN", "")
	if err := fill(a, 7); err != nil {
		t.Fatal(err)
	}
	if err := fill(b, 7); !fault.Is(err, fault.ServerBusy) || !strings.Contains(err.Error(), "transaction.memory") {
		t.Errorf("too many bytes together: %v", err)
	}
	mustSay(t, b, "ROLLBACK", "")
	mustSay(t, a, "ROLLBACK; BEGIN", "")
	for i := range 50 {
		mustSay(t, a, fmt.Sprintf("INSERT INTO x.u VALUES (%d, 0)", 100+i), "")
	}
	mustRefuse(t, a, "INSERT INTO x.u VALUES (99, 0)", fault.LimitExceeded, "commit.max_rows")
	mustSay(t, a, "ROLLBACK", "")

	var all []*core.Conversation
	for range 3 {
		c := converse(t, db)
		mustSay(t, c, "BEGIN; UPDATE x.t SET v = 7 WHERE id = 2", "")
		all = append(all, c)
	}
	mustRefuse(t, a, "BEGIN", fault.ServerBusy, "transaction.max_open")
	db.Clock.Advance(30 * time.Second)
	mustSay(t, all[0], "SELECT 1", "1")
	db.Clock.Advance(31 * time.Second)
	mustSay(t, all[0], "SELECT 1", "1")
	mustRefuse(t, all[1], "COMMIT", fault.FailedTransaction, "transaction.idle_timeout")
	mustSay(t, all[1], "BEGIN; SELECT v FROM x.t WHERE id = 3", "")
	for db.Stats().Transactions.Open > 2 { // the third one ends although it is asked nothing
		mustRun(t, db, root, "SELECT 1")
	}
	for range 20 {
		db.Clock.Advance(30 * time.Second)
		if _, err = say(t, all[0], "SELECT 1"); err != nil {
			break
		}
	}
	if !fault.Is(err, fault.FailedTransaction) || !strings.Contains(err.Error(), "transaction.timeout") {
		t.Errorf("a transaction without end: %v", err)
	}
	for _, c := range all {
		mustSay(t, c, "ROLLBACK", "")
		mustRefuse(t, c, "ROLLBACK", fault.NoTransaction, "")
	}
	if got := one(t, db, "SELECT COUNT(*) FROM x.w"); got != "0" {
		t.Errorf("%s rows are left", got)
	}
	nothingIsOpen(t, db)
}

// TestTransactionSize: what a transaction is charged is what it holds, whatever
// way it came there.
func TestTransactionSize(t *testing.T) {
	db := openAccounts(t, nil)
	mustRun(t, db, root, "CREATE SHARED TABLE x.w (id BIGINT PRIMARY KEY, v TEXT); INSERT INTO x.w VALUES (1, 'old')")
	wide := strings.Repeat("w", 500)
	size := func(sql string) string {
		t.Helper()
		c := converse(t, db)
		mustSay(t, c, "BEGIN; "+sql, "")
		got := one(t, db, "SELECT write_count FROM system.transactions") + " " + one(t, db, "SELECT write_bytes FROM system.transactions")
		mustSay(t, c, "ROLLBACK", "")
		return got
	}
	empty, updated, inserted := size("SELECT 1"), size("UPDATE x.w SET v = 'new' WHERE id = 1"), size("INSERT INTO x.w VALUES (2, 'new')")
	for sql, want := range map[string]string{
		"UPDATE x.w SET v = '" + wide + "' WHERE id = 1; UPDATE x.w SET v = 'new' WHERE id = 1":                                                           updated,
		"DELETE FROM x.w WHERE id = 1; INSERT INTO x.w VALUES (1, 'new')":                                                                                 updated,
		"SAVEPOINT a; UPDATE x.w SET v = '" + wide + "' WHERE id = 1; UPDATE x.w SET v = 'new' WHERE id = 1; RELEASE a":                                   updated,
		"SAVEPOINT a; UPDATE x.w SET v = '" + wide + "' WHERE id = 1; SAVEPOINT b; DELETE FROM x.w WHERE id = 1; ROLLBACK TO a; RELEASE a":                empty,
		"SAVEPOINT a; UPDATE x.w SET v = 'new' WHERE id = 1; SAVEPOINT b; DELETE FROM x.w WHERE id = 1; ROLLBACK TO b; RELEASE a":                         updated,
		"INSERT INTO x.w VALUES (2, '" + wide + "'); UPDATE x.w SET v = 'new' WHERE id = 2":                                                               inserted,
		"INSERT INTO x.w VALUES (2, 'new'); DELETE FROM x.w WHERE id = 2":                                                                                 empty,
		"SAVEPOINT a; INSERT INTO x.w VALUES (2, 'new'); DELETE FROM x.w WHERE id = 2; INSERT INTO x.w VALUES (2, 'new'); SAVEPOINT long_name; RELEASE a": inserted,
	} {
		if got := size(sql); got != want {
			t.Errorf("%.200s: %s, want %s", sql, got, want)
		}
	}
	nothingIsOpen(t, db)
}

// TestNothingOfTransactionsIsLeft: requests that fail, that are given up, and
// doors that close leave neither rows nor views.
func TestNothingOfTransactionsIsLeft(t *testing.T) {
	db := openAccounts(t, nil)
	for _, sql := range []string{
		"BEGIN; INSERT INTO x.t VALUES (4, 40)",
		"BEGIN; INSERT INTO x.t VALUES (4, 40); SELECT 1 / 0; COMMIT",
		"BEGIN; SELECT v / (v - 20) FROM x.t; COMMIT",
		"BEGIN; INSERT INTO x.t VALUES (4, 40); ROLLBACK",
		"BEGIN; INSERT INTO x.t VALUES (4, 40); SAVEPOINT a; INSERT INTO x.t VALUES (4, 40)",
		"BEGIN; INSERT INTO x.t VALUES (4, 40); BEGIN",
		"BEGIN; INSERT INTO x.t VALUES (4, 40); COMMIT; COMMIT",
		"BEGIN; INSERT INTO x.t VALUES (5, 40); DROP TABLE x.t",
		"BEGIN; SELECT * FROM x.t; SELECT * FROM x.u",
	} {
		for range 3 {
			_, _ = run(db, root, sql)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, _ = db.Execute(ctx, root, core.Request{SQL: sql})
		}
	}
	mustRun(t, db, root, "DELETE FROM x.t WHERE id = 4")
	for range 10 {
		c := db.Converse(root, "Test", schema.DefaultNamespace)
		mustSay(t, c, "BEGIN; INSERT INTO x.t VALUES (6, 60); SAVEPOINT a; SELECT COUNT(*) FROM x.t", "")
		results, err := c.Execute(t.Context(), "SELECT * FROM x.t", nil) // not read
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		c.Close()
		results[0].Close()
	}
	if got := one(t, db, "SELECT COUNT(*) FROM x.t"); got != "3" {
		t.Errorf("%s rows, want 3", got)
	}
	nothingIsOpen(t, db)
}

// TestConcurrentTransactions: many at one time move amounts between rows of two
// tables and run again when they lost; nothing is lost or made, and every
// reader sees all of a commit or none.
func TestConcurrentTransactions(t *testing.T) {
	db := openAccounts(t, nil)
	mustRun(t, db, root, "DELETE FROM x.u WHERE id > 0; DELETE FROM x.t WHERE id > 0; INSERT INTO x.t VALUES (0, 100), (1, 100), (2, 100); INSERT INTO x.u VALUES (0, 100), (1, 100), (2, 100)")
	const writers, moves = 4, 40
	var wait sync.WaitGroup
	done := make(chan struct{})
	for w := range writers {
		wait.Go(func() {
			c := converse(t, db)
			for i := range moves {
				for {
					_, err := say(t, c, fmt.Sprintf("BEGIN; UPDATE x.t SET v = v - 1 WHERE id = %d; UPDATE x.u SET v = v + 1 WHERE id = %d; COMMIT", (w+i)%3, i%3))
					if err == nil {
						break
					}
					if !fault.Is(err, fault.Conflict) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	var reader sync.WaitGroup
	reader.Go(func() {
		c := converse(t, db)
		for {
			select {
			case <-done:
				return
			default:
			}
			got, err := say(t, c, "BEGIN; SELECT SUM(v) FROM x.t; SELECT SUM(v) FROM x.u; COMMIT")
			var id, end string
			var first, second int
			if _, scan := fmt.Sscanf(strings.NewReplacer("Transaction started ", "", "Transaction committed ", "").Replace(got), "%s %d %d %s", &id, &first, &second, &end); err != nil || scan != nil || first+second != 600 {
				t.Errorf("%q, %v: not one moment", got, err)
				return
			}
		}
	})
	wait.Wait()
	close(done)
	reader.Wait()
	if first, second := one(t, db, "SELECT SUM(v) FROM x.t"), one(t, db, "SELECT SUM(v) FROM x.u"); first != fmt.Sprint(300-writers*moves) || second != fmt.Sprint(300+writers*moves) {
		t.Errorf("%s and %s", first, second)
	}
	nothingIsOpen(t, db)
}
