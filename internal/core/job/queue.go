package job

import (
	"slices"
	"time"

	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// reserve takes a place for a task, or returns the active job with its key.
func (r *Runner) reserve(t *task) (*schema.Job, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if other, ok := r.mu.keys[t.spec.Key]; ok && t.spec.Key != "" {
		j := other.job
		return &j, nil
	}
	if len(r.mu.active) >= r.o.Queue+r.o.Workers {
		return nil, fault.New(fault.ServerBusy, "%d jobs are waiting already; try again later", r.o.Queue)
	}
	r.mu.active[t.job.ID] = t
	if t.spec.Key != "" {
		r.mu.keys[t.spec.Key] = t
	}
	if r.mu.born != nil {
		r.mu.born[t.job.ID] = struct{}{}
	}
	return nil, nil
}

// release gives the place of a task back.
func (r *Runner) release(t *task) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.mu.active, t.job.ID)
	if t.spec.Key != "" {
		delete(r.mu.keys, t.spec.Key)
	}
}

// enqueue puts a task behind those of its priority and wakes a worker.
func (r *Runner) enqueue(t *task) {
	r.mu.Lock()
	r.line(t)
	r.mu.Unlock()
	r.signal()
}

// line puts a task into the queue. Runner.mu is held.
func (r *Runner) line(t *task) {
	at := len(r.mu.queue)
	for at > 0 && r.mu.queue[at-1].spec.Priority < t.spec.Priority {
		at--
	}
	r.mu.queue = slices.Insert(r.mu.queue, at, t)
}

func (r *Runner) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// take returns the task that runs next. Without one it returns how long the
// first of those that wait for their next try still has, or 0.
func (r *Runner) take() (*task, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, next := time.Now(), time.Duration(0)
	r.mu.late = slices.DeleteFunc(r.mu.late, func(t *task) bool {
		rest := t.due.Sub(now)
		if rest <= 0 {
			r.line(t)
			return true
		}
		if next == 0 || rest < next {
			next = rest
		}
		return false
	})
	if len(r.mu.queue) == 0 {
		return nil, next
	}
	t := r.mu.queue[0]
	r.mu.queue = slices.Delete(r.mu.queue, 0, 1)
	return t, 0
}

// postpone lets a task wait for its next try. It reports false for one that was
// cancelled meanwhile.
func (r *Runner) postpone(t *task, delay time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t.stopped {
		return false
	}
	t.due, t.cancel = time.Now().Add(delay), nil
	r.mu.late = append(r.mu.late, t)
	r.signal() // whoever is idle has to look at the clock
	return true
}

func (r *Runner) find(id string) *task {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.active[id]
}

// stop takes a task out of those that wait and reports that, or tells the one
// that runs or is about to. Runner.mu is held.
func (r *Runner) stop(t *task) bool {
	for _, list := range []*[]*task{&r.mu.queue, &r.mu.late} {
		if i := slices.Index(*list, t); i >= 0 {
			*list = slices.Delete(*list, i, i+1)
			return true
		}
	}
	t.stopped = true
	if t.cancel != nil {
		t.cancel(errCancelled)
	}
	return false
}
