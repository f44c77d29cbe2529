package duck

import (
	"encoding/binary"
	"errors"
	"unicode/utf8"

	bindings "github.com/duckdb/duckdb-go-bindings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// errNotUTF8 is the answer to a text that would end the process.
func errNotUTF8() error { return fault.New(fault.InvalidValue, "a text is not valid UTF-8") }

// bindParams gives a prepared statement the values of its parameters.
func bindParams(p bindings.PreparedStatement, params []datum.Value) error {
	for i, v := range params {
		if v.Kind().IsString() && !utf8.ValidString(v.Text()) {
			return errNotUTF8()
		}
		value := libraryValue(v)
		state := bindings.BindValue(p, bindings.IdxT(i+1), value)
		bindings.DestroyValue(&value)
		if state == bindings.StateError {
			return internal(errors.New("duckdb: bind a parameter"))
		}
	}
	return nil
}

// libraryValue returns v in the physical form of its type. The caller destroys
// it.
func libraryValue(v datum.Value) bindings.Value {
	switch v.Kind() {
	case datum.Null:
		return bindings.CreateNullValue()
	case datum.Bool:
		return bindings.CreateBool(v.Bool())
	case datum.SmallInt:
		return bindings.CreateInt16(int16(v.Int()))
	case datum.Int:
		return bindings.CreateInt32(int32(v.Int()))
	case datum.BigInt:
		return bindings.CreateInt64(v.Int())
	case datum.Float:
		return bindings.CreateFloat(float32(v.Float()))
	case datum.Double:
		return bindings.CreateDouble(v.Float())
	case datum.Decimal:
		hi, lo := v.Decimal128()
		return bindings.CreateDecimal(bindings.NewDecimal(datum.MaxPrecision, v.Scale(), bindings.NewHugeInt(lo, hi)))
	case datum.Text, datum.JSON, datum.File:
		return bindings.CreateVarcharLength(v.Text(), bindings.IdxT(len(v.Text())))
	case datum.Bytes:
		return bindings.CreateBlob([]byte(v.Bytes()))
	case datum.UUID:
		u := v.UUID()
		return bindings.CreateUUID(bindings.NewUHugeInt(binary.BigEndian.Uint64(u[8:]), binary.BigEndian.Uint64(u[:8])))
	case datum.Date:
		return bindings.CreateDate(bindings.NewDate(int32(v.Int())))
	case datum.Time:
		return bindings.CreateTime(bindings.NewTime(v.Int()))
	case datum.Timestamp, datum.DateTime:
		return bindings.CreateTimestamp(bindings.NewTimestamp(v.Int()))
	case datum.Interval:
		return bindings.CreateInterval(bindings.NewInterval(v.Interval()))
	}
	return bindings.CreateBlob(datum.AppendValue(nil, v))
}
