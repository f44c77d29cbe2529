package live_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kalamdb/internal/core"
	"kalamdb/internal/disk"
)

// wholeQueries are subscriptions of one connection to rows, and to what can be
// reckoned from those rows.
var wholeQueries = []struct{ id, sql string }{
	{"u", "SELECT id, k, v FROM app.u"},
	{"s", "SELECT id, k, v FROM app.s"},
	{"groups", "SELECT k, COUNT(*) AS c, SUM(v) AS s FROM app.u GROUP BY k"},
	{"count", "SELECT COUNT(*) AS c, MAX(v) AS m FROM app.s /* one */"},
	{"float", "SELECT SUM(f) AS f, COUNT(*) AS c FROM app.s /* one */"},
	{"distinct", "SELECT DISTINCT k FROM app.u"},
	{"join", "SELECT a.id AS aid, b.id AS bid FROM app.u a JOIN app.s b ON a.k = b.k"},
}

// reckon gives the result of a query from the rows of both tables, sorted.
func reckon(id string, u, s []map[string]string) []string {
	var all []string
	number := func(text string) int {
		n, _ := strconv.Atoi(text)
		return n
	}
	switch id {
	case "groups":
		counts, sums, some := map[string]int{}, map[string]int{}, map[string]bool{}
		for _, row := range u {
			counts[row["k"]]++
			if row["v"] != "" && row["v"] != "NULL" {
				sums[row["k"]] += number(row["v"])
				some[row["k"]] = true
			}
		}
		for k, n := range counts {
			sum := "NULL"
			if some[k] {
				sum = strconv.Itoa(sums[k])
			}
			all = append(all, fmt.Sprintf("%s %d %s", k, n, sum))
		}
	case "count":
		most := "NULL"
		for _, row := range s {
			if v := row["v"]; v != "" && v != "NULL" && (most == "NULL" || number(v) > number(most)) {
				most = v
			}
		}
		all = append(all, fmt.Sprintf("%d %s", len(s), most))
	case "distinct":
		found := map[string]bool{}
		for _, row := range u {
			found[row["k"]] = true
		}
		all = slices.Collect(maps.Keys(found))
	case "join":
		for _, a := range u {
			for _, b := range s {
				if a["k"] == b["k"] {
					all = append(all, a["id"]+" "+b["id"])
				}
			}
		}
	}
	slices.Sort(all)
	return all
}

// TestCommitsAreWhole lets a writer go on without waiting. Whenever the mark of a
// whole connection comes, the results that have been told are those of the rows
// that have been told.
func TestCommitsAreWhole(t *testing.T) {
	for _, outbox := range []int64{1 << 20, 8000} {
		t.Run(strconv.FormatInt(outbox, 10), func(t *testing.T) {
			db := openDB(t, disk.NewMem(), newClock(), func(o *core.Options) { o.Live.OutboxBytes = outbox })
			db.exec("root", resultTables)
			c := db.connect("c", "service", "commits")
			subs := map[string]*resultSub{}
			for _, q := range wholeQueries {
				s := &resultSub{t: t, c: c, id: q.id, sql: q.sql}
				subs[q.id] = s
				if err := c.subscribe(q.id, q.sql, &core.LiveSnapshot{}); err != nil {
					t.Fatal(err)
				}
				for _, f := range c.takeAll() {
					for _, s := range subs {
						if belongs(f, s.id) {
							s.tell(f)
						}
					}
				}
			}
			written := make(chan struct{})
			go func() {
				defer close(written)
				writeWhole(t, db)
			}()
			marks := 0
			check := func() {
				for _, f := range c.drain() {
					if strings.HasPrefix(f, "commit  ") {
						marks++
						checkWhole(t, subs, f)
						continue
					}
					for _, s := range subs {
						if belongs(f, s.id) {
							s.tell(f)
						}
					}
				}
			}
			for done := false; !done && !t.Failed(); {
				select {
				case <-written:
					done = true
				case <-c.ready:
				}
				check()
			}
			<-written
			db.settle()
			check()
			for _, q := range wholeQueries {
				checkResult(t, db, subs[q.id], "all")
			}
			t.Logf("%d marks, %+v", marks, db.Hub().Stats())
			if marks == 0 {
				t.Error("no mark of the whole connection has come")
			}
		})
	}
}

// belongs reports whether a frame is one of a subscription.
func belongs(frame, id string) bool {
	return strings.HasPrefix(frame, id+": ") || strings.HasPrefix(frame, "ack "+id+" ") ||
		strings.HasPrefix(frame, "batch "+id+" ") || strings.HasPrefix(frame, "error "+id+" ")
}

// writeWhole commits random changes of one or of both tables.
func writeWhole(t *testing.T, db *database) {
	commits := 400
	if testing.Short() {
		commits = 100
	}
	r := rand.New(rand.NewPCG(11, uint64(commits)))
	for range commits {
		_, sql := randomChange(r)
		if r.IntN(3) == 0 {
			_, more := randomChange(r)
			sql = "BEGIN; " + sql + "; " + more + "; COMMIT"
		}
		if err := db.try("service", sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

func checkWhole(t *testing.T, subs map[string]*resultSub, mark string) {
	t.Helper()
	rows := func(id string) []map[string]string { return slices.Collect(maps.Values(subs[id].rows)) }
	for _, id := range []string{"groups", "count", "distinct", "join"} {
		want := reckon(id, rows("u"), rows("s"))
		if got := subs[id].told(); !slices.Equal(got, want) {
			t.Errorf("%s is at %s\n%s\nbut the rows give\n%s", id, mark, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}
