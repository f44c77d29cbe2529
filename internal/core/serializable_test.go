package core_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"kalamdb/internal/fault"
)

// TestSerializable: a serializable transaction that writes commits only when
// nobody has changed since its BEGIN a table that it has read.
func TestSerializable(t *testing.T) {
	db := openAccounts(t, nil)
	a, b := converse(t, db), converse(t, db)
	for i, test := range []struct {
		ours, theirs string
		conflict     bool
	}{
		{"SELECT sum(v) FROM x.t; INSERT INTO x.u VALUES (9, 9)", "UPDATE x.t SET v = v + 1 WHERE id = 1", true},
		{"SELECT count(*) FROM x.t; INSERT INTO x.u VALUES (9, 9)", "INSERT INTO x.t VALUES (9, 1)", true},
		{"SELECT v FROM x.t WHERE id = 1; INSERT INTO x.u VALUES (9, 9)", "DELETE FROM x.t WHERE id = 1", true},
		{"SELECT v FROM x.t WHERE id = 1; INSERT INTO x.u VALUES (9, 9)", "UPDATE x.t SET v = v + 1 WHERE id = 2", true},
		{"SELECT t.v FROM x.t AS t JOIN x.u AS u ON t.id = u.id; INSERT INTO x.u VALUES (9, 9)", "UPDATE x.t SET v = v + 1 WHERE id = 2", true},
		{"UPDATE x.u SET v = (SELECT max(v) FROM x.t) WHERE id = 1", "UPDATE x.t SET v = v + 1 WHERE id = 2", true},
		{"INSERT INTO x.t VALUES (1, 0) ON CONFLICT DO NOTHING; INSERT INTO x.u VALUES (9, 9)", "DELETE FROM x.t WHERE id = 1", true},
		{"INSERT INTO x.t VALUES (9, 0) ON CONFLICT DO NOTHING", "UPDATE x.t SET v = v + 1 WHERE id = 1", false},
		{"INSERT INTO x.t VALUES (9, 9)", "UPDATE x.t SET v = v + 1 WHERE id = 1", false},
		{"SELECT v FROM x.u; INSERT INTO x.u VALUES (9, 9)", "UPDATE x.t SET v = v + 1 WHERE id = 1", false},
		{"SELECT v FROM x.t", "UPDATE x.t SET v = v + 1 WHERE id = 1", false},
		{"SELECT v FROM x.t; INSERT INTO x.u VALUES (9, 9)", "STORAGE FLUSH TABLE x.t", false},
		{"SELECT v FROM x.t; INSERT INTO x.u VALUES (9, 9)", "ALTER TABLE x.t SET ACCESS LEVEL PUBLIC", true},
		{"SELECT v FROM x.t; INSERT INTO x.u VALUES (9, 9)", "DROP TABLE x.t", true},
	} {
		for _, set := range []bool{false, true} {
			name := fmt.Sprintf("%d %s | %s", i, test.ours, test.theirs)
			mustRun(t, db, root, "DROP TABLE IF EXISTS x.t; DROP TABLE IF EXISTS x.u; CREATE SHARED TABLE x.t (id BIGINT PRIMARY KEY, v BIGINT); CREATE USER TABLE x.u (id BIGINT PRIMARY KEY, v BIGINT); INSERT INTO x.t VALUES (1, 10), (2, 20), (3, 30); INSERT INTO x.u VALUES (1, 10)")
			if set {
				mustSay(t, a, "BEGIN; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "")
			} else {
				mustSay(t, a, "BEGIN ISOLATION LEVEL SERIALIZABLE", "")
			}
			mustSay(t, a, test.ours, "")
			mustSay(t, b, test.theirs, "")
			switch _, err := say(t, a, "COMMIT"); {
			case test.conflict != (err != nil):
				t.Errorf("%s: %v", name, err)
			case test.conflict && (!fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "may be run again")):
				t.Errorf("%s: %v", name, err)
			}
			if test.conflict && !strings.Contains(test.theirs, "x.u") {
				mustSay(t, b, "SELECT count(*) FROM x.u WHERE id = 9", "0")
			}
		}
	}
	mustRun(t, db, root, "CREATE SHARED TABLE x.t (id BIGINT PRIMARY KEY, v BIGINT)")
	nothingIsOpen(t, db)
}

// TestWriteSkew: two that each read what the other writes both commit under
// snapshots, and never when they are serializable.
func TestWriteSkew(t *testing.T) {
	db := openAccounts(t, nil)
	for _, level := range []string{"REPEATABLE READ", "SERIALIZABLE"} {
		mustRun(t, db, root, "UPDATE x.t SET v = 100 WHERE id > 0")
		a, b := converse(t, db), converse(t, db)
		mustSay(t, a, "BEGIN ISOLATION LEVEL "+level, "")
		mustSay(t, b, "BEGIN ISOLATION LEVEL "+level, "")
		mustSay(t, a, "SELECT sum(v) FROM x.t WHERE id IN (1, 2); UPDATE x.t SET v = v - 150 WHERE id = 1", "")
		mustSay(t, b, "SELECT sum(v) FROM x.t WHERE id IN (1, 2); UPDATE x.t SET v = v - 150 WHERE id = 2", "")
		mustSay(t, a, "COMMIT", "")
		_, err := say(t, b, "COMMIT")
		if skew := err == nil; skew != (level != "SERIALIZABLE") {
			t.Errorf("%s: %v", level, err)
		}
	}
	nothingIsOpen(t, db)
}

