package duck

/*
#include "bridge.h"
*/
import "C"

import (
	"math"
	"unicode/utf8"
	"unsafe"

	bindings "github.com/duckdb/duckdb-go-bindings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// arenaKept is the size above which an arena is not kept for the next chunk.
const arenaKept = 1 << 20

// writer writes values of one type into vectors of DuckDB. Numbers go straight
// into the memory of the vector; the bytes of texts are gathered and handed over
// by flush, in one call for many rows.
type writer struct {
	typ    datum.Type
	shape  shape
	vector bindings.Vector
	data   unsafe.Pointer // the cells of the vector, C memory
	mask   unsafe.Pointer // its validity bits once a NULL came, C memory
	// bytes hold the gathered texts, which end at ends and belong to rows.
	bytes []byte
	rows  []uint32
	ends  []uint64
}

func newWriter(t datum.Type) writer { return writer{typ: t, shape: shapeOf(t)} }

// begin makes w write into vec, whose rows are all valid.
func (w *writer) begin(vec bindings.Vector) {
	w.vector, w.data, w.mask = vec, bindings.VectorGetData(vec), nil
	if cap(w.bytes) > arenaKept {
		w.bytes = nil
	}
	w.bytes, w.rows, w.ends = w.bytes[:0], w.rows[:0], w.ends[:0]
}

// fill writes position at of rows into the vector from row first on.
func (w *writer) fill(first int, rows [][]datum.Value, at int) error {
	for i, row := range rows {
		if err := w.put(first+i, row[at]); err != nil {
			return err
		}
	}
	return nil
}

// flush hands the gathered texts over.
func (w *writer) flush() error {
	if len(w.rows) == 0 {
		return nil
	}
	// The address of a byte is needed even if all texts are empty.
	bytes := unsafe.SliceData(append(w.bytes, 0))
	thrown := C.kduck_assign(w.vector.Ptr, (*C.uint32_t)(unsafe.SliceData(w.rows)), (*C.uint64_t)(unsafe.SliceData(w.ends)),
		C.uint64_t(len(w.rows)), (*C.char)(unsafe.Pointer(bytes)))
	w.bytes, w.rows, w.ends = w.bytes[:0], w.rows[:0], w.ends[:0]
	if thrown != nil {
		return newEngineError(taken(thrown)).asFault()
	}
	return nil
}

func cell[T any](data unsafe.Pointer, row int) *T {
	var t T
	return (*T)(unsafe.Add(data, uintptr(row)*unsafe.Sizeof(t)))
}

func (w *writer) null(row int) {
	if w.mask == nil {
		bindings.VectorEnsureValidityWritable(w.vector)
		w.mask = bindings.VectorGetValidity(w.vector)
	}
	*cell[uint64](w.mask, row/64) &^= 1 << (row % 64)
}

// put writes one value. A value of a narrower kind than the column's, as rows
// from before a widening hold, is widened.
func (w *writer) put(row int, v datum.Value) error {
	if v.IsNull() {
		w.null(row)
		return nil
	}
	if v.Kind() != w.typ.Kind && w.typ.Kind != datum.Null {
		var err error
		if v, err = datum.Cast(v, w.typ); err != nil {
			return err
		}
	}
	switch w.shape.form {
	case formBool:
		*cell[bool](w.data, row) = v.Bool()
	case formSmallInt:
		*cell[int16](w.data, row) = int16(v.Int())
	case formInt, formDate:
		*cell[int32](w.data, row) = int32(v.Int())
	case formBigInt, formTime, formTimestamp:
		*cell[int64](w.data, row) = v.Int()
	case formFloat:
		*cell[float32](w.data, row) = float32(v.Float())
	case formDouble:
		*cell[float64](w.data, row) = v.Float()
	case formDecimal:
		return w.putDecimal(row, v)
	case formUUID:
		*cell[huge](w.data, row) = hugeOfUUID(v)
	case formInterval:
		months, days, micros := v.Interval()
		*cell[interval](w.data, row) = interval{months, days, micros}
	default:
		return w.putBytes(row, v)
	}
	return nil
}

// putBytes gathers the bytes of a text, a byte string, or of any value that has
// no form of its own.
func (w *writer) putBytes(row int, v datum.Value) error {
	start := len(w.bytes)
	switch {
	case w.shape.form == formBlob && w.typ.Kind == datum.Bytes:
		w.bytes = append(w.bytes, v.Bytes()...)
	case w.shape.form == formBlob:
		w.bytes = datum.AppendValue(w.bytes, v)
	case w.typ.Kind == datum.Null || w.typ.Kind == datum.Decimal:
		w.bytes = datum.AppendText(w.bytes, v)
	default:
		w.bytes = append(w.bytes, v.Text()...)
	}
	length := len(w.bytes) - start
	if length > math.MaxInt32 {
		return fault.New(fault.LimitExceeded, "a value of %d bytes is too long", length)
	}
	if w.shape.form == formVarchar && !utf8.Valid(w.bytes[start:]) {
		return errNotUTF8()
	}
	w.rows, w.ends = append(w.rows, uint32(row)), append(w.ends, uint64(len(w.bytes)))
	return nil
}

// narrowDigits is the greatest precision of a decimal of 64 bits.
const narrowDigits = 18

// powers are those of ten up to narrowDigits; never written.
var powers = func() (p [narrowDigits + 1]int64) {
	p[0] = 1
	for i := 1; i < len(p); i++ {
		p[i] = 10 * p[i-1]
	}
	return p
}()

// putDecimal writes the coefficient of v at the scale of the column, in the
// width that DuckDB chooses by the precision.
func (w *writer) putDecimal(row int, v datum.Value) error {
	most := powers[min(w.shape.precision, narrowDigits)]
	hi, lo := v.Decimal128()
	if n := int64(lo); v.Scale() != w.shape.scale || hi != n>>63 || n <= -most || n >= most {
		cast, err := datum.Cast(v, w.typ)
		if err != nil {
			return err
		}
		hi, lo = cast.Decimal128()
	}
	switch p := w.shape.precision; {
	case p <= 4:
		*cell[int16](w.data, row) = int16(lo)
	case p <= 9:
		*cell[int32](w.data, row) = int32(lo)
	case p <= narrowDigits:
		*cell[int64](w.data, row) = int64(lo)
	default:
		*cell[huge](w.data, row) = huge{lo, hi}
	}
	return nil
}
