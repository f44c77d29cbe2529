package duck

/*
#include <stdlib.h>
#include "bridge.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"runtime/cgo"
	"runtime/debug"
	"unsafe"

	bindings "github.com/duckdb/duckdb-go-bindings"
)

// errOver is the answer to a callback for a statement that has ended, or for
// none.
var errOver = errors.New("no statement runs on this connection")

// instanceOf returns the instance that a cell names.
func instanceOf(cell unsafe.Pointer) *instance {
	return cgo.Handle((*C.kduck_cell)(cell).instance).Value().(*instance)
}

// runOf returns the running statement and the index that a cell names.
func runOf(cell unsafe.Pointer) (r *run, index uint64) {
	c := (*C.kduck_cell)(cell)
	return instanceOf(cell).runNumbered(uint64(c.run)), uint64(c.index)
}

// runOfContext returns what runs on the connection that binds, and destroys
// context.
func runOfContext(cell unsafe.Pointer, context bindings.ClientContext) *run {
	defer bindings.DestroyClientContext(&context)
	return instanceOf(cell).runOn(uint64(bindings.ClientContextGetConnectionId(context)))
}

// answer runs a callback. Its error, or a panic, is kept in the statement and
// told to DuckDB by a text that stands for it.
func answer(tell func(text string), find func() *run, f func(r *run) error) {
	var r *run
	defer func() {
		if p := recover(); p != nil {
			err := internal(fmt.Errorf("panic in a callback of DuckDB: %v\n%s", p, debug.Stack()))
			if r == nil {
				tell(err.Error())
				return
			}
			tell(r.keep(err))
		}
	}()
	if r = find(); r == nil {
		tell(errOver.Error())
		return
	}
	if err := f(r); err != nil {
		tell(r.keep(err))
	}
}

// taken returns a text of C and frees it.
func taken(text *C.char) string {
	defer C.free(unsafe.Pointer(text))
	return C.GoString(text)
}
