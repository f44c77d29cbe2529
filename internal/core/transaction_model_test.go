package core_test

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"kalamdb/internal/core"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/testkit"
)

var (
	modelSeed  = flag.Uint64("transactions.seed", 1, "first seed of TestTransactionsAgainstModel")
	modelSeeds = flag.Int("transactions.seeds", 6, "how many seeds it runs")
)

// modelKey is a row of one of the two tables of the model.
type modelKey struct {
	table string
	id    int
}

// modelRow is a committed row: its value, and the commit that made it.
type modelRow struct{ v, made int }

// modelTransaction is what one conversation has open: the rows of its moment,
// what it has made of them (nil: deleted), and what it had at its savepoints.
type modelTransaction struct {
	moment map[modelKey]modelRow
	own    map[modelKey]*int
	marks  []modelMark
}

type modelMark struct {
	name string
	own  map[modelKey]*int
}

// sees returns the value that the transaction sees.
func (m *modelTransaction) sees(k modelKey) (int, bool) {
	if v, touched := m.own[k]; touched {
		if v == nil {
			return 0, false
		}
		return *v, true
	}
	r, there := m.moment[k]
	return r.v, there
}

// si is snapshot isolation, serially: conversations take turns.
type si struct {
	t         *testing.T
	random    *rand.Rand
	db        *testkit.Database
	committed map[modelKey]modelRow
	commits   int
	value     int // the last one written; each is written once
	talks     []*core.Conversation
	open      []*modelTransaction // by conversation, nil without one
	conflicts int
	log       []string
}

const (
	modelKeys  = 5
	modelTalks = 4
)

var modelTables = []string{"x.t", "x.u"}

// newSI opens a database for the model.
func newSI(t *testing.T, seed uint64) *si {
	s := &si{t: t, random: rand.New(rand.NewPCG(seed, 7)), committed: map[modelKey]modelRow{}}
	s.db = openAccounts(t, nil)
	mustRun(t, s.db, root, "DELETE FROM x.t WHERE id > 0; DELETE FROM x.u WHERE id > 0")
	for range modelTalks {
		s.talks = append(s.talks, converse(t, s.db))
		s.open = append(s.open, nil)
	}
	return s
}

// do runs a statement of a conversation.
func (s *si) do(who int, sql string) (string, error) {
	s.log = append(s.log, fmt.Sprintf("%d: %s", who, sql))
	return say(s.t, s.talks[who], sql)
}

func (s *si) fatal(format string, args ...any) {
	s.t.Helper()
	s.t.Fatalf("%s\n%s", fmt.Sprintf(format, args...), strings.Join(s.log, "\n"))
}

// step lets one conversation do one thing.
func (s *si) step() {
	who := s.random.IntN(modelTalks)
	tx := s.open[who]
	switch n := s.random.IntN(100); {
	case tx == nil && n < 60:
		if _, err := s.do(who, "BEGIN"); err != nil {
			s.fatal("%v", err)
		}
		s.open[who] = &modelTransaction{moment: maps.Clone(s.committed), own: map[modelKey]*int{}}
	case tx == nil:
		s.alone(who)
	case n < 18:
		s.end(who, tx, n < 14)
	case n < 28:
		s.mark(who, tx)
	case n < 55:
		s.read(who, tx)
	default:
		s.write(who, tx)
	}
	if s.random.IntN(40) == 0 {
		if _, err := s.db.Flush(s.t.Context(), "x", modelTables[s.random.IntN(2)][2:]); err != nil {
			s.fatal("flush: %v", err)
		}
		s.log = append(s.log, "flush")
	}
}

// alone writes without a transaction, which is a transaction of one statement.
func (s *si) alone(who int) {
	s.open[who] = &modelTransaction{moment: maps.Clone(s.committed), own: map[modelKey]*int{}}
	s.write(who, s.open[who])
	s.publish(s.open[who])
	s.open[who] = nil
}

