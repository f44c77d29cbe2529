package duck

/*
#include "bridge.h"
*/
import "C"

import (
	"fmt"
	"unsafe"

	bindings "github.com/duckdb/duckdb-go-bindings"

	"kalamdb/internal/datum"
)

// caller evaluates one call on one thread.
type caller struct {
	evaluate func(args []datum.Value) (datum.Value, error)
	writer   writer
	rows     [][]datum.Value // the arguments of a chunk
	cells    []datum.Value   // their memory
}

// checkEvery is after how many rows a call looks whether the statement must end.
const checkEvery = 64

//export kduckCallBind
func kduckCallBind(info unsafe.Pointer) {
	b := bindings.BindInfo{Ptr: info}
	extra := bindings.ScalarFunctionBindGetExtraInfo(b)
	var context bindings.ClientContext
	bindings.ScalarFunctionGetClientContext(b, &context)
	find := func() *run { return runOfContext(extra, context) }
	answer(func(text string) { bindings.ScalarFunctionBindSetError(b, text) }, find, func(r *run) error {
		form := callFormOf(uint64((*C.kduck_cell)(extra).index))
		number, err := callNumber(b)
		if err != nil {
			return internal(fmt.Errorf("bind %s: %w", form.name(), err))
		}
		if number < 0 || number >= int64(len(r.statement.Calls)) {
			return internal(fmt.Errorf("%s(%d) of %d calls", form.name(), number, len(r.statement.Calls)))
		}
		call := r.statement.Calls[number]
		if args := int(bindings.ScalarFunctionBindGetArgumentCount(b)) - 1; args != len(call.Args) {
			return internal(fmt.Errorf("%s(%d) with %d arguments, want %d", form.name(), number, args, len(call.Args)))
		}
		if want := (callForm{shapeOf(call.Result), call.Volatile}); want != form {
			return internal(fmt.Errorf("%s(%d) must be called as %s", form.name(), number, want.name()))
		}
		bindings.ScalarFunctionSetBindData(b, r.instance.cell(r.number, uint64(number)), C.kduck_cell_free)
		bindings.ScalarFunctionSetBindDataCopy(b, C.kduck_cell_copy)
		return nil
	})
}

// callNumber returns the constant that leads the arguments.
func callNumber(b bindings.BindInfo) (int64, error) {
	if bindings.ScalarFunctionBindGetArgumentCount(b) == 0 {
		return 0, fmt.Errorf("no number")
	}
	var context bindings.ClientContext
	bindings.ScalarFunctionGetClientContext(b, &context)
	defer bindings.DestroyClientContext(&context)
	first := bindings.ScalarFunctionBindGetArgument(b, 0)
	defer bindings.DestroyExpression(&first)
	if !bindings.ExpressionIsFoldable(first) {
		return 0, fmt.Errorf("the number is not constant")
	}
	var value bindings.Value
	data := bindings.ExpressionFold(context, first, &value)
	defer bindings.DestroyErrorData(&data)
	if bindings.ErrorDataHasError(data) {
		return 0, newEngineError(bindings.ErrorDataMessage(data))
	}
	defer bindings.DestroyValue(&value)
	return bindings.GetInt64(value), nil
}

//export kduckCallRun
func kduckCallRun(info, chunk, vector unsafe.Pointer) {
	f := bindings.FunctionInfo{Ptr: info}
	var number uint64
	find := func() (r *run) {
		r, number = runOf(bindings.ScalarFunctionGetBindData(f))
		return r
	}
	answer(func(text string) { bindings.ScalarFunctionSetError(f, text) }, find, func(r *run) error {
		c := r.caller(number)
		defer r.giveBack(number, c)
		return c.run(r, &r.statement.Calls[number], bindings.DataChunk{Ptr: chunk}, bindings.Vector{Ptr: vector})
	})
}

// caller returns an idle evaluator of a call, or a new one.
func (r *run) caller(number uint64) *caller {
	r.mu.Lock()
	if idle := r.mu.callers[number]; len(idle) > 0 {
		c := idle[len(idle)-1]
		r.mu.callers[number] = idle[:len(idle)-1]
		r.mu.Unlock()
		return c
	}
	r.mu.Unlock()
	call := r.statement.Calls[number]
	return &caller{evaluate: call.New(), writer: newWriter(call.Result)}
}

func (r *run) giveBack(number uint64, c *caller) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.callers[number] = append(r.mu.callers[number], c)
}

// run evaluates the rows of a chunk into a vector.
func (c *caller) run(r *run, call *Call, chunk bindings.DataChunk, out bindings.Vector) error {
	n := int(bindings.DataChunkGetSize(chunk))
	c.rows, c.cells = shapeRows(c.rows, c.cells, n, len(call.Args))
	for i, t := range call.Args {
		vec := bindings.DataChunkGetVector(chunk, bindings.IdxT(i+1))
		if err := newReader(t, shapeOfLogical(bindings.VectorGetColumnType(vec))).read(vec, c.rows, i); err != nil {
			return asIs(err)
		}
	}
	c.writer.begin(out)
	for i, row := range c.rows {
		if i%checkEvery == 0 {
			if err := r.ctx.Err(); err != nil {
				return err
			}
		}
		v, err := c.evaluate(row)
		if err != nil {
			return err
		}
		if err := c.writer.put(i, v); err != nil {
			return err
		}
	}
	return c.writer.flush()
}
