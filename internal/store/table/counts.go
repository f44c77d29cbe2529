package table

import (
	"context"
	"encoding/binary"
	"fmt"

	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/internal/engine"
)

// scopesMax bounds a page of Scopes without a limit of its own.
const scopesMax = 10_000

// unflushedLook is how many superseded changes and tombstones Counts skips in
// search of the oldest unflushed row before it takes what it has for an answer.
const unflushedLook = 1000

// partition names one partition of a table.
type partition struct {
	table schema.TableID
	scope schema.Scope
}

// delta is what a group adds to the counters of a partition; the order of the
// fields is that of the stored counters.
type delta struct {
	hot, cold, bytes, dead int64
}

// countDeltas sums up the counters of a group, in order of first use.
type countDeltas struct {
	index map[partition]int
	names []partition
	sums  []delta
}

func newCountDeltas() countDeltas { return countDeltas{index: map[partition]int{}} }

// of returns the sums of a partition, valid until the next call.
func (c *countDeltas) of(table schema.TableID, scope schema.Scope) *delta {
	name := partition{table, scope}
	i, ok := c.index[name]
	if !ok {
		i = len(c.names)
		c.index[name] = i
		c.names = append(c.names, name)
		c.sums = append(c.sums, delta{})
	}
	return &c.sums[i]
}

// flush writes all sums and forgets them.
func (c *countDeltas) flush(w *Writer) {
	for i, name := range c.names {
		sum := c.sums[i]
		if sum == (delta{}) {
			continue
		}
		w.key = appendPartition(w.key[:0], engine.KeyspaceCnt, name.table, name.scope)
		w.value = engine.AppendDelta(w.value[:0], sum.hot, sum.cold, sum.bytes, sum.dead)
		engine.Merge(w.batch, w.key, w.value)
	}
	clear(c.index)
	c.names, c.sums = c.names[:0], c.sums[:0]
}

// Counts returns the figures of a partition of a USER or SHARED table. The time
// of the oldest unflushed row is never too late; it may be too early after
// very many updates of the same rows, or deletes.
func Counts(r store.Reader, t *schema.Table, scope schema.Scope) (schema.Counts, error) {
	value, ok, err := engine.Get(r, appendPartition(nil, engine.KeyspaceCnt, t.ID, scope))
	if err != nil || !ok {
		return schema.Counts{}, err
	}
	counts, err := decodeCounts(value)
	if err == nil && counts.HotRows > 0 {
		counts.OldestUnflushed, err = oldestUnflushed(r, t, scope)
	}
	return counts, err
}

// HotRows returns how many live rows of a partition of a USER or SHARED table
// are hot.
func HotRows(r store.Reader, t *schema.Table, scope schema.Scope) (int64, error) {
	value, ok, err := engine.Get(r, appendPartition(nil, engine.KeyspaceCnt, t.ID, scope))
	if err != nil || !ok {
		return 0, err
	}
	counts, err := decodeCounts(value)
	return counts.HotRows, err
}

// ColdRows returns how many live rows of a partition of a USER or SHARED table
// are cold.
func ColdRows(r store.Reader, t *schema.Table, scope schema.Scope) (int64, error) {
	value, ok, err := engine.Get(r, appendPartition(nil, engine.KeyspaceCnt, t.ID, scope))
	if err != nil || !ok {
		return 0, err
	}
	counts, err := decodeCounts(value)
	return counts.ColdRows, err
}

// HotScopes calls use for every partition of a USER or SHARED table that has hot
// rows, in order, until it returns false. The figures are without the time of
// the oldest unflushed row.
func HotScopes(r store.Reader, t *schema.Table, use func(scope schema.Scope, c schema.Counts) bool) error {
	return eachCounts(r, t, "", func(scope schema.Scope, c schema.Counts, _ bool) bool {
		return c.HotRows <= 0 || use(scope, c)
	})
}

// TotalCounts returns the figures of all partitions of a table together,
// without the time of the oldest unflushed row.
func TotalCounts(r store.Reader, t *schema.Table) (schema.Counts, error) {
	var total schema.Counts
	err := eachCounts(r, t, "", func(_ schema.Scope, c schema.Counts, _ bool) bool {
		total.HotRows += c.HotRows
		total.ColdRows += c.ColdRows
		total.Bytes += c.Bytes
		return true
	})
	return total, err
}

