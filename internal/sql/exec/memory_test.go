package exec

import (
	"testing"

	"kalamdb/internal/fault"
)

// TestMemory lets two budgets draw on one memory.
func TestMemory(t *testing.T) {
	m := NewMemory(1 << 20)
	a, b := &budget{max: 1 << 30, memory: m}, &budget{max: 600 << 10, memory: m}
	for range 1000 {
		if err := a.take(500); err != nil {
			t.Fatal(err)
		}
	}
	if got := m.Used(); got != 512<<10 {
		t.Errorf("%d bytes are taken for 500,000", got)
	}
	if err := b.take(500 << 10); err != nil {
		t.Error(err)
	}
	if err := a.take(300 << 10); !fault.Is(err, fault.ServerBusy) {
		t.Errorf("more than there is: %v", err)
	}
	if err := b.take(200 << 10); !fault.Is(err, fault.LimitExceeded) {
		t.Errorf("more than a statement may: %v", err)
	}
	b.release()
	b.release()
	if err := a.take(1); err != nil {
		t.Errorf("after the other has ended: %v", err)
	}
	a.release()
	if got := m.Used(); got != 0 {
		t.Errorf("%d bytes are left", got)
	}
	if err := (&budget{max: 10}).take(10); err != nil {
		t.Error(err)
	}
}