// write changes a key as the model says it must go.
func (s *si) write(who int, tx *modelTransaction) {
	k := modelKey{modelTables[s.random.IntN(2)], s.random.IntN(modelKeys)}
	_, there := tx.sees(k)
	s.value++
	v := s.value
	count := map[bool]string{false: "0", true: "1"}[there]
	switch s.random.IntN(4) {
	case 0, 1:
		_, err := s.do(who, fmt.Sprintf("INSERT INTO %s VALUES (%d, %d)", k.table, k.id, v))
		if !there && err != nil || there && !fault.Is(err, fault.DuplicateKey) {
			s.fatal("the row is there: %v; answer %v", there, err)
		}
		if !there {
			tx.own[k] = &v
		} else if open, _ := s.talks[who].InTransaction(); open { // the failure ends it, or a mark saves it
			s.recover(who, tx)
		}
	case 2:
		got, err := s.do(who, fmt.Sprintf("UPDATE %s SET v = %d WHERE id = %d", k.table, v, k.id))
		if err != nil || got != "Updated "+count+" row(s)" {
			s.fatal("%s, %v", got, err)
		}
		if there {
			tx.own[k] = &v
		}
	default:
		got, err := s.do(who, fmt.Sprintf("DELETE FROM %s WHERE id = %d", k.table, k.id))
		if err != nil || got != "Deleted "+count+" row(s)" {
			s.fatal("%s, %v", got, err)
		}
		if there {
			tx.own[k] = nil
		}
	}
}

// recover goes back to a savepoint after a failure, or ends.
func (s *si) recover(who int, tx *modelTransaction) {
	if len(tx.marks) == 0 || s.random.IntN(3) == 0 {
		if got, err := s.do(who, "COMMIT"); err != nil || !strings.HasPrefix(got, "Transaction rolled back") {
			s.fatal("COMMIT of a failed transaction: %s, %v", got, err)
		}
		s.open[who] = nil
		return
	}
	s.rollbackTo(who, tx)
}

func (s *si) mark(who int, tx *modelTransaction) {
	if len(tx.marks) > 0 && s.random.IntN(3) > 0 {
		s.rollbackTo(who, tx)
		return
	}
	name := string(rune('a' + s.random.IntN(3)))
	if _, err := s.do(who, "SAVEPOINT "+name); err != nil {
		s.fatal("%v", err)
	}
	tx.marks = append(tx.marks, modelMark{name, maps.Clone(tx.own)})
}

func (s *si) rollbackTo(who int, tx *modelTransaction) {
	name := tx.marks[s.random.IntN(len(tx.marks))].name
	at := len(tx.marks) - 1
	for tx.marks[at].name != name {
		at--
	}
	verb := "ROLLBACK TO "
	if _, failed := s.talks[who].InTransaction(); !failed && s.random.IntN(4) == 0 {
		verb = "RELEASE "
	}
	if _, err := s.do(who, verb+name); err != nil {
		s.fatal("%v", err)
	}
	if verb == "RELEASE " {
		tx.marks = tx.marks[:at]
		return
	}
	tx.own = maps.Clone(tx.marks[at].own)
	tx.marks = tx.marks[:at+1]
}

// read looks at rows in one of several ways; all show the moment with what the
// transaction has made of it.
func (s *si) read(who int, tx *modelTransaction) {
	table := modelTables[s.random.IntN(2)]
	var want []string
	sum := 0
	for id := range modelKeys {
		if v, there := tx.sees(modelKey{table, id}); there {
			want = append(want, fmt.Sprintf("%d %d", id, v))
			sum += v
		}
	}
	check := func(sql string, want string) {
		got, err := s.do(who, fmt.Sprintf(sql, table))
		if err != nil || got != want {
			s.fatal("%s, %v; want %s", got, err, want)
		}
	}
	switch s.random.IntN(5) {
	case 0:
		check("SELECT id, v FROM %s ORDER BY id", strings.Join(want, " "))
	case 1:
		slices.Reverse(want)
		check("SELECT id, v FROM %s WHERE v > 0 ORDER BY id DESC", strings.Join(want, " "))
	case 2:
		check("SELECT COUNT(*) FROM %s", fmt.Sprint(len(want)))
	case 3:
		check("SELECT COALESCE(SUM(v), 0) FROM %s", fmt.Sprint(sum))
	default:
		id := s.random.IntN(modelKeys)
		one := ""
		if v, there := tx.sees(modelKey{table, id}); there {
			one = fmt.Sprint(v)
		}
		check("SELECT v FROM %s WHERE id = "+fmt.Sprint(id), one)
	}
}

// end commits or rolls back.
func (s *si) end(who int, tx *modelTransaction, commit bool) {
	s.open[who] = nil
	if !commit {
		if _, err := s.do(who, "ROLLBACK"); err != nil {
			s.fatal("%v", err)
		}
		return
	}
	conflict := false
	for k, v := range tx.own {
		before, was := tx.moment[k]
		now, is := s.committed[k]
		conflict = conflict || was && (!is || now.made != before.made) || !was && v != nil && is
	}
	_, err := s.do(who, "COMMIT")
	if conflict != fault.Is(err, fault.Conflict) || !conflict && err != nil {
		s.fatal("conflict %v, answer %v", conflict, err)
	}
	if conflict {
		s.conflicts++
		return
	}
	s.publish(tx)
}

