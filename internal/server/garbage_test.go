package server

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestGarbagePercent(t *testing.T) {
	for live, want := range map[uint64]int{0: 1000, 1 << 20: 1000, 4 << 20: 600, 12 << 20: 200, 24 << 20: 100, 1 << 40: 100} {
		if got := garbagePercent(live); got != want {
			t.Errorf("%d bytes: %d %%, want %d", live, got, want)
		}
	}
}

// TestGarbageWaits shows that a small heap gathers more garbage than its size
// while a server runs and no longer, and that an operator's GOGC stays.
func TestGarbageWaits(t *testing.T) {
	t.Setenv("GOGC", "")
	runtime.GC()
	end := letGarbageWait()
	if got := debug.SetGCPercent(100); got <= 100 {
		t.Errorf("%d %% while a server runs", got)
	}
	end()
	if got := debug.SetGCPercent(100); got != 100 {
		t.Errorf("%d %% are left behind", got)
	}
	t.Setenv("GOGC", "50")
	before := debug.SetGCPercent(77)
	letGarbageWait()()
	if got := debug.SetGCPercent(before); got != 77 {
		t.Errorf("the operator's GOGC became %d", got)
	}
}
