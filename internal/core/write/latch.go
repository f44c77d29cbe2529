package write

import (
	"hash/maphash"
	"slices"
	"sync"

	"kalamdb/internal/schema"
	"kalamdb/internal/sql/exec"
)

// stripes is how many mutexes the latches share; more than the writers that
// can run at one time, so that strangers seldom meet.
const stripes = 1024

// maxLatched is how many keys a statement latches one by one; statements over
// more keys go without and rely on the check of the versions they read.
const maxLatched = 64

// latches order statements that read and write the same known keys, so that
// each sees what the one before it wrote instead of being refused and run
// again.
type latches struct {
	seed maphash.Seed
	once sync.Once
	mu   [stripes]sync.Mutex
}

// latch takes the latches of the keys that a query names by equality. It
// returns the function that lets go of them; that function may be called from
// another goroutine and does its work once. Statements of a transaction take
// none: its moment is fixed.
func (w *Writer) latch(m *exec.Matcher, to Target, env *exec.Env) (func(), error) {
	if to.In != nil {
		return func() {}, nil
	}
	keys, err := m.Keys(env)
	if err != nil || len(keys) == 0 || len(keys) > maxLatched {
		return func() {}, err
	}
	encoded := make([][]byte, len(keys))
	for i, key := range keys {
		encoded[i] = schema.AppendKeyValues(nil, key)
	}
	return w.latches.take(m.Query().Table, to.Scope, encoded), nil
}

// latchKeys takes the latches of the rows that an INSERT … ON CONFLICT may meet,
// as latch does.
func (w *Writer) latchKeys(c *composer) func() {
	if c.to.In != nil || len(c.candidates) == 0 || len(c.candidates) > maxLatched {
		return func() {}
	}
	keys := make([][]byte, len(c.candidates))
	for i := range c.candidates {
		keys[i] = c.candidates[i].key
	}
	return w.latches.take(c.table, c.to.Scope, keys)
}

// take takes the latches of encoded keys and returns what lets go of them.
func (l *latches) take(t *schema.Table, scope schema.Scope, keys [][]byte) func() {
	l.once.Do(func() { l.seed = maphash.MakeSeed() })
	indexes := make([]int, 0, len(keys))
	var buffer []byte
	for _, key := range keys {
		buffer = append(buffer[:0], byte(t.ID), byte(t.ID>>8), byte(t.ID>>16), byte(t.ID>>24))
		buffer = append(buffer, scope...)
		buffer = append(buffer, 0)
		buffer = append(buffer, key...)
		indexes = append(indexes, int(maphash.Bytes(l.seed, buffer)%stripes))
	}
	slices.Sort(indexes)
	indexes = slices.Compact(indexes)
	for _, i := range indexes {
		l.mu[i].Lock()
	}
	var once sync.Once
	return func() {
		once.Do(func() {
			for _, i := range indexes {
				l.mu[i].Unlock()
			}
		})
	}
}