// Empty reports whether a table has no live row in any partition; a STREAM
// table, whether it has no event that is still stored.
func Empty(r store.Reader, t *schema.Table) (bool, error) {
	if t.Kind == schema.Stream {
		scopes, err := streamScopes(r, t, "", 1)
		return len(scopes) == 0, err
	}
	empty := true
	err := eachCounts(r, t, "", func(_ schema.Scope, c schema.Counts, _ bool) bool {
		empty = c.HotRows+c.ColdRows == 0
		return empty
	})
	return empty, err
}

// Scopes returns up to limit partitions of a table that hold anything, live
// rows or tombstones, in order, beginning behind a scope; "" begins at the
// first one. A limit of 0 stands for 10,000.
func Scopes(r store.Reader, t *schema.Table, after schema.Scope, limit int) ([]schema.Scope, error) {
	if limit <= 0 || limit > scopesMax {
		limit = scopesMax
	}
	if t.Kind == schema.Stream {
		return streamScopes(r, t, after, limit)
	}
	var scopes []schema.Scope
	err := eachCounts(r, t, after, func(scope schema.Scope, _ schema.Counts, some bool) bool {
		if some && (scope != after || after == "") {
			scopes = append(scopes, scope)
		}
		return len(scopes) < limit
	})
	return scopes, err
}

// eachCounts walks over the counters of a table from a scope on.
func eachCounts(r store.Reader, t *schema.Table, from schema.Scope, use func(scope schema.Scope, c schema.Counts, some bool) bool) error {
	prefix := appendTable(nil, engine.KeyspaceCnt, t.ID)
	it, err := engine.NewIter(r, appendScope(append([]byte(nil), prefix...), from), engine.PrefixEnd(prefix))
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		scope, rest, known := cutScope(it.Key()[len(prefix):])
		value, err := it.Value()
		if err == nil && (!known || len(rest) > 0) {
			err = fmt.Errorf("read counters: %w", errValue)
		}
		var numbers []int64
		if err == nil {
			numbers, err = engine.DecodeCounters(value)
		}
		if err != nil {
			_ = it.Close() // the first error is the one to report
			return err
		}
		c, some := countsOf(numbers)
		if !use(scope, c, some) {
			break
		}
	}
	return it.Close()
}

func decodeCounts(value []byte) (schema.Counts, error) {
	numbers, err := engine.DecodeCounters(value)
	if err != nil {
		return schema.Counts{}, fmt.Errorf("read counters: %w", err)
	}
	c, _ := countsOf(numbers)
	return c, nil
}

// countsOf names stored counters; some says that one of them is not zero.
func countsOf(numbers []int64) (c schema.Counts, some bool) {
	for i, n := range numbers {
		some = some || n != 0
		switch i {
		case 0:
			c.HotRows = n
		case 1:
			c.ColdRows = n
		case 2:
			c.Bytes = n
		case 3:
			c.Tombstones = n
		}
	}
	return c, some
}

// oldestUnflushed returns the time of the first change whose row is hot. Rows
// up to the greatest seq of a window have been flushed or stay hot for good.
func oldestUnflushed(r store.Reader, t *schema.Table, scope schema.Scope) (int64, error) {
	segments, err := Segments(r, t.ID, scope)
	if err != nil {
		return 0, err
	}
	o := ScanOptions{Order: BySeq}
	for i := range segments {
		o.AfterSeq = max(o.AfterSeq, segments[i].MaxSeq)
	}
	scan, err := newSeqScan(r, t, scope, o)
	if err != nil {
		return 0, err
	}
	scan.look = unflushedLook
	var at int64
	if scan.Next(context.Background()) { // bounded by look
		at = schema.SeqTime(scan.version.Seq)
	} else if scan.skipped > unflushedLook {
		at = schema.SeqTime(scan.last)
	}
	return at, scan.Close()
}

func cutTable(key []byte) (schema.TableID, bool) {
	if len(key) < 5 {
		return 0, false
	}
	return schema.TableID(binary.BigEndian.Uint32(key[1:])), true
}

func appendNumber(dst []byte, n uint64) []byte { return binary.AppendUvarint(dst, n) }
