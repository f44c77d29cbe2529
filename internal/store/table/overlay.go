package table

import (
	"bytes"
	"hash/maphash"

	"kalamdb/internal/schema"
)

// keepTouched bounds what an overlay keeps allocated between groups.
const keepTouched = 16 << 10

// touchedRow is the state of a row that the present group has changed. Scope,
// key and body are those of the command, which outlives the group.
type touchedRow struct {
	table schema.TableID
	scope schema.Scope
	key   []byte
	body  []byte
	seq   uint64
	hash  uint64
	under int32 // the row of the same hash that was touched before, or -1
	dead  bool
}

// overlay finds the rows that a group has touched. Hashes are only looked up,
// never walked, so chance in them decides nothing.
type overlay struct {
	seed  maphash.Seed
	heads map[uint64]int32
	rows  []touchedRow
}

func newOverlay() overlay {
	return overlay{seed: maphash.MakeSeed(), heads: map[uint64]int32{}}
}

func (o *overlay) hash(table schema.TableID, scope schema.Scope, key []byte) uint64 {
	const odd = 0x9e3779b97f4a7c15
	h := maphash.Bytes(o.seed, key) + uint64(table)*odd
	if scope != "" {
		h ^= maphash.String(o.seed, string(scope)) * odd
	}
	return h
}

// find returns the newest state of a row, or nil when it is untouched.
func (o *overlay) find(table schema.TableID, scope schema.Scope, key []byte) *touchedRow {
	if len(o.rows) == 0 {
		return nil
	}
	i, ok := o.heads[o.hash(table, scope, key)]
	for ok && i >= 0 {
		r := &o.rows[i]
		if r.table == table && r.scope == scope && bytes.Equal(r.key, key) {
			return r
		}
		i = r.under
	}
	return nil
}

// add notes a new state of a row.
func (o *overlay) add(r touchedRow) {
	r.hash = o.hash(r.table, r.scope, r.key)
	under, ok := o.heads[r.hash]
	if !ok {
		under = -1
	}
	r.under = under
	o.heads[r.hash] = int32(len(o.rows))
	o.rows = append(o.rows, r)
}

// cut forgets all but the first n states.
func (o *overlay) cut(n int) {
	for i := len(o.rows) - 1; i >= n; i-- {
		if r := &o.rows[i]; r.under >= 0 {
			o.heads[r.hash] = r.under
		} else {
			delete(o.heads, r.hash)
		}
	}
	clear(o.rows[n:])
	o.rows = o.rows[:n]
}

// reset forgets everything.
func (o *overlay) reset() {
	if cap(o.rows) > keepTouched {
		o.rows, o.heads = nil, map[uint64]int32{}
		return
	}
	clear(o.rows)
	clear(o.heads)
	o.rows = o.rows[:0]
}
