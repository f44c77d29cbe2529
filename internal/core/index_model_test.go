package core_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"kalamdb/internal/core"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/testkit"
)

// printedRows runs a query and prints its rows.
func printedRows(db *testkit.Database, sql string) (string, error) {
	results, err := db.Execute(context.Background(), root, core.Request{SQL: sql})
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, r := range results {
		defer r.Close()
		for {
			batch, err := r.Next(context.Background())
			if err != nil {
				return "", err
			}
			if batch == nil {
				break
			}
			for _, row := range batch {
				fmt.Fprintln(&out, row)
			}
		}
	}
	return out.String(), nil
}

// indexModel is two tables that get the same statements, one of them with
// indexes that come and go.
type indexModel struct {
	t      *testing.T
	db     *testkit.Database
	chance *rand.Rand
}

func (m *indexModel) both(sql string) {
	m.t.Helper()
	plain, plainErr := run(m.db, root, strings.ReplaceAll(sql, "#", "m.plain"))
	other, otherErr := run(m.db, root, strings.ReplaceAll(sql, "#", "m.indexed"))
	for _, list := range [][]string{plain, other} {
		for i := range list {
			if strings.HasPrefix(list[i], "Transaction ") {
				list[i], _, _ = strings.Cut(list[i], "(") // its id follows
			}
		}
	}
	if fault.CodeOf(plainErr) != fault.CodeOf(otherErr) || fmt.Sprint(plain) != fmt.Sprint(other) {
		m.t.Fatalf("%s: %v, %v; with indexes %v, %v", sql, plain, plainErr, other, otherErr)
	}
}

// value is one of few, so that rows share them.
func (m *indexModel) value() string {
	if m.chance.IntN(8) == 0 {
		return "NULL"
	}
	return fmt.Sprint(m.chance.IntN(6))
}

func (m *indexModel) condition() string {
	columns, signs := []string{"a", "b", "c", "id"}, []string{"=", "=", "=", "<", "<=", ">", ">="}
	parts := make([]string, 1+m.chance.IntN(3))
	for i := range parts {
		column := columns[m.chance.IntN(len(columns))]
		switch m.chance.IntN(6) {
		case 0:
			parts[i] = fmt.Sprintf("%s IN (%s, %s, %s)", column, m.value(), m.value(), m.value())
		case 1:
			parts[i] = column + " IS NULL"
		default:
			parts[i] = fmt.Sprintf("%s %s %s", column, signs[m.chance.IntN(len(signs))], m.value())
		}
		if column == "c" {
			parts[i] = strings.ReplaceAll(parts[i], "c ", "CAST(c AS INT) ")
			if m.chance.IntN(2) == 0 {
				parts[i] = fmt.Sprintf("c = '%d'", m.chance.IntN(6))
			}
		}
	}
	return strings.Join(parts, " AND ")
}

func (m *indexModel) change() string {
	id := m.chance.IntN(60)
	switch m.chance.IntN(6) {
	case 0, 1:
		return fmt.Sprintf("INSERT INTO # VALUES (%d, %s, %s, '%d') ON CONFLICT (id) DO UPDATE SET a = EXCLUDED.a, b = EXCLUDED.b", id, m.value(), m.value(), m.chance.IntN(6))
	case 2:
		return fmt.Sprintf("UPDATE # SET a = %s WHERE id = %d", m.value(), id)
	case 3:
		return fmt.Sprintf("UPDATE # SET b = %s, c = '%d' WHERE %s", m.value(), m.chance.IntN(6), m.condition())
	case 4:
		return fmt.Sprintf("DELETE FROM # WHERE id = %d", id)
	}
	return fmt.Sprintf("DELETE FROM # WHERE %s AND id < %d", m.condition(), m.chance.IntN(20))
}

func (m *indexModel) query() string {
	order := []string{"", " ORDER BY id", " ORDER BY a DESC, id", " ORDER BY id LIMIT 3", " LIMIT 2 OFFSET 1"}[m.chance.IntN(5)]
	columns := []string{"id, a, b, c", "id", "c, a"}[m.chance.IntN(3)]
	return "SELECT " + columns + " FROM # WHERE " + m.condition() + order
}