// TestSerializableCounts: many that count the rows and insert one more, each in
// the partition of its own row, see no count twice.
func TestSerializableCounts(t *testing.T) {
	db := openAccounts(t, nil)
	mustRun(t, db, root, "DELETE FROM x.t WHERE id > 0")
	const each, workers = 20, 4
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() {
			for n := range each {
				text := fmt.Sprintf("BEGIN ISOLATION LEVEL SERIALIZABLE; INSERT INTO x.t SELECT %d, count(*) FROM x.t; COMMIT", 1+w*each+n)
				for {
					_, err := run(db, root, text)
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
	wait.Wait()
	if got := one(t, db, "SELECT count(DISTINCT v) || ' ' || min(v) || ' ' || max(v) FROM x.t"); got != "80 0 79" {
		t.Errorf("counts, least and greatest: %s, want 80 0 79", got)
	}
}

// TestChainedTransactions: AND CHAIN ends one transaction and begins another
// with its modes, which sees what the first has committed.
func TestChainedTransactions(t *testing.T) {
	db := openAccounts(t, nil)
	a, b := converse(t, db), converse(t, db)
	mustSay(t, a, "BEGIN ISOLATION LEVEL SERIALIZABLE; INSERT INTO x.t VALUES (4, 40); COMMIT AND CHAIN", "")
	if open, failed := a.InTransaction(); !open || failed {
		t.Fatalf("open %v, failed %v", open, failed)
	}
	mustSay(t, a, "SELECT count(*) FROM x.t; INSERT INTO x.u VALUES (5, 5)", "")
	mustSay(t, b, "SELECT v FROM x.t WHERE id = 4", "40")
	mustSay(t, b, "DELETE FROM x.t WHERE id = 4", "")
	mustRefuse(t, a, "COMMIT AND CHAIN", fault.Conflict, "serializable")
	if open, _ := a.InTransaction(); open {
		t.Error("a commit that was refused has begun another")
	}
	mustSay(t, a, "BEGIN READ ONLY; SELECT 1; ROLLBACK AND CHAIN", "")
	mustRefuse(t, a, "INSERT INTO x.u VALUES (6, 6)", fault.InvalidOperation, "read-only")
	mustSay(t, a, "COMMIT AND CHAIN", "") // rolls back what has failed
	if open, failed := a.InTransaction(); !open || failed {
		t.Fatalf("open %v, failed %v", open, failed)
	}
	mustSay(t, a, "COMMIT AND NO CHAIN", "")
	mustRefuse(t, a, "COMMIT AND CHAIN", fault.NoTransaction, "COMMIT requires")
	mustRefuse(t, a, "ROLLBACK AND CHAIN", fault.NoTransaction, "ROLLBACK requires")
	mustSay(t, a, "BEGIN; INSERT INTO x.u VALUES (6, 6); COMMIT AND CHAIN; INSERT INTO x.u VALUES (7, 7)", "")
	a.Close() // the client is gone
	mustSay(t, b, "SELECT id FROM x.u ORDER BY id", "1 6")
	nothingIsOpen(t, db)
}

// TestSetTransaction: modes can be set until the first query.
func TestSetTransaction(t *testing.T) {
	db := openAccounts(t, nil)
	a := converse(t, db)
	mustRefuse(t, a, "SET TRANSACTION READ ONLY", fault.NoTransaction, "SET TRANSACTION requires")
	mustSay(t, a, "BEGIN; SET TRANSACTION READ ONLY; SET TRANSACTION READ WRITE, ISOLATION LEVEL SERIALIZABLE; INSERT INTO x.u VALUES (5, 5); SET TRANSACTION READ ONLY", "")
	mustRefuse(t, a, "INSERT INTO x.u VALUES (6, 6)", fault.InvalidOperation, "read-only")
	mustSay(t, a, "ROLLBACK", "")
	mustSay(t, a, "BEGIN READ ONLY; SELECT 1", "")
	mustRefuse(t, a, "SET TRANSACTION READ WRITE", fault.ActiveTransaction, "before any query")
	mustSay(t, a, "ROLLBACK", "")
	mustSay(t, a, "BEGIN; SELECT 1", "")
	mustRefuse(t, a, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", fault.ActiveTransaction, "before any query")
	mustSay(t, a, "ROLLBACK", "")
	mustSay(t, a, "SELECT count(*) FROM x.u", "1")
	nothingIsOpen(t, db)
}
