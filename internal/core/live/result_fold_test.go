package live_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"kalamdb/internal/core"
	"kalamdb/internal/core/live"
	"kalamdb/internal/disk"
)

// foldQueries are shapes that are kept while rows come and go; a quarter of their
// rows have a NULL, and least and greatest values go more often than they come.
var foldQueries = []string{
	"SELECT COUNT(*) AS c, SUM(v) AS s, AVG(v) AS a, MIN(v) AS l, MAX(v) AS m FROM app.u /* one */",
	"SELECT SUM(d) AS s, AVG(d) AS a, MIN(d) AS l, MAX(d) AS m, COUNT(DISTINCT d) AS c FROM app.u WHERE k > 1 /* one */",
	"SELECT k, MIN(v) AS l, MAX(v) AS m, MIN(t) AS x, COUNT(t) AS c FROM app.u GROUP BY k",
	"SELECT k, t, SUM(d) AS s, COUNT(*) AS c FROM app.u WHERE v < 600 OR v IS NULL GROUP BY k, t HAVING COUNT(*) > 2",
	"SELECT t, MAX(_seq) - MIN(_seq) < 0 AS n, COUNT(*) AS c FROM app.u GROUP BY t ORDER BY COUNT(*) DESC, t",
	"SELECT DISTINCT k, t FROM app.u WHERE v > 500",
	"SELECT DISTINCT d FROM app.u",
	"SELECT COUNT(*) AS c, SUM(v) AS s FROM app.u WHERE id > 50 AND id < 250 AND k IN (0, 2) /* one */",
	"SELECT v / 100 AS h, AVG(d) AS a, SUM(DISTINCT k) AS s, MAX(d) FILTER (WHERE k = 2) AS m FROM app.u GROUP BY v / 100",
}

// foldChange is one statement over up to 400 rows.
func foldChange(r *rand.Rand) string {
	value := func() string {
		if r.IntN(8) == 0 {
			return "NULL"
		}
		return strconv.Itoa(r.IntN(1000))
	}
	switch r.IntN(9) {
	case 0, 1, 2, 3:
		rows := make([]string, 1+r.IntN(12))
		first := r.IntN(400)
		for i := range rows {
			t := "'t" + strconv.Itoa(r.IntN(5)) + "'"
			if r.IntN(6) == 0 {
				t = "NULL"
			}
			rows[i] = fmt.Sprintf("(%d, %d, %s, 0, %d.%02d, %s)", first+i, r.IntN(4), value(), r.IntN(200)-100, r.IntN(100), t)
		}
		return "INSERT INTO app.u VALUES " + strings.Join(rows, ", ") + " ON CONFLICT (id) DO UPDATE SET k = EXCLUDED.k, v = EXCLUDED.v, d = EXCLUDED.d, t = EXCLUDED.t"
	case 4:
		return fmt.Sprintf("UPDATE app.u SET v = v + %d WHERE v > %d AND v < %d", r.IntN(60)-30, 400, 400+r.IntN(60))
	case 5:
		return fmt.Sprintf("UPDATE app.u SET k = %d, d = d - 0.5 WHERE id < %d AND t = 't%d'", r.IntN(4), r.IntN(200), r.IntN(5))
	case 6:
		return fmt.Sprintf("DELETE FROM app.u WHERE v < %d", r.IntN(60))
	case 7:
		return fmt.Sprintf("DELETE FROM app.u WHERE v > %d", 1000-r.IntN(60))
	}
	return fmt.Sprintf("DELETE FROM app.u WHERE id = %d", r.IntN(400))
}

// TestFoldsAreResults commits random changes beside results that are kept, with
// room enough and so little that they have to be read again, and lets a
// definition change in between. After every commit they are what SELECT gives.
func TestFoldsAreResults(t *testing.T) {
	commits := 150
	if testing.Short() {
		commits = 50
	}
	for _, room := range []int{0, 130_000} {
		t.Run(strconv.Itoa(room), func(t *testing.T) {
			r := rand.New(rand.NewPCG(11, uint64(room)))
			db := openDB(t, disk.NewMem(), newClock(), func(o *core.Options) { o.Live.ResultMemory = int64(room) })
			db.exec("root", resultTables)
			for range 20 {
				db.exec("alice", foldChange(r))
			}
			var subs []*resultSub
			for i, sql := range foldQueries {
				s := &resultSub{t: t, sql: sql, c: db.connect(fmt.Sprintf("c%d", i), "alice")}
				subs = append(subs, s)
				beginResult(t, s, r)
			}
			before := db.Hub().Stats()
			for n := range commits {
				sql := foldChange(r)
				if n == commits/2 {
					sql = "ALTER TABLE app.u ADD COLUMN more INT DEFAULT 3"
					db.exec("root", sql)
				} else {
					db.exec("alice", sql)
				}
				for _, s := range subs {
					for _, f := range s.c.takeAll() {
						s.tell(f)
					}
					checkResult(t, db, s, sql)
				}
				if t.Failed() {
					return
				}
			}
			after := db.Hub().Stats()
			t.Logf("%d runs, %d folds", after.Runs-before.Runs, after.Folds-before.Folds)
			checkFolds(t, after.Runs-before.Runs, &after, room)
		})
	}
}

// checkFolds wants most results to be kept where there is room.
func checkFolds(t *testing.T, runs int64, after *live.Stats, room int) {
	t.Helper()
	if room == 0 && after.Folds < 4*runs {
		t.Errorf("%d results were run and %d kept: too few", runs, after.Folds)
	}
	if room > 0 && runs < 2*int64(len(foldQueries)) {
		t.Errorf("%d results were run and %d kept: the bound was not met", runs, after.Folds)
	}
}
