package duck

import (
	"fmt"
	"unsafe"

	bindings "github.com/duckdb/duckdb-go-bindings"

	"kalamdb/internal/datum"
)

// reader reads values of one type from vectors of DuckDB. The values share no
// memory with them.
type reader struct {
	typ  datum.Type
	have shape // what the vectors hold
	fits bool  // whether that can be read as typ; if not, all cells must be NULL
}

func newReader(t datum.Type, have shape) reader {
	want := shapeOf(t)
	r := reader{typ: t, have: have, fits: want == have}
	switch {
	case want.form == formDecimal:
		r.fits = have.form == formDecimal && have.scale == want.scale || have.form == formHuge && want.scale == 0
	case t.Kind.IsInteger():
		r.fits = have.form >= formSmallInt && have.form <= want.form
	}
	return r
}

// mistyped is an error of the generated text: a column is of another type than
// its maker said.
func (r reader) mistyped() error {
	return fmt.Errorf("read %s: DuckDB delivers form %d(%d,%d)", r.typ, r.have.form, r.have.precision, r.have.scale)
}

// read reads the first len(rows) cells of vec into position at of rows.
func (r reader) read(vec bindings.Vector, rows [][]datum.Value, at int) error {
	data, mask := bindings.VectorGetData(vec), bindings.VectorGetValidity(vec)
	if !r.fits {
		for i, row := range rows {
			if r.have.form != formNull && valid(mask, i) {
				return r.mistyped()
			}
			row[at] = datum.NullValue
		}
		return nil
	}
	if r.have.form == formVarchar || r.have.form == formBlob {
		return r.readBytes(data, mask, rows, at)
	}
	for i, row := range rows {
		if !valid(mask, i) {
			row[at] = datum.NullValue
			continue
		}
		v, err := r.cell(data, i)
		if err != nil {
			return err
		}
		row[at] = v
	}
	return nil
}

func valid(mask unsafe.Pointer, row int) bool {
	return mask == nil || *cell[uint64](mask, row/64)>>(row%64)&1 != 0
}

// cell reads a value that is no text.
func (r reader) cell(data unsafe.Pointer, row int) (datum.Value, error) {
	switch r.have.form {
	case formBool:
		return datum.NewBool(*cell[byte](data, row) != 0), nil
	case formSmallInt:
		return datum.NewInt(r.typ.Kind, int64(*cell[int16](data, row))), nil
	case formInt, formDate:
		return datum.NewInt(r.typ.Kind, int64(*cell[int32](data, row))), nil
	case formBigInt, formTime, formTimestamp:
		return datum.NewInt(r.typ.Kind, *cell[int64](data, row)), nil
	case formFloat:
		return datum.NewFloat(*cell[float32](data, row)), nil
	case formDouble:
		return datum.NewDouble(*cell[float64](data, row)), nil
	case formUUID:
		return cell[huge](data, row).uuid(), nil
	case formInterval:
		i := cell[interval](data, row)
		return datum.NewInterval(i.months, i.days, i.micros), nil
	case formHuge:
		h := cell[huge](data, row)
		return datum.NewDecimal128(h.upper, h.lower, 0)
	case formDecimal:
		return r.decimal(data, row)
	}
	return datum.Value{}, r.mistyped()
}

func (r reader) decimal(data unsafe.Pointer, row int) (datum.Value, error) {
	var n int64
	switch p := r.have.precision; {
	case p <= 4:
		n = int64(*cell[int16](data, row))
	case p <= 9:
		n = int64(*cell[int32](data, row))
	case p <= narrowDigits:
		n = *cell[int64](data, row)
	default:
		h := cell[huge](data, row)
		return datum.NewDecimal128(h.upper, h.lower, r.have.scale)
	}
	return datum.NewDecimal128(n>>63, uint64(n), r.have.scale)
}

// readBytes copies the bytes of all cells at once; the values are parts of that
// copy.
func (r reader) readBytes(data, mask unsafe.Pointer, rows [][]datum.Value, at int) error {
	total := 0
	for i := range rows {
		if valid(mask, i) {
			total += int(cell[text](data, i).length)
		}
	}
	bytes := make([]byte, 0, total)
	for i := range rows {
		if valid(mask, i) {
			bytes = cell[text](data, i).appendTo(bytes)
		}
	}
	all := unsafe.String(unsafe.SliceData(bytes), len(bytes))
	for i, row := range rows {
		if !valid(mask, i) {
			row[at] = datum.NullValue
			continue
		}
		n := cell[text](data, i).length
		v, err := decodeBytes(r.typ, all[:n])
		if err != nil {
			return err
		}
		row[at], all = v, all[n:]
	}
	return nil
}

// decodeBytes returns the value of a type that is carried as a text or a byte
// string. It shares s.
func decodeBytes(t datum.Type, s string) (datum.Value, error) {
	switch t.Kind {
	case datum.Null, datum.Text:
		return datum.NewText(s), nil
	case datum.Bytes:
		return datum.NewBytesString(s), nil
	case datum.JSON:
		return datum.NewJSON(s)
	case datum.File:
		return datum.NewFile(s), nil
	case datum.Decimal:
		return datum.ParseDecimal(s)
	}
	v, rest, err := datum.DecodeValueString(s)
	if err != nil {
		return datum.Value{}, fmt.Errorf("decode %s: %w", t, err)
	}
	if rest != "" {
		return datum.Value{}, fmt.Errorf("decode %s: %d bytes are left over", t, len(rest))
	}
	return v, nil
}
