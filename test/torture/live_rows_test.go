package torture

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// liveRow is a row of the tables of the live run. Everything but the key follows
// from the number of the operation that wrote it.
type liveRow struct {
	id, op  int64
	g, n, w int64 // w below 0 is NULL
	ref     int64 // a key of the board
	s, tag  string
	pad     int64 // the length of a text that makes frames large
}

const (
	liveNumbers = 1000 // values of n
	liveGroups  = 10   // of g
	liveSmall   = 50   // of w
	liveTags    = 20   // of j ->> 'tag'
	// liveLetters is what texts are made of; few, so that prefixes meet.
	liveLetters = "abcdefgh"
	// livePad is how long the padding of one row in four is: who asks for it and
	// reads nothing falls behind.
	livePad = 6000
)

// liveMix spreads the bits of a number.
func liveMix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// liveRowOf is what an operation makes of a row.
func liveRowOf(id, op int64, keys int64) *liveRow {
	h := liveMix(uint64(op))
	r := &liveRow{id: id, op: op, g: int64(h % liveGroups), n: int64(h >> 8 % liveNumbers), w: -1}
	h = liveMix(h)
	if h%8 > 0 {
		r.w = int64(h >> 8 % liveSmall)
	}
	r.ref = int64(h >> 24 % uint64(keys))
	r.tag = "t" + strconv.FormatUint(h>>48%liveTags, 10)
	var s [5]byte
	h = liveMix(h)
	if h>>56%4 == 0 {
		r.pad = livePad
	}
	for i := range s {
		s[i] = liveLetters[h>>(8*i)%uint64(len(liveLetters))]
	}
	r.s = string(s[:])
	return r
}

// liveColumns are those of both tables.
const liveColumns = "id BIGINT PRIMARY KEY, op BIGINT, g INT, n INT, w INT, ref BIGINT, s TEXT, j JSON, pad TEXT"

// values are the columns behind the key as SQL.
func (r *liveRow) values() []string {
	w := "NULL"
	if r.w >= 0 {
		w = strconv.FormatInt(r.w, 10)
	}
	return []string{
		strconv.FormatInt(r.op, 10), strconv.FormatInt(r.g, 10), strconv.FormatInt(r.n, 10), w,
		strconv.FormatInt(r.ref, 10), "'" + r.s + "'", fmt.Sprintf(`'{"tag":"%s","x":%d}'`, r.tag, r.n%7),
		"'" + strings.Repeat("p", int(r.pad)) + "'",
	}
}

// liveTruth is what a condition says of a row.
type liveTruth int8

const (
	liveFalse liveTruth = iota
	liveUnknown
	liveTrue
)

func truthOf(b bool) liveTruth {
	if b {
		return liveTrue
	}
	return liveFalse
}

// liveCondition is a condition as SQL, and what it means.
type liveCondition struct {
	sql  string
	eval func(*liveRow) liveTruth
}

// matches reports whether a row is selected.
func (c *liveCondition) matches(r *liveRow) bool { return r != nil && c.eval(r) == liveTrue }

func (c liveCondition) not() liveCondition {
	return liveCondition{"NOT (" + c.sql + ")", func(r *liveRow) liveTruth { return liveTrue - c.eval(r) }}
}

func (c liveCondition) and(d liveCondition) liveCondition {
	return liveCondition{"(" + c.sql + " AND " + d.sql + ")", func(r *liveRow) liveTruth { return min(c.eval(r), d.eval(r)) }}
}

func (c liveCondition) or(d liveCondition) liveCondition {
	return liveCondition{"(" + c.sql + " OR " + d.sql + ")", func(r *liveRow) liveTruth { return max(c.eval(r), d.eval(r)) }}
}

// liveEverything selects all rows.
func liveEverything() liveCondition {
	return liveCondition{"op > 0", func(*liveRow) liveTruth { return liveTrue }}
}

