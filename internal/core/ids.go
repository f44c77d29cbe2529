package core

import (
	"sync/atomic"
	"time"
)

// epoch is 2024-01-01T00:00:00Z in milliseconds since the Unix epoch, where
// the time part of _seq and SNOWFLAKE_ID begins.
const epoch = 1_704_067_200_000

// idSource draws values of SNOWFLAKE_ID: 41 bits of milliseconds, 10 of node,
// 12 of counter, strictly increasing. It borrows from the future rather than
// repeat.
type idSource struct {
	last atomic.Uint64 // time and counter of the last id, without the node
	node uint64
	now  func() time.Time
}

// start begins above a position of the commit log.
func (s *idSource) start(node uint16, position uint64, now func() time.Time) {
	s.node, s.now = uint64(node)<<12, now
	s.last.Store(position>>22<<12 | position&0xfff)
}

// next returns a new id.
func (s *idSource) next() int64 {
	clock := uint64(max(0, s.now().UnixMilli()-epoch)) << 12
	for {
		last := s.last.Load()
		id := max(clock, last+1)
		if s.last.CompareAndSwap(last, id) {
			return int64(id>>12<<22 | s.node | id&0xfff)
		}
	}
}
