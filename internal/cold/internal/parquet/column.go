// Package parquet writes and reads the Parquet files of the cold tier. It is
// the only room that knows the library, and names no type of it outside.
//
// A file is plain Parquet: the columns of a table by name and in order, each
// with its column id as field id, _seq and _deleted behind them. Key/value
// metadata tells the logical types (docs/format/parquet.md). Every page has a
// checksum, which readers check. Reads address rows by their number in the
// file and touch only the pages that hold them.
//
// Damaged bytes give an error: the library panics on some, so every entry that
// reads guards itself.
// Goroutines: none. Locks: none. A File may be read by many goroutines, a
// Writer and a Run belong to one.
package parquet

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
)

// typesKey is the key under which a file tells the logical type of each column,
// as a JSON object from column id to the data_type of result schemas.
const typesKey = "kalam_data_type"

// Column is one column of a file.
type Column struct {
	ID       schema.ColumnID
	Name     string
	Type     datum.Type
	Required bool // holds no NULL: key columns, _seq, _deleted
	System   schema.SystemColumn
}

// orderedGroup is a group whose fields stand in the order of the table; the
// library's own sorts them by name.
type orderedGroup struct {
	parquet.Group
	fields []parquet.Field
}

// Fields returns the columns in their order.
func (g orderedGroup) Fields() []parquet.Field { return g.fields }

// GoType is a map, for rows are never written as Go structs.
func (g orderedGroup) GoType() reflect.Type { return reflect.TypeFor[map[string]any]() }

// field is a named node.
type field struct {
	parquet.Node
	name string
}

// Name returns the name of the column.
func (f field) Name() string { return f.name }

// Value is never asked for, since rows are not Go values.
func (f field) Value(base reflect.Value) reflect.Value {
	return base.MapIndex(reflect.ValueOf(f.name))
}

// schemaOf builds the schema of a file.
func schemaOf(columns []Column) (*parquet.Schema, error) {
	root := orderedGroup{Group: parquet.Group{}}
	for i := range columns {
		c := &columns[i]
		node, err := nodeOf(c)
		if err != nil {
			return nil, err
		}
		root.Group[c.Name] = node
		root.fields = append(root.fields, field{Node: node, name: c.Name})
	}
	if len(root.Group) != len(columns) {
		return nil, fmt.Errorf("two columns share a name")
	}
	return parquet.NewSchema("row", root), nil
}

func nodeOf(c *Column) (parquet.Node, error) {
	node, err := physicalOf(c.Type)
	if err != nil {
		return nil, fmt.Errorf("column %q: %w", c.Name, err)
	}
	switch {
	case c.Type.Kind == datum.Embedding:
		node = parquet.List(parquet.FieldID(parquet.Leaf(parquet.FloatType), elementID+int(c.ID)))
	case c.System == schema.SeqColumn:
		node = parquet.Encoded(node, &parquet.DeltaBinaryPacked)
	case c.Type.Kind.IsString() || c.Type.Kind == datum.Bytes || c.Type.Kind == datum.Array:
		node = parquet.Encoded(node, &parquet.Plain)
	}
	if !c.Required {
		node = parquet.Optional(node)
	}
	return parquet.FieldID(node, int(c.ID)), nil
}

// elementID is what is added to a column id for the field id of its elements:
// readers that match by id ask for one everywhere.
const elementID = 1_000_000_000

// physicalOf returns how values of a type stand in a file.
func physicalOf(t datum.Type) (parquet.Node, error) {
	switch t.Kind {
	case datum.Bool:
		return parquet.Leaf(parquet.BooleanType), nil
	case datum.SmallInt:
		return parquet.Int(16), nil
	case datum.Int:
		return parquet.Int(32), nil
	case datum.BigInt:
		return parquet.Int(64), nil
	case datum.Float:
		return parquet.Leaf(parquet.FloatType), nil
	case datum.Double:
		return parquet.Leaf(parquet.DoubleType), nil
	case datum.Decimal:
		return parquet.Decimal(int(t.Scale), int(t.Precision), parquet.FixedLenByteArrayType(16)), nil
	case datum.Text, datum.JSON, datum.File, datum.Array: // an array as its text, such as {1,NULL}
		return parquet.String(), nil
	case datum.Bytes:
		return parquet.Leaf(parquet.ByteArrayType), nil
	case datum.UUID:
		return parquet.UUID(), nil
	case datum.Date:
		return parquet.Date(), nil
	case datum.Time:
		return parquet.TimeAdjusted(parquet.Microsecond, false), nil
	case datum.Timestamp:
		return parquet.TimestampAdjusted(parquet.Microsecond, false), nil
	case datum.DateTime:
		return parquet.TimestampAdjusted(parquet.Microsecond, true), nil
	case datum.Embedding:
		return parquet.List(parquet.Leaf(parquet.FloatType)), nil
	}
	return nil, fmt.Errorf("type %s cannot stand in a file", t)
}

// appendTypes writes the logical types of all columns.
func appendTypes(dst []byte, columns []Column) []byte {
	dst = append(dst, '{')
	for i := range columns {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendQuote(dst, strconv.Itoa(int(columns[i].ID)))
		dst = append(dst, ':')
		dst = columns[i].Type.AppendWire(dst)
	}
	return append(dst, '}')
}

// parseTypes reads what appendTypes wrote.
func parseTypes(text string) (map[schema.ColumnID]datum.Type, error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return nil, fmt.Errorf("read %s: %w", typesKey, err)
	}
	types := make(map[schema.ColumnID]datum.Type, len(raw))
	for id, wire := range raw {
		number, err := strconv.ParseUint(id, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", typesKey, err)
		}
		t, err := parseWire(wire)
		if err != nil {
			return nil, fmt.Errorf("read %s of column %s: %w", typesKey, id, err)
		}
		types[schema.ColumnID(number)] = t
	}
	return types, nil
}

// parseWire reads the data_type of result schemas back.
func parseWire(wire json.RawMessage) (datum.Type, error) {
	if strings.HasPrefix(string(wire), `"`) {
		for kind := datum.Bool; kind < datum.Interval; kind++ {
			t := datum.Type{Kind: kind}
			if kind != datum.Decimal && kind != datum.Embedding && string(t.AppendWire(nil)) == string(wire) {
				return t, nil
			}
		}
		return datum.Type{}, fmt.Errorf("unknown type %s", wire)
	}
	var args struct {
		Decimal   *struct{ Precision, Scale uint8 }
		Embedding *uint16
		Array     json.RawMessage
	}
	if err := json.Unmarshal(wire, &args); err != nil {
		return datum.Type{}, err
	}
	switch {
	case args.Decimal != nil:
		return datum.ParseType("decimal", []int{int(args.Decimal.Precision), int(args.Decimal.Scale)})
	case args.Array != nil:
		element, err := parseWire(args.Array)
		if err == nil && !element.Kind.CanBeElement() {
			err = fmt.Errorf("no arrays of %s exist", element)
		}
		return datum.ArrayType(element), err
	case args.Embedding != nil:
		return datum.ParseType("embedding", []int{int(*args.Embedding)})
	}
	return datum.Type{}, fmt.Errorf("unknown type %s", wire)
}