// liveSharp draws a condition that few rows pass.
func liveSharp(random *rand.Rand, keys int64) liveCondition {
	plain := func(sql string, f func(*liveRow) bool) liveCondition {
		return liveCondition{sql, func(r *liveRow) liveTruth { return truthOf(f(r)) }}
	}
	switch random.IntN(9) {
	case 0:
		c := random.Int64N(liveNumbers)
		return plain(fmt.Sprintf("n = %d", c), func(r *liveRow) bool { return r.n == c })
	case 1:
		var texts []string
		in := map[int64]bool{}
		for range 2 + random.IntN(8) {
			c := random.Int64N(liveNumbers)
			in[c] = true
			texts = append(texts, strconv.FormatInt(c, 10))
		}
		return plain("n IN ("+strings.Join(texts, ", ")+")", func(r *liveRow) bool { return in[r.n] })
	case 2:
		a, b := random.Int64N(liveNumbers), 5+random.Int64N(30)
		return plain(fmt.Sprintf("n BETWEEN %d AND %d", a, a+b), func(r *liveRow) bool { return r.n >= a && r.n <= a+b })
	case 3:
		prefix := livePrefix(random, 2+random.IntN(2))
		return plain("s LIKE '"+prefix+"%'", func(r *liveRow) bool { return strings.HasPrefix(r.s, prefix) })
	case 4:
		prefix := livePrefix(random, 2)
		return plain("starts_with(s, '"+prefix+"')", func(r *liveRow) bool { return strings.HasPrefix(r.s, prefix) })
	case 5:
		c := random.Int64N(liveSmall)
		return liveCondition{fmt.Sprintf("w = %d", c), func(r *liveRow) liveTruth {
			if r.w < 0 {
				return liveUnknown
			}
			return truthOf(r.w == c)
		}}
	case 6:
		a := random.Int64N(liveNumbers - 40)
		return plain(fmt.Sprintf("NOT (n < %d OR n >= %d)", a, a+40), func(r *liveRow) bool { return r.n >= a && r.n < a+40 })
	case 7:
		a, b := random.Int64N(keys), 1+random.Int64N(4)
		return plain(fmt.Sprintf("id >= %d AND id < %d", a, a+b), func(r *liveRow) bool { return r.id >= a && r.id < a+b })
	}
	tag := "t" + strconv.Itoa(random.IntN(liveTags))
	return plain("j->>'tag' = '"+tag+"'", func(r *liveRow) bool { return r.tag == tag })
}

func livePrefix(random *rand.Rand, length int) string {
	var b strings.Builder
	for range length {
		b.WriteByte(liveLetters[random.IntN(len(liveLetters))])
	}
	return b.String()
}

// liveBroad draws a condition that many rows pass.
func liveBroad(random *rand.Rand) liveCondition {
	switch random.IntN(4) {
	case 0:
		return liveCondition{"w IS NULL", func(r *liveRow) liveTruth { return truthOf(r.w < 0) }}
	case 1:
		c := random.Int64N(liveSmall)
		return liveCondition{fmt.Sprintf("w < %d", c), func(r *liveRow) liveTruth {
			if r.w < 0 {
				return liveUnknown
			}
			return truthOf(r.w < c)
		}}
	case 2:
		c := random.Int64N(liveGroups)
		return liveCondition{fmt.Sprintf("g <> %d", c), func(r *liveRow) liveTruth { return truthOf(r.g != c) }}
	}
	c := random.Int64N(liveNumbers)
	return liveCondition{fmt.Sprintf("n > %d", c), func(r *liveRow) liveTruth { return truthOf(r.n > c) }}
}

// liveFilter draws the filter of a subscription.
func liveFilter(random *rand.Rand, keys int64) liveCondition {
	c := liveSharp(random, keys)
	switch random.IntN(5) {
	case 0:
		return c.or(liveSharp(random, keys))
	case 1:
		return c.and(liveBroad(random))
	case 2:
		return c.and(liveBroad(random).not()).or(liveSharp(random, keys))
	}
	return c
}
