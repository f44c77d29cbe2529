package engine

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/cockroachdb/pebble/v2"
)

// mergerName stands in every file of the engine.
const mergerName = "kalamdb.counters.v1"

// countersVersion begins every value of counters.
const countersVersion = 1

// maxCounters bounds what a damaged value can make a reader allocate.
const maxCounters = 64

var errCounters = errors.New("value holds no counters")

// AppendDelta appends the bytes that add each delta to the counter at its
// place. The same bytes are the value of counters that started at zero.
func AppendDelta(dst []byte, deltas ...int64) []byte {
	dst = append(dst, countersVersion)
	for _, d := range deltas {
		dst = binary.AppendVarint(dst, d)
	}
	return dst
}

// DecodeCounters returns the counters of a value; counters beyond the end of
// the list are zero. An empty value has none.
func DecodeCounters(value []byte) ([]int64, error) {
	return addCounters(nil, value)
}

// addCounters adds the counters of a value to sum, which it may change.
func addCounters(sum []int64, value []byte) ([]int64, error) {
	if len(value) == 0 {
		return sum, nil
	}
	if value[0] != countersVersion {
		return nil, errCounters
	}
	rest := value[1:]
	for i := 0; len(rest) > 0; i++ {
		d, n := binary.Varint(rest)
		if n <= 0 || i == maxCounters {
			return nil, errCounters
		}
		if i == len(sum) {
			sum = append(sum, 0)
		}
		sum[i] += d
		rest = rest[n:]
	}
	return sum, nil
}

// newMerger adds the counters of a key. Addition knows no order, so older and
// newer operands are one.
func newMerger() *pebble.Merger {
	return &pebble.Merger{
		Name: mergerName,
		Merge: func(_, value []byte) (pebble.ValueMerger, error) {
			m := &counterMerger{}
			return m, m.MergeNewer(value)
		},
	}
}

// counterMerger collects the sum of one key.
type counterMerger struct{ sum []int64 }

func (m *counterMerger) MergeNewer(value []byte) (err error) {
	m.sum, err = addCounters(m.sum, value)
	return err
}

func (m *counterMerger) MergeOlder(value []byte) error { return m.MergeNewer(value) }

func (m *counterMerger) Finish(bool) ([]byte, io.Closer, error) {
	return AppendDelta(nil, m.sum...), nil, nil
}
