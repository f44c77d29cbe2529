package torture

import (
	"cmp"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// liveState are the rows of one partition at one moment.
type liveState map[int64]*liveRow

// liveResult is a query whose answer is followed as a whole.
type liveResult struct {
	sql     string
	columns []string // that are compared
	key     int      // how many of them name a row, from the front
	eval    func(board, own liveState, add func(cells ...string))
}

// liveDigest sums up rows in whatever order: equal sums, equal answers.
type liveDigest uint64

func digestOf(row string) liveDigest {
	h := fnv.New64a()
	h.Write([]byte(row))
	return liveDigest(liveMix(h.Sum64()))
}

// liveNull is what NULL looks like in an answer.
const liveNull = "~"

// liveCells joins the values of a row.
func liveCells(cells []string) string { return strings.Join(cells, "|") }

// answer is what the query gives.
func (q *liveResult) answer(board, own liveState) (digest liveDigest, rows []string) {
	q.eval(board, own, func(cells ...string) {
		row := liveCells(cells)
		rows = append(rows, row)
		digest += digestOf(row)
	})
	return digest, rows
}

// liveCell writes a value as the answers of the model do.
func liveCell(raw json.RawMessage) string {
	if len(raw) == 0 || string(raw) == "null" {
		return liveNull
	}
	return strings.Trim(string(raw), `"`)
}

func liveText(n int64) string { return strconv.FormatInt(n, 10) }

// liveResults draws the results that are followed: COUNT, SUM, MIN and MAX with
// and without GROUP BY, windows of LIMIT, joins and DISTINCT, over both kinds of
// tables.
func liveResults(random *rand.Rand, number int) (all []*liveResult) {
	for i := range number {
		c, g := random.Int64N(liveNumbers), random.Int64N(liveGroups)
		switch i % 6 {
		case 0:
			all = append(all, liveGrouped(c))
		case 1:
			all = append(all, liveWhole(g))
		case 2:
			all = append(all, liveTop(g))
		case 3:
			all = append(all, liveJoin(g, "JOIN"))
		case 4:
			all = append(all, liveDistinct(c))
		case 5:
			all = append(all, liveJoin(g, "LEFT JOIN"))
		}
	}
	return all
}

func liveGrouped(c int64) *liveResult {
	return &liveResult{sql: fmt.Sprintf("SELECT g, COUNT(*) AS c, SUM(n) AS t, MAX(op) AS m FROM live.board WHERE n >= %d GROUP BY g", c),
		columns: []string{"g", "c", "t", "m"}, key: 1,
		eval: func(board, _ liveState, add func(...string)) {
			type sum struct{ c, t, m int64 }
			sums := map[int64]sum{}
			for _, r := range board {
				if r.n >= c {
					s := sums[r.g]
					sums[r.g] = sum{s.c + 1, s.t + r.n, max(s.m, r.op)}
				}
			}
			for g, s := range sums {
				add(liveText(g), liveText(s.c), liveText(s.t), liveText(s.m))
			}
		}}
}

func liveWhole(g int64) *liveResult {
	return &liveResult{sql: fmt.Sprintf("SELECT COUNT(*) AS c, COUNT(w) AS k, SUM(n) AS t, MIN(op) AS m FROM live.own WHERE g = %d", g),
		columns: []string{"c", "k", "t", "m"},
		eval: func(_, own liveState, add func(...string)) {
			var c, k, t, m int64
			for _, r := range own {
				if r.g != g {
					continue
				}
				if c == 0 || r.op < m {
					m = r.op
				}
				if r.w >= 0 {
					k++
				}
				c, t = c+1, t+r.n
			}
			if c == 0 {
				add("0", "0", liveNull, liveNull)
				return
			}
			add(liveText(c), liveText(k), liveText(t), liveText(m))
		}}
}

func liveTop(g int64) *liveResult {
	return &liveResult{sql: fmt.Sprintf("SELECT id, op, n FROM live.board WHERE g = %d ORDER BY n DESC, id LIMIT 5", g),
		columns: []string{"id", "op", "n"}, key: 1,
		eval: func(board, _ liveState, add func(...string)) {
			var rows []*liveRow
			for _, r := range board {
				if r.g == g {
					rows = append(rows, r)
				}
			}
			slices.SortFunc(rows, func(a, b *liveRow) int { return cmp.Or(cmp.Compare(b.n, a.n), cmp.Compare(a.id, b.id)) })
			for _, r := range rows[:min(5, len(rows))] {
				add(liveText(r.id), liveText(r.op), liveText(r.n))
			}
		}}
}

func liveJoin(g int64, kind string) *liveResult {
	return &liveResult{sql: fmt.Sprintf("SELECT o.id AS oid, b.id AS bid, o.op AS oop, b.op AS bop FROM live.own o %s live.board b ON b.id = o.ref WHERE o.g = %d", kind, g),
		columns: []string{"oid", "bid", "oop", "bop"}, key: 2,
		eval: func(board, own liveState, add func(...string)) {
			for _, o := range own {
				b := board[o.ref]
				switch {
				case o.g != g:
				case b != nil:
					add(liveText(o.id), liveText(b.id), liveText(o.op), liveText(b.op))
				case kind != "JOIN":
					add(liveText(o.id), liveNull, liveText(o.op), liveNull)
				}
			}
		}}
}

func liveDistinct(c int64) *liveResult {
	return &liveResult{sql: fmt.Sprintf("SELECT DISTINCT s FROM live.board WHERE n > %d", max(c, liveNumbers*9/10)),
		columns: []string{"s"}, key: 1,
		eval: func(board, _ liveState, add func(...string)) {
			seen := map[string]bool{}
			for _, r := range board {
				if r.n > max(c, liveNumbers*9/10) && !seen[r.s] {
					seen[r.s] = true
					add(r.s)
				}
			}
		}}
}
