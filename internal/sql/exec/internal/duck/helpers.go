package duck

/*
#include "bridge.h"
*/
import "C"

import (
	"sync"
	"time"
	"unsafe"
)

// wakeEvery is how often helpers are woken until they have gone: one wake may be
// spent on a helper that stays.
const wakeEvery = 10 * time.Millisecond

// helpers are goroutines that execute tasks of DuckDB beside those that run
// statements. They are there while a statement scans on several threads: DuckDB
// has no threads of its own, for waking them made small statements slower.
type helpers struct {
	count int            // how many there are at a time
	gone  sync.WaitGroup // those that are and those that wake them
	mu    sync.Mutex
	users int            // statements that want them; guarded by mu
	tasks unsafe.Pointer // what the present ones follow; guarded by mu
	left  *sync.WaitGroup
}

// want brings the helpers if there are none.
func (h *helpers) want(database unsafe.Pointer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.users++; h.users > 1 {
		return
	}
	tasks, left := C.kduck_tasks_new(database), &sync.WaitGroup{}
	for range h.count {
		left.Add(1)
		h.gone.Go(func() {
			defer left.Done()
			C.kduck_tasks_run(tasks)
		})
	}
	h.tasks, h.left = tasks, left
}

// unwant sends the helpers away after the last one who wants them, and does not
// wait for what they are at.
func (h *helpers) unwant() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.users--; h.users > 0 {
		return
	}
	tasks, left := h.tasks, h.left
	h.gone.Go(func() {
		all := make(chan struct{})
		go func() {
			left.Wait()
			close(all)
		}()
		ticker := time.NewTicker(wakeEvery)
		defer ticker.Stop()
		for {
			C.kduck_tasks_stop(tasks)
			select {
			case <-all:
				C.kduck_tasks_free(tasks)
				return
			case <-ticker.C:
			}
		}
	})
}