// publish makes a transaction's changes the committed ones.
func (s *si) publish(tx *modelTransaction) {
	s.commits++
	for k, v := range tx.own {
		_, was := tx.moment[k]
		switch {
		case v != nil:
			s.committed[k] = modelRow{*v, s.commits}
		case was: // what it has made and deleted itself never was
			delete(s.committed, k)
		}
	}
}

// TestTransactionsAgainstModel: conversations that take turns at random read and
// write what snapshot isolation says, to the row: no dirty read, none that does
// not repeat, no lost update, and the first to commit wins.
func TestTransactionsAgainstModel(t *testing.T) {
	for i := range *modelSeeds {
		seed := *modelSeed + uint64(i)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := newSI(t, seed)
			for range 600 {
				s.step()
			}
			for who, tx := range s.open {
				if tx != nil {
					s.end(who, tx, true)
				}
			}
			s.read(0, &modelTransaction{moment: s.committed})
			if s.conflicts == 0 || s.commits == 0 {
				t.Errorf("%d conflicts, %d commits: nothing was tried", s.conflicts, s.commits)
			}
			nothingIsOpen(t, s.db)
		})
	}
}

// TestTransactionsAreWholeAfterACrash: a power cut while transactions over two
// tables are committed leaves each of them whole or not at all, and every one
// that was answered.
func TestTransactionsAreWholeAfterACrash(t *testing.T) {
	clock := testkit.NewClock()
	db, err := testkit.Open(disk.NewMem(), clock, nil)
	if err != nil {
		t.Fatal(err)
	}
	mustRun(t, db, root, "CREATE NAMESPACE x; CREATE SHARED TABLE x.t (id BIGINT PRIMARY KEY, v BIGINT); CREATE USER TABLE x.u (id BIGINT PRIMARY KEY, v BIGINT); INSERT INTO x.t VALUES (0, 0); INSERT INTO x.u VALUES (0, 0)")
	const rounds = 60
	var mu sync.Mutex
	answered := 0
	var clones []*disk.Mem
	var floors []int
	var wait sync.WaitGroup
	wait.Go(func() {
		c := db.Converse(root, "Test", "default")
		defer c.Close()
		for i := 1; i <= rounds; i++ {
			if _, err := say(t, c, fmt.Sprintf("BEGIN; INSERT INTO x.t VALUES (%d, %d); UPDATE x.t SET v = %d WHERE id = 0; INSERT INTO x.u VALUES (%d, 1), (-%d, 1); UPDATE x.u SET v = %d WHERE id = 0; COMMIT", i, i, i, i, i, i)); err != nil {
				t.Error(err)
			}
			mu.Lock()
			answered = i
			mu.Unlock()
		}
	})
	for i := range 12 {
		mu.Lock()
		floor := answered
		mu.Unlock()
		floors = append(floors, floor)
		clones = append(clones, db.Disk.CrashClone(uint64(i), 50))
		for done := floor; done < floor+4 && done < rounds; { // until some more have been answered
			mu.Lock()
			done = answered
			mu.Unlock()
		}
	}
	wait.Wait()
	clones, floors = append(clones, db.Disk.CrashClone(99, 50)), append(floors, rounds)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for i, clone := range clones {
		db, err := testkit.Open(clone, clock, nil)
		if err != nil {
			t.Fatal(err)
		}
		last := one(t, db, "SELECT v FROM x.t WHERE id = 0")
		var n int
		if _, err := fmt.Sscan(last, &n); err != nil || n < floors[i] {
			t.Errorf("clone %d: %d transactions are there, %d were answered", i, n, floors[i])
		}
		for sql, want := range map[string]int{
			"SELECT v FROM x.u WHERE id = 0":                 n,
			"SELECT COUNT(*) FROM x.t WHERE id > 0":          n,
			"SELECT COUNT(*) FROM x.u WHERE id <> 0":         2 * n,
			"SELECT COALESCE(MAX(id), 0) FROM x.t":           n,
			"SELECT COUNT(*) FROM system.transactions":       0,
			"SELECT COUNT(*) FROM x.t WHERE _deleted = true": 0,
		} {
			if got := one(t, db, sql); got != fmt.Sprint(want) {
				t.Errorf("clone %d: %s: %s, want %d", i, sql, got, want)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
