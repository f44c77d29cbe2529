package duck

import (
	"strconv"

	bindings "github.com/duckdb/duckdb-go-bindings"

	"kalamdb/internal/datum"
)

// form is a family of DuckDB types that share a layout in vectors.
type form uint8

// The forms.
const (
	formBool form = iota
	formSmallInt
	formInt
	formBigInt
	formFloat
	formDouble
	formDecimal
	formVarchar
	formBlob
	formUUID
	formDate
	formTime
	formTimestamp
	formInterval
	formHuge // HUGEINT, of results only
	formNull // the type of a bare NULL, of results and arguments only
	formOther
)

// formNames holds DuckDB's name, the suffix of functions and the type number of
// the forms that values are carried in.
var formNames = [...]struct {
	name, suffix string
	id           bindings.Type
}{
	formBool:      {"BOOLEAN", "boolean", bindings.TypeBoolean},
	formSmallInt:  {"SMALLINT", "smallint", bindings.TypeSmallInt},
	formInt:       {"INTEGER", "integer", bindings.TypeInteger},
	formBigInt:    {"BIGINT", "bigint", bindings.TypeBigInt},
	formFloat:     {"FLOAT", "float", bindings.TypeFloat},
	formDouble:    {"DOUBLE", "double", bindings.TypeDouble},
	formDecimal:   {"DECIMAL", "decimal", bindings.TypeDecimal},
	formVarchar:   {"VARCHAR", "varchar", bindings.TypeVarchar},
	formBlob:      {"BLOB", "blob", bindings.TypeBlob},
	formUUID:      {"UUID", "uuid", bindings.TypeUUID},
	formDate:      {"DATE", "date", bindings.TypeDate},
	formTime:      {"TIME", "time", bindings.TypeTime},
	formTimestamp: {"TIMESTAMP", "timestamp", bindings.TypeTimestamp},
	formInterval:  {"INTERVAL", "interval", bindings.TypeInterval},
}

// shape is one DuckDB type: a form, and the digits of a decimal.
type shape struct {
	form             form
	precision, scale uint8
}

// shapeOf returns the DuckDB type that carries t.
func shapeOf(t datum.Type) shape {
	switch t.Kind {
	case datum.Bool:
		return shape{form: formBool}
	case datum.SmallInt:
		return shape{form: formSmallInt}
	case datum.Int:
		return shape{form: formInt}
	case datum.BigInt:
		return shape{form: formBigInt}
	case datum.Float:
		return shape{form: formFloat}
	case datum.Double:
		return shape{form: formDouble}
	case datum.Decimal:
		if t.Precision != 0 {
			return shape{formDecimal, t.Precision, t.Scale}
		}
		return shape{form: formVarchar}
	case datum.Null, datum.Text, datum.JSON, datum.File:
		return shape{form: formVarchar}
	case datum.UUID:
		return shape{form: formUUID}
	case datum.Date:
		return shape{form: formDate}
	case datum.Time:
		return shape{form: formTime}
	case datum.Timestamp, datum.DateTime:
		return shape{form: formTimestamp}
	case datum.Interval:
		return shape{form: formInterval}
	}
	return shape{form: formBlob}
}

// Physical returns DuckDB's name of the column type that carries t.
func Physical(t datum.Type) string {
	s := shapeOf(t)
	name := formNames[s.form].name
	if s.form == formDecimal {
		name += "(" + strconv.Itoa(int(s.precision)) + "," + strconv.Itoa(int(s.scale)) + ")"
	}
	return name
}

// Suffix returns what stands behind kfn_ and kvf_ for a function that returns t.
func Suffix(t datum.Type) string { return shapeOf(t).suffix() }

func (s shape) suffix() string {
	name := formNames[s.form].suffix
	if s.form == formDecimal {
		name += "_" + strconv.Itoa(int(s.precision)) + "_" + strconv.Itoa(int(s.scale))
	}
	return name
}

// logical returns the type in the library's terms. The caller destroys it.
func (s shape) logical() bindings.LogicalType {
	if s.form == formDecimal {
		return bindings.CreateDecimalType(s.precision, s.scale)
	}
	return bindings.CreateLogicalType(formNames[s.form].id)
}

// shapeOfLogical returns the shape of a type of the library and destroys it.
func shapeOfLogical(t bindings.LogicalType) shape {
	defer bindings.DestroyLogicalType(&t)
	id := bindings.GetTypeId(t)
	switch id {
	case bindings.TypeDecimal:
		return shape{formDecimal, bindings.DecimalWidth(t), bindings.DecimalScale(t)}
	case bindings.TypeHugeInt:
		return shape{form: formHuge}
	case bindings.TypeSQLNull:
		return shape{form: formNull}
	case bindings.TypeTimestampTZ:
		return shape{form: formTimestamp}
	}
	for f := range formNames {
		if formNames[f].id == id {
			return shape{form: form(f)}
		}
	}
	return shape{form: formOther}
}
