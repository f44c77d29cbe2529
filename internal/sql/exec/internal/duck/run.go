package duck

/*
#include "bridge.h"
*/
import "C"

import (
	"context"
	"errors"
	"sync"
	"time"
	"unsafe"

	bindings "github.com/duckdb/duckdb-go-bindings"

	"kalamdb/internal/datum"
)

// run is one running statement as callbacks see it.
type run struct {
	statement  *Statement
	instance   *instance
	connection *connection
	number     uint64
	// ctx is that of the statement. It is a field because callbacks reach it by
	// way of C.
	ctx    context.Context
	cancel context.CancelCauseFunc
	parent context.Context // what ctx was made from
	broken bool            // whether the instance failed; of the goroutine that runs
	mu     struct {
		sync.Mutex
		kept    []error           // errors of callbacks, at most keepMost
		open    map[uint64]closer // what DuckDB holds, by number
		last    uint64            // number of the last one
		helped  bool              // whether the instance has helpers for this one
		callers [][]*caller       // idle evaluators of each call
	}
}

// stop ends the statement for a reason of the engine's.
func (r *run) stop(cause error) { r.cancel(cause) }

// ended returns why the statement must end, or nil: the error of the caller's
// context, or the reason that was given to stop.
func (r *run) ended() error {
	if err := r.parent.Err(); err != nil {
		return err
	}
	if r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	return nil
}

// Rows delivers the result of a statement. It may be used by one goroutine at a
// time; Engine.Close may end it meanwhile.
type Rows struct {
	engine *Engine
	run    *run
	mu     sync.Mutex
	// What follows is guarded by mu.
	prepared bindings.PreparedStatement
	pending  bindings.PendingResult
	result   *bindings.Result
	readers  []reader
	rows     [][]datum.Value // of the last chunk
	cells    []datum.Value   // its memory
	done     bool
	err      error // what Next returns when done
}

func newRows(ctx context.Context, e *Engine, i *instance, s *Statement) *Rows {
	r := &run{statement: s, instance: i, parent: ctx}
	r.mu.open, r.mu.callers = map[uint64]closer{}, make([][]*caller, len(s.Calls))
	r.ctx, r.cancel = context.WithCancelCause(ctx)
	return &Rows{engine: e, run: r, result: new(bindings.Result)}
}

// start prepares, binds and executes the statement up to its first chunk.
func (r *Rows) start() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done {
		return r.err
	}
	c, err := r.run.instance.connect()
	if err != nil {
		r.finish(internal(err))
		return r.err
	}
	r.run.connection = c
	r.run.instance.attach(r.run)
	r.run.guarded(func() { err = r.execute() })
	if err != nil {
		r.finish(err)
	}
	return err
}

func (r *Rows) execute() error {
	if err := r.run.ended(); err != nil {
		return err
	}
	if err := r.prepare(); err != nil {
		return err
	}
	if err := bindParams(r.prepared, r.run.statement.Params); err != nil {
		return err
	}
	var state C.int
	pending := new(unsafe.Pointer)
	thrown := C.kduck_begin(r.prepared.Ptr, pending, &state)
	r.pending.Ptr = *pending
	switch {
	case thrown != nil:
		return r.run.explain(taken(thrown))
	case state != 0:
		return r.run.explain(bindings.PendingError(r.pending))
	}
	if thrown := C.kduck_execute(r.pending.Ptr, unsafe.Pointer(r.result), &state); thrown != nil {
		return r.run.explain(taken(thrown))
	}
	if state != 0 {
		return r.run.explain(bindings.ResultError(r.result))
	}
	return r.readColumns()
}

// prepare registers what the statement calls and checks that the text is one
// SELECT.
func (r *Rows) prepare() error {
	c, s := r.run.connection, r.run.statement
	if err := checkText(s.Text); err != nil {
		return err
	}
	text, err := expand(s.Text, s.Files)
	if err != nil {
		return err
	}
	for _, call := range s.Calls {
		if err := r.run.instance.registerCall(c, callForm{shapeOf(call.Result), call.Volatile}); err != nil {
			return internal(err)
		}
	}
	var extracted bindings.ExtractedStatements
	count := bindings.ExtractStatements(c.library, text, &extracted)
	defer bindings.DestroyExtracted(&extracted)
	switch {
	case count == 0:
		if message := bindings.ExtractStatementsError(extracted); message != "" {
			return r.run.explain(message)
		}
		return internal(errors.New("the text for DuckDB is empty"))
	case count != 1:
		return internal(errors.New("the text for DuckDB holds several statements"))
	}
	if bindings.PrepareExtractedStatement(c.library, extracted, 0, &r.prepared) == bindings.StateError {
		return r.run.explain(bindings.PrepareError(r.prepared))
	}
	if bindings.PreparedStatementType(r.prepared) != bindings.StatementTypeSelect {
		return internal(errors.New("the text for DuckDB is not a SELECT"))
	}
	if int(bindings.NParams(r.prepared)) != len(s.Params) {
		return internal(errors.New("the text for DuckDB has another number of parameters"))
	}
	return nil
}

// readColumns makes a reader for each column of the result.
func (r *Rows) readColumns() error {
	types := r.run.statement.Columns
	if int(bindings.ColumnCount(r.result)) != len(types) {
		return internal(errors.New("the result of DuckDB has another number of columns"))
	}
	r.readers = make([]reader, len(types))
	for i, t := range types {
		r.readers[i] = newReader(t, shapeOfLogical(bindings.ColumnLogicalType(r.result, bindings.IdxT(i))))
	}
	return nil
}

