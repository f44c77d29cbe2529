package engine

import (
	"fmt"
	"sync/atomic"
)

// doom is the end of an engine that can make nothing durable any more.
//
// It comes with a refused sync of any file, with a refused change of the log
// or of the manifest, and with Pebble's own fatal call. A sync that failed
// says nothing about the next one, so none is tried: the operation never
// returns to Pebble, which would unwind through its own locks, and neither
// does any later one that changes a file. The callers of this room do not
// stand on Pebble's stack when they wait: they are told, and end by the fatal
// call. Tables that cannot be written are no doom: the log still holds what
// was to be in them, and Pebble tries again with new files.
type doom struct {
	fatal func(format string, args ...any)
	armed atomic.Bool // the engine is open; before, errors end Open
	first atomic.Pointer[doomError]
	came  chan struct{} // closed when first is set
	stuck chan struct{} // closed when Pebble gave up before armed was set
}

// doomError says which operation has lost durability.
type doomError struct {
	op, name string
	err      error
}

func (e *doomError) Error() string { return fmt.Sprintf("%s %s: %v", e.op, e.name, e.err) }

// Unwrap returns what the disk said.
func (e *doomError) Unwrap() error { return e.err }

func newDoom(fatal func(format string, args ...any)) *doom {
	return &doom{fatal: fatal, came: make(chan struct{}), stuck: make(chan struct{})}
}

// cause returns why the end has come, or nil.
func (d *doom) cause() error {
	if first := d.first.Load(); first != nil {
		return first
	}
	return nil
}

// come is called on Pebble's stack when an operation was refused. Once the
// engine is open it does not return.
func (d *doom) come(op, name string, err error) {
	d.refuse(op, name, err)
	if d.armed.Load() {
		go d.end()
		select {}
	}
}

// refuse notes that an operation was refused.
func (d *doom) refuse(op, name string, err error) {
	if d.first.CompareAndSwap(nil, &doomError{op, name, err}) {
		close(d.came)
	}
}

// giveUp is called on Pebble's stack when it cannot go on. It does not return.
func (d *doom) giveUp(err error) {
	d.come("run", "pebble", err)
	close(d.stuck) // nothing else runs while the engine is being opened
	select {}
}

// hold is called on Pebble's stack before a file is changed and does not
// return when the end has come.
func (d *doom) hold() {
	if d.first.Load() != nil && d.armed.Load() {
		select {}
	}
}

// end calls the fatal call, which ends the process or the goroutine.
func (d *doom) end() {
	d.fatal("storage engine: %v", d.cause())
	panic("the fatal call of the engine returned")
}

// check ends the caller when the end has come.
func (d *doom) check() {
	if d.first.Load() != nil {
		d.end()
	}
}

// await returns what comes from done, or ends the caller.
func (d *doom) await(done <-chan error) error {
	select {
	case err := <-done:
		d.check()
		return err
	case <-d.came:
		d.end()
		return nil
	}
}

// outlive does work of Pebble's on a stack of its own, so that the caller can
// be ended when the end comes meanwhile.
func (d *doom) outlive(work func() error) error {
	d.check()
	done := make(chan error, 1)
	go func() { done <- work() }()
	return d.await(done)
}
