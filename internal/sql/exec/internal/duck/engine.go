package duck

/*
#include "bridge.h"
*/
import "C"

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"
)

// Options bounds an Engine; the zero value is usable.
type Options struct {
	// Memory is what DuckDB may use in bytes, for all statements together; 0
	// means 256 MiB.
	Memory int64
	// Threads is on how many a scan of many rows runs; 0 means one per processor, at
	// most 4.
	Threads int
	// Connections is how many statements run at once; 0 means one per processor.
	Connections int
	// Queue is how many statements wait for their turn; 0 means 64. More are
	// refused with SERVER_BUSY.
	Queue int
	// TempDir is where sorts and groupings that exceed Memory are set aside; empty
	// means nowhere, and they are refused.
	TempDir string
	// TempBytes is the size that TempDir may grow to; 0 means 4 GiB.
	TempBytes int64
	// IdleClose is how long the instance stays open when nothing runs; 0 means a
	// minute.
	IdleClose time.Duration
	// Logger hears of instances that are given up; nil discards.
	Logger *slog.Logger
}

// threadsMost bounds the threads of an instance of which nothing else is said:
// its statements share processors with everybody's writes.
const threadsMost = 4

// DefaultThreads is on how many threads a scan of many rows runs when nothing is
// said of it.
func DefaultThreads() int { return min(runtime.NumCPU(), threadsMost) }

func (o Options) withDefaults() Options {
	if o.Memory <= 0 {
		o.Memory = 256 << 20
	}
	if o.Threads <= 0 {
		o.Threads = DefaultThreads()
	}
	if o.Connections <= 0 {
		o.Connections = runtime.NumCPU()
	}
	if o.Queue <= 0 {
		o.Queue = 64
	}
	if o.TempBytes <= 0 {
		o.TempBytes = 4 << 30
	}
	if o.IdleClose <= 0 {
		o.IdleClose = time.Minute
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Stats says how an Engine is doing.
type Stats struct {
	Open       bool  // whether there is an instance
	Running    int   // statements that run now
	Waiting    int   // statements that wait for their turn
	Statements int64 // statements that were begun
	Opened     int64 // instances that were opened
	GivenUp    int64 // instances that failed without a reason
}

// Engine runs statements, in an instance that it opens when it is needed.
type Engine struct {
	o    Options
	gate gate
	// closing counts instances that are being closed.
	closing sync.WaitGroup
	mu      struct {
		sync.Mutex
		closed   bool
		instance *instance // nil when there is none
		idle     *time.Timer
		running  map[*Rows]struct{}
		stats    Stats
	}
}

// New returns an Engine that has opened nothing yet.
func New(o Options) *Engine {
	e := &Engine{o: o.withDefaults()}
	e.gate = gate{running: make(chan struct{}, e.o.Connections), closed: make(chan struct{}), most: int64(e.o.Queue)}
	e.mu.running = map[*Rows]struct{}{}
	return e
}

// Query starts a statement and returns its rows, which must be closed. The
// statement ends with ctx. Queries wait for their turn when too many run.
func (e *Engine) Query(ctx context.Context, s *Statement) (*Rows, error) {
	if err := e.gate.enter(ctx); err != nil {
		return nil, err
	}
	i, err := e.acquire(s.folders())
	if err != nil {
		e.gate.leave()
		return nil, err
	}
	r := newRows(ctx, e, i, s)
	if err := e.track(r); err != nil {
		r.finish(err)
		return nil, err
	}
	if err := r.start(); err != nil {
		return nil, err
	}
	return r, nil
}

// acquire returns the instance and opens it if there is none that may read the
// folders. One that may not is left to those that still use it.
func (e *Engine) acquire(folders []string) (*instance, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.mu.closed {
		return nil, errClosed()
	}
	if i := e.mu.instance; i != nil && !i.reads(folders) {
		folders = joined(folders, i.folders, foldersMost)
		e.mu.instance = nil
		if i.refs == 0 {
			e.shut(i)
		}
	}
	if e.mu.instance == nil {
		temp := ""
		if e.o.TempDir != "" {
			if e.mu.stats.Opened == 0 {
				if err := removeSpilled(e.o.TempDir); err != nil {
					return nil, internal(err)
				}
			}
			temp = filepath.Join(e.o.TempDir, spillPrefix+strconv.FormatInt(e.mu.stats.Opened, 10))
		}
		i, err := openInstance(e.o, temp, folders)
		if err != nil {
			return nil, internal(err)
		}
		e.mu.instance = i
		e.mu.stats.Opened++
	}
	if e.mu.idle != nil {
		e.mu.idle.Stop()
		e.mu.idle = nil
	}
	e.mu.instance.refs++
	e.mu.stats.Statements++
	return e.mu.instance, nil
}

// track lets Close end r.
func (e *Engine) track(r *Rows) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.mu.closed {
		return errClosed()
	}
	e.mu.running[r] = struct{}{}
	return nil
}

// release is called by rows that have ended. An instance that failed without a
// reason is left to those that still use it.
func (e *Engine) release(r *Rows, i *instance, broken bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.mu.running, r)
	i.refs--
	if broken && e.mu.instance == i {
		e.mu.instance = nil
		e.mu.stats.GivenUp++
		e.o.Logger.Warn("analytic instance given up")
	}
	switch {
	case i.refs > 0:
	case e.mu.instance != i:
		e.shut(i)
	case e.mu.closed:
		e.mu.instance = nil
		e.shut(i)
	default:
		e.mu.idle = time.AfterFunc(e.o.IdleClose, func() { e.closeIdle(i) })
	}
	e.gate.leave()
}

// closeIdle closes i unless it is in use again.
func (e *Engine) closeIdle(i *instance) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.mu.instance == i && i.refs == 0 {
		e.mu.instance, e.mu.idle = nil, nil
		e.shut(i)
	}
}

// shut closes an instance that nobody can reach any more.
func (e *Engine) shut(i *instance) {
	e.closing.Go(func() {
		if err := i.close(); err != nil {
			e.o.Logger.Warn("analytic instance not closed cleanly", "error", err)
		}
		e.GiveBack()
	})
}

// GiveBack returns memory that was freed to the operating system.
func (*Engine) GiveBack() { C.kduck_trim() }

// Close ends all statements, whose Rows answer SHUTTING_DOWN from then on, and
// closes the instance.
func (e *Engine) Close() error {
	e.mu.Lock()
	if e.mu.closed {
		e.mu.Unlock()
		e.closing.Wait()
		return nil
	}
	e.mu.closed = true
	close(e.gate.closed)
	if e.mu.idle != nil {
		e.mu.idle.Stop()
	}
	running := make([]*Rows, 0, len(e.mu.running))
	for r := range e.mu.running {
		running = append(running, r)
	}
	var err error
	if i := e.mu.instance; i != nil && i.refs == 0 {
		e.mu.instance = nil
		err = i.close()
	}
	e.mu.Unlock()
	for _, r := range running {
		r.run.stop(errClosed())
	}
	for _, r := range running {
		r.end(errClosed())
	}
	e.closing.Wait()
	return errors.Join(err)
}

// Stats returns how the engine is doing now.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.mu.stats
	s.Open, s.Running, s.Waiting = e.mu.instance != nil, len(e.mu.running), int(e.gate.waiting.Load())
	return s
}