// Next returns the next rows, or nil at the end. They are valid until the next
// call; the values are for good, though the texts of one column and call share
// memory.
func (r *Rows) Next(ctx context.Context) ([][]datum.Value, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.done {
		return nil, r.err
	}
	if ctx != r.run.parent {
		stop := context.AfterFunc(ctx, func() { r.run.stop(ctx.Err()) })
		defer stop()
	}
	var rows [][]datum.Value
	var err error
	r.run.guarded(func() { rows, err = r.fetch() })
	if err != nil || len(rows) == 0 {
		r.finish(err)
	}
	return rows, err
}

// fetch reads the next chunk that holds rows.
func (r *Rows) fetch() ([][]datum.Value, error) {
	for {
		if err := r.run.ended(); err != nil {
			return nil, err
		}
		fetched := new(unsafe.Pointer)
		if thrown := C.kduck_fetch(unsafe.Pointer(r.result), fetched); thrown != nil {
			return nil, r.run.explain(taken(thrown))
		}
		chunk := bindings.DataChunk{Ptr: *fetched}
		if chunk.Ptr == nil {
			if message := bindings.ResultError(r.result); message != "" {
				return nil, r.run.explain(message)
			}
			return nil, nil
		}
		rows, err := r.readChunk(chunk)
		bindings.DestroyDataChunk(&chunk)
		if err != nil || len(rows) > 0 {
			return rows, err
		}
	}
}

func (r *Rows) readChunk(chunk bindings.DataChunk) ([][]datum.Value, error) {
	rows, width := int(bindings.DataChunkGetSize(chunk)), len(r.readers)
	r.shape(rows, width)
	for i := range r.readers {
		if err := r.readers[i].read(bindings.DataChunkGetVector(chunk, bindings.IdxT(i)), r.rows, i); err != nil {
			return nil, asIs(err)
		}
	}
	return r.rows, nil
}

// shape makes room for a chunk, in the memory of the last one.
func (r *Rows) shape(rows, width int) { r.rows, r.cells = shapeRows(r.rows, r.cells, rows, width) }

// shapeRows cuts cells into rows, and makes both anew if they are too small.
func shapeRows(rows [][]datum.Value, cells []datum.Value, count, width int) ([][]datum.Value, []datum.Value) {
	if cap(rows) < count || cap(cells) < count*width {
		rows, cells = make([][]datum.Value, count), make([]datum.Value, count*width)
		for i := range rows {
			rows[i] = cells[i*width : (i+1)*width : (i+1)*width]
		}
	}
	return rows[:count], cells
}

// Close ends the statement if it runs and releases what it holds. It may be
// called more than once.
func (r *Rows) Close() { r.end(nil) }

// end makes Next return err, unless the statement has ended before.
func (r *Rows) end(err error) {
	r.run.stop(context.Canceled) // first, so that a Next that runs ends soon
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.done {
		r.finish(err)
	}
}

// finish releases everything. A connection is used again only if its statement
// was read to the end.
func (r *Rows) finish(err error) {
	run := r.run
	clean := err == nil && run.ctx.Err() == nil
	r.done, r.err = true, err
	r.rows, r.cells = nil, nil
	bindings.DestroyResult(r.result)
	bindings.DestroyPending(&r.pending)
	bindings.DestroyPrepare(&r.prepared)
	run.closeScans()
	if run.mu.helped { // no callback runs any more
		run.instance.helpers.unwant()
	}
	if run.connection != nil {
		run.instance.detach(run)
		if clean {
			run.instance.keep(run.connection)
		} else {
			run.instance.disconnect(run.connection)
		}
	}
	run.cancel(context.Canceled)
	r.engine.release(r, run.instance, run.broken)
}

// interruptEvery is how often DuckDB is interrupted until it ends: an interrupt
// that comes before it begins is lost.
const interruptEvery = 2 * time.Millisecond

// guarded calls f, which is inside of DuckDB, and interrupts DuckDB from the end
// of the context on until f returns.
func (r *run) guarded(f func()) {
	returned, stopped := make(chan struct{}), make(chan struct{})
	stop := context.AfterFunc(r.ctx, func() {
		defer close(stopped)
		ticker := time.NewTicker(interruptEvery)
		defer ticker.Stop()
		for {
			bindings.Interrupt(r.connection.library)
			select {
			case <-returned:
				return
			case <-ticker.C:
			}
		}
	})
	defer func() {
		close(returned)
		if !stop() {
			<-stopped
		}
	}()
	f()
}

// help brings helpers until the statement ends.
func (r *run) help() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.mu.helped {
		r.mu.helped = true
		r.instance.helpers.want(r.instance.db.Ptr)
	}
}

// closer is a scan, or what a thread does of it.
type closer interface{ close() }

// closeScans closes what DuckDB has not closed.
func (r *run) closeScans() {
	r.mu.Lock()
	left := r.mu.open
	r.mu.open = map[uint64]closer{}
	r.mu.Unlock()
	for _, s := range left {
		s.close()
	}
}

// open keeps something under a number.
func (r *run) open(s closer) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.last++
	r.mu.open[r.mu.last] = s
	return r.mu.last
}

// opened returns what has that number, or nil.
func (r *run) opened(number uint64) closer {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.open[number]
}

// drop closes what has that number.
func (r *run) drop(number uint64) {
	r.mu.Lock()
	s := r.mu.open[number]
	delete(r.mu.open, number)
	r.mu.Unlock()
	if s != nil {
		s.close()
	}
}