func (m *indexModel) step() {
	switch n := m.chance.IntN(100); {
	case n < 35:
		m.both(m.change())
	case n < 40: // what a transaction sees of its own
		m.both("BEGIN; " + m.change() + "; " + m.change() + "; " + m.query() + "; " + []string{"COMMIT", "ROLLBACK"}[m.chance.IntN(2)])
	case n < 90:
		sql := m.query()
		plain, err := printedRows(m.db, strings.ReplaceAll(sql, "#", "m.plain"))
		if err != nil {
			m.t.Fatalf("%s: %v", sql, err)
		}
		indexed, err := printedRows(m.db, strings.ReplaceAll(sql, "#", "m.indexed"))
		if err != nil || plain != indexed {
			m.t.Fatalf("%s gives\n%swith indexes\n%s%v", sql, plain, indexed, err)
		}
	case n < 94:
		columns := []string{"a", "b", "c", "a, b", "b, c", "c, b, a"}
		at := m.chance.IntN(len(columns))
		mustRun(m.t, m.db, root, fmt.Sprintf("CREATE INDEX IF NOT EXISTS i%d ON m.indexed (%s)", at, columns[at]))
	case n < 96:
		mustRun(m.t, m.db, root, fmt.Sprintf("DROP INDEX IF EXISTS m.i%d", m.chance.IntN(6)))
	case n < 99:
		for _, name := range []string{"plain", "indexed"} {
			if _, err := m.db.Flush(m.t.Context(), "m", name); err != nil {
				m.t.Fatal(err)
			}
		}
	default:
		m.restart()
	}
}

