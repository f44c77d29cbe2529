package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// liveWriter changes rows that nobody else changes, one request at a time.
type liveWriter struct {
	run    *liveRun
	user   string
	places [2]*livePlace // the board, and the partition of its user
	first  int64         // of its keys, the same in both
	random *rand.Rand
	every  time.Duration
	lost   *liveRequest // whose fate is not known
}

// liveRequest is what a writer sends: commits one after the other.
type liveRequest struct {
	sql     []string
	commits [][]liveChange
	begin   int64
}

const (
	// liveKeysEach is how many keys of each table a writer has.
	liveKeysEach = 16
	// liveLate is how far a writer may be behind its pace before it forgets it.
	liveLate = time.Second
)

// write sends requests at a pace until ctx ends or the server does not answer.
func (w *liveWriter) write(ctx context.Context) {
	due := time.Now()
	for ctx.Err() == nil {
		if late := time.Since(due); late > liveLate {
			due = time.Now()
		} else if late < 0 {
			waitOr(ctx, -late)
		}
		q := w.request()
		due = due.Add(w.every * time.Duration(len(q.commits)))
		q.begin = time.Now().UnixNano()
		bound, cancel := context.WithTimeout(context.Background(), killRequestBound) // its answer is wanted, not cut off
		_, err := w.run.clients[w.user].Query(bound, strings.Join(q.sql, "; "))
		cancel()
		if err == nil {
			end := time.Now().UnixNano()
			for _, c := range q.commits {
				w.run.model.took(c, q.begin, end)
			}
			continue
		}
		w.lost = q
		if !refused(err) {
			return
		}
		if text := err.Error(); !strings.Contains(text, "BUSY") && !w.run.faulty {
			w.run.t.Errorf("%.200s: %v", strings.Join(q.sql, "; "), err)
			return
		}
		if w.resolve() != nil {
			return
		}
	}
}

// request draws what to do next.
func (w *liveWriter) request() *liveRequest {
	q := &liveRequest{}
	keys := w.random.Perm(liveKeysEach)
	one := func() ([]liveChange, string) {
		k := keys[0]
		keys = keys[1:]
		return w.single(w.places[w.random.IntN(2)], w.first+int64(k))
	}
	switch kind := w.random.IntN(10); {
	case kind < 6:
		c, sql := one()
		q.commits, q.sql = [][]liveChange{c}, []string{sql}
	case kind == 6:
		c, sql := w.many(w.places[w.random.IntN(2)], keys[:2+w.random.IntN(6)])
		q.commits, q.sql = [][]liveChange{c}, []string{sql}
	case kind == 7:
		for range 2 + w.random.IntN(3) {
			c, sql := one()
			q.commits, q.sql = append(q.commits, c), append(q.sql, sql)
		}
	default:
		var whole []liveChange
		q.sql = append(q.sql, "BEGIN")
		for range 2 + w.random.IntN(4) {
			c, sql := one()
			whole, q.sql = append(whole, c...), append(q.sql, sql)
		}
		q.commits, q.sql = [][]liveChange{whole}, append(q.sql, "COMMIT")
	}
	return q
}

// single changes one row.
func (w *liveWriter) single(p *livePlace, id int64) ([]liveChange, string) {
	op := w.run.ops.Add(1)
	row := liveRowOf(id, op, w.run.keys)
	head := w.run.model.head(p, id)
	if head == nil || head.row == nil {
		return []liveChange{{p, id, op, row}}, insertLive(p.table, row)
	}
	if w.random.IntN(5) == 0 {
		return []liveChange{{p, id, op, nil}}, fmt.Sprintf("DELETE FROM %s WHERE id = %d", p.table, id)
	}
	return []liveChange{{p, id, op, row}}, updateLive(p.table, row, fmt.Sprintf("id = %d", id))
}

func insertLive(table string, rows ...*liveRow) string {
	var texts []string
	for _, r := range rows {
		texts = append(texts, fmt.Sprintf("(%d, %s)", r.id, strings.Join(r.values(), ", ")))
	}
	return "INSERT INTO " + table + " (id, op, g, n, w, ref, s, j, pad) VALUES " + strings.Join(texts, ", ")
}

func updateLive(table string, row *liveRow, where string) string {
	var sets []string
	values := row.values()
	for i, name := range []string{"op", "g", "n", "w", "ref", "s", "j", "pad"} {
		sets = append(sets, name+" = "+values[i])
	}
	return "UPDATE " + table + " SET " + strings.Join(sets, ", ") + " WHERE " + where
}

// many changes several rows by one statement: inserts those that are not there,
// or else changes or deletes those that are.
func (w *liveWriter) many(p *livePlace, keys []int) (changes []liveChange, sql string) {
	var there, absent []int64
	for _, k := range keys {
		id := w.first + int64(k)
		if head := w.run.model.head(p, id); head != nil && head.row != nil {
			there = append(there, id)
		} else {
			absent = append(absent, id)
		}
	}
	op := w.run.ops.Add(1)
	if len(absent) > len(there) {
		var rows []*liveRow
		for _, id := range absent {
			row := liveRowOf(id, op, w.run.keys)
			rows, changes = append(rows, row), append(changes, liveChange{p, id, op, row})
		}
		return changes, insertLive(p.table, rows...)
	}
	where := "id IN (" + strings.Trim(strings.ReplaceAll(fmt.Sprint(there), " ", ", "), "[]") + ")"
	if w.random.IntN(3) == 0 {
		for _, id := range there {
			changes = append(changes, liveChange{p, id, op, nil})
		}
		return changes, "DELETE FROM " + p.table + " WHERE " + where
	}
	for _, id := range there {
		changes = append(changes, liveChange{p, id, op, liveRowOf(id, op, w.run.keys)})
	}
	return changes, updateLive(p.table, changes[0].row, where)
}

// resolve finds out what became of a request that was not answered, which no
// longer goes on.
func (w *liveWriter) resolve() error {
	q := w.lost
	if q == nil {
		return nil
	}
	found := map[*livePlace]map[int64]int64{}
	for _, p := range w.places {
		answer, err := w.run.clients[w.user].Query(context.Background(), fmt.Sprintf("SELECT id, op FROM %s WHERE id >= %d AND id < %d", p.table, w.first, w.first+liveKeysEach))
		if err != nil {
			return err
		}
		found[p] = map[int64]int64{}
		for _, row := range answer.Results[0].Rows {
			found[p][liveNumber(row[0])] = liveNumber(row[1])
		}
	}
	w.lost = nil
	end, before := time.Now().UnixNano(), true
	for i, c := range q.commits {
		there := 0
		for _, ch := range c {
			op, is := found[ch.place][ch.id]
			if ch.row == nil && !is || ch.row != nil && is && op == ch.op {
				there++
			}
		}
		switch {
		case there > 0 && there < len(c):
			w.run.model.violate(liveTorn, "%d of %d changes of an unanswered commit are there: %.200s", there, len(c), q.sql)
		case there > 0 && !before:
			w.run.model.violate(liveReorder, "statement %d of an unanswered batch took place, the one in front of it not: %.200s", i+1, q.sql)
		}
		if before = there > 0; before {
			w.run.model.took(c, q.begin, end)
			w.run.unanswered.Add(1)
		}
	}
	return nil
}
