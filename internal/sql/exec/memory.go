package exec

import (
	"sync/atomic"

	"kalamdb/internal/fault"
)

// Memory is what the sorts, groupings and DISTINCTs of all statements may keep
// at a time. It is used by many goroutines; its budgets by one each.
type Memory struct {
	max  int64
	used atomic.Int64
}

// NewMemory returns one of so many bytes; 0 means 1 GiB.
func NewMemory(bytes int64) *Memory {
	if bytes <= 0 {
		bytes = defaultMaxBytes
	}
	return &Memory{max: bytes}
}

// Used returns how many bytes are taken.
func (m *Memory) Used() int64 { return m.used.Load() }

// memoryLot is how much a budget takes of the memory at a time.
const memoryLot = 256 << 10

// budget counts bytes against a limit and, when there is one, takes them from a
// memory.
type budget struct {
	used, max int64
	memory    *Memory // nil takes none
	taken     int64   // of memory
}

// take adds n bytes, or gives up.
func (b *budget) take(n int64) error {
	if b.used += n; b.used > b.max {
		return fault.New(fault.LimitExceeded, "the result needs more than %d bytes; limits.max_result_bytes and memory.sorts raise that", b.max)
	}
	if b.memory == nil || b.used <= b.taken {
		return nil
	}
	lot := max(b.used-b.taken, memoryLot)
	if b.memory.used.Add(lot) > b.memory.max {
		b.memory.used.Add(-lot)
		return fault.New(fault.ServerBusy, "sorts and groupings that are running keep all of the %d bytes that memory.sorts gives them together", b.memory.max)
	}
	b.taken += lot
	return nil
}

// release gives back what was taken of the memory.
func (b *budget) release() {
	if b.taken > 0 {
		b.memory.used.Add(-b.taken)
		b.taken = 0
	}
}