// restart opens what a power cut leaves.
func (m *indexModel) restart() {
	clone, clock := m.db.Disk.CrashClone(m.chance.Uint64(), 50), m.db.Clock
	if err := m.db.Close(); err != nil {
		m.t.Fatal(err)
	}
	db, err := testkit.Open(clone, clock, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	m.db = db
}

// TestIndexesChangeNothing compares a table that has indexes with one that has
// none, through flushes, power cuts and transactions.
func TestIndexesChangeNothing(t *testing.T) {
	steps := 3000
	if testing.Short() {
		steps = 500
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	db, err := testkit.Open(disk.NewMem(), testkit.NewClock(), nil)
	if err != nil {
		t.Fatal(err)
	}
	m := &indexModel{t: t, db: db, chance: rand.New(rand.NewPCG(seed, 1))}
	defer func() {
		if err := m.db.Close(); err != nil {
			t.Error(err)
		}
	}()
	mustRun(t, db, root, "CREATE NAMESPACE m; CREATE TABLE m.plain (id INT PRIMARY KEY, a INT, b INT, c TEXT) WITH (TYPE='SHARED'); "+
		"CREATE TABLE m.indexed (id INT PRIMARY KEY, a INT, b INT, c TEXT) WITH (TYPE='SHARED')")
	for range steps {
		m.step()
	}
}

// TestUniqueAmongWriters writes few values from many sides, alone and in
// transactions, while unique indexes are built and dropped and rows are flushed.
// Whenever an index is there, no value is there twice.
func TestUniqueAmongWriters(t *testing.T) {
	db := openDB(t, nil)
	mustRun(t, db, root, "CREATE NAMESPACE u; CREATE TABLE u.t (id INT PRIMARY KEY, v INT, w INT UNIQUE) WITH (TYPE='SHARED')")
	length := 3 * time.Second
	if testing.Short() {
		length = 500 * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	allowed := func(what string, err error) {
		switch code := fault.CodeOf(err); {
		case err == nil, code == fault.DuplicateKey, code == fault.UniqueViolation, code == fault.Conflict, code == fault.ServerBusy:
		default:
			t.Errorf("%s: %v", what, err)
		}
	}
	var all sync.WaitGroup
	for w := range 6 {
		all.Go(func() {
			chance := rand.New(rand.NewPCG(uint64(w), 7))
			for ctx.Err() == nil {
				id, v := chance.IntN(200), chance.IntN(300)
				sql := []string{
					fmt.Sprintf("INSERT INTO u.t VALUES (%d, %d, %d)", id, v, v),
					fmt.Sprintf("INSERT INTO u.t VALUES (%d, %d, %d), (%d, %d, NULL)", id, v, v, id+200, v+1),
					fmt.Sprintf("UPDATE u.t SET w = %d WHERE id = %d", v, id),
					fmt.Sprintf("UPDATE u.t SET v = %d, w = w + 1 WHERE id = %d", v, id),
					fmt.Sprintf("DELETE FROM u.t WHERE w = %d", v),
					fmt.Sprintf("INSERT INTO u.t VALUES (%d, %d, %d) ON CONFLICT (w) DO UPDATE SET v = %d", id, v, v, v),
					fmt.Sprintf("INSERT INTO u.t VALUES (%d, %d, %d) ON CONFLICT DO NOTHING", id, v, v),
					fmt.Sprintf("BEGIN; UPDATE u.t SET w = NULL WHERE w = %d; INSERT INTO u.t VALUES (%d, %d, %d); COMMIT", v, id, v, v),
				}[chance.IntN(8)]
				_, err := run(db, root, sql)
				allowed(sql, err)
			}
		})
	}
	twice := func(column string) {
		rows, err := printedRows(db, fmt.Sprintf("SELECT %[1]s, COUNT(*) FROM u.t WHERE %[1]s IS NOT NULL GROUP BY %[1]s HAVING COUNT(*) > 1", column))
		if err != nil || rows != "" {
			t.Errorf("values of %s that are there more than once: %s%v", column, rows, err)
		}
	}
	built := 0
	for ctx.Err() == nil {
		_, err := run(db, root, "CREATE UNIQUE INDEX u_v ON u.t (v)")
		allowed("CREATE UNIQUE INDEX", err)
		if err == nil {
			built++
			twice("v")
			mustRun(t, db, root, "DROP INDEX u.u_v")
		} else {
			_, err := run(db, root, "DELETE FROM u.t WHERE v % 2 = 0; DELETE FROM u.t WHERE v % 3 = 0; DELETE FROM u.t WHERE id > 200")
			allowed("DELETE", err) // among writers it may give up
		}
		twice("w")
		if _, err := db.Flush(t.Context(), "u", "t"); err != nil {
			t.Error(err)
		}
	}
	all.Wait()
	twice("w")
	t.Logf("%d indexes were built", built)
}

// TestIndexBuildCut takes power cuts while an index is being built: the next
// start has the index whole, or not at all.
func TestIndexBuildCut(t *testing.T) {
	db := openDB(t, nil)
	mustRun(t, db, root, "CREATE NAMESPACE c; CREATE TABLE c.t (id INT PRIMARY KEY, v INT) WITH (TYPE='SHARED')")
	const rows = 12_000
	for at := 0; at < rows; at += 4000 {
		mustRun(t, db, root, fmt.Sprintf("INSERT INTO c.t SELECT g, g %% 10 FROM generate_series(%d, %d) AS s(g)", at, at+3999))
		if at == 0 {
			if _, err := db.Flush(t.Context(), "c", "t"); err != nil {
				t.Fatal(err)
			}
		}
	}
	done := make(chan error, 1)
	go func() {
		_, err := run(db, root, "CREATE INDEX t_v ON c.t (v)")
		done <- err
	}()
	var clones []*disk.Mem
	for ended := false; !ended; {
		select {
		case err := <-done:
			if ended = true; err != nil {
				t.Fatal(err)
			}
		case <-time.After(2 * time.Millisecond):
		}
		if len(clones) < 12 || ended {
			clones = append(clones, db.Disk.CrashClone(uint64(len(clones)), 50))
		}
	}
	whole := 0
	for i, clone := range clones {
		again, err := testkit.Open(clone, testkit.NewClock(), nil)
		if err != nil {
			t.Fatal(err)
		}
		check := func() {
			got, err := printedRows(again, "SELECT COUNT(*) FROM c.t WHERE v = 3")
			if want := fmt.Sprintf("[%d]\n", rows/10); err != nil || got != want {
				t.Errorf("clone %d: %s rows by the index, %v", i, got, err)
			}
		}
		check()
		if m := mustRun(t, again, root, "DROP INDEX IF EXISTS c.t_v"); strings.HasPrefix(m[0], "Index t_v dropped") {
			whole++
		}
		mustRun(t, again, root, "CREATE INDEX t_v ON c.t (v)")
		check()
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}
	if whole == 0 {
		t.Error("no clone had the index that was answered")
	}
	t.Logf("%d clones, %d with the index", len(clones), whole)
}

// TestIndexBuildCancelled cancels the statement that waits for an index, and the
// job that builds one: the index is gone, and its name free.
func TestIndexBuildCancelled(t *testing.T) {
	db := openDB(t, nil)
	mustRun(t, db, root, "CREATE NAMESPACE c; CREATE TABLE c.t (id INT PRIMARY KEY, v INT) WITH (TYPE='SHARED')")
	for at := 0; at < 40_000; at += 10_000 {
		mustRun(t, db, root, fmt.Sprintf("INSERT INTO c.t SELECT g, g %% 10 FROM generate_series(%d, %d) AS s(g)", at, at+9999))
	}
	cancelled := 0
	for i := range 8 {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			results, err := db.Execute(ctx, root, core.Request{SQL: "CREATE INDEX t_v ON c.t (v)"})
			for _, r := range results {
				r.Close()
			}
			ended <- err
		}()
		<-time.After(time.Duration(i) * 5 * time.Millisecond)
		cancel()
		err := <-ended
		if err != nil {
			cancelled++
		}
		m := mustRun(t, db, root, "DROP INDEX IF EXISTS c.t_v")
		if there := strings.HasPrefix(m[0], "Index t_v dropped"); there != (err == nil) {
			t.Errorf("after %v the index is there: %v", err, there)
		}
	}
	t.Logf("%d of 8 were cancelled", cancelled)
	mustRun(t, db, root, "CREATE INDEX t_v ON c.t (v)")
	if got, err := printedRows(db, "SELECT COUNT(*) FROM c.t WHERE v = 3"); err != nil || got != "[4000]\n" {
		t.Errorf("by the index: %s%v", got, err)
	}
}
