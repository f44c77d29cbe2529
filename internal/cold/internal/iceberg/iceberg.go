// Package iceberg writes the metadata of Apache Iceberg tables, format version
// 2: the manifests, the manifest list and the metadata file of one moment of a
// table. It is the only room that knows the library, names no type of it
// outside, and reads and writes no files itself: objects are handed to a
// function, the one that makes the others known last (docs/format/iceberg.md).
//
// A field id is the column id, so renames and dropped columns need no rewriting.
// What the format cannot say of a file, Shows tells.
//
// Goroutines: none. Locks: none.
package iceberg

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/apache/iceberg-go"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
)

// UserColumn is the column that tells the users of a USER table apart, and
// UserID its field id. No column of a table can have this name, for theirs begin
// with a letter.
const (
	UserColumn = "_user"
	UserID     = 2_000_000_000
)

// partitionID is the id of the partition field, elementID what is added to a
// column id for that of its elements.
const (
	partitionID = 1000
	elementID   = 1_000_000_000
)

// The partition specs: files whose rows carry what they need, and files of one
// user, whose name stands in the metadata alone.
const (
	plainSpec = 0
	userSpec  = 1
)

// ElementID returns the field id of the elements of a column.
func ElementID(id schema.ColumnID) int { return elementID + int(id) }

// typeOf returns the type of a column in the format.
func typeOf(c *schema.Column) (iceberg.Type, error) {
	switch c.Type.Kind {
	case datum.Bool:
		return iceberg.PrimitiveTypes.Bool, nil
	case datum.SmallInt, datum.Int:
		return iceberg.PrimitiveTypes.Int32, nil
	case datum.BigInt:
		return iceberg.PrimitiveTypes.Int64, nil
	case datum.Float:
		return iceberg.PrimitiveTypes.Float32, nil
	case datum.Double:
		return iceberg.PrimitiveTypes.Float64, nil
	case datum.Decimal:
		return iceberg.DecimalTypeOf(int(c.Type.Precision), int(c.Type.Scale)), nil
	case datum.Text, datum.JSON, datum.File, datum.Array:
		return iceberg.PrimitiveTypes.String, nil
	case datum.Bytes:
		return iceberg.PrimitiveTypes.Binary, nil
	case datum.UUID:
		return iceberg.PrimitiveTypes.UUID, nil
	case datum.Date:
		return iceberg.PrimitiveTypes.Date, nil
	case datum.Time:
		return iceberg.PrimitiveTypes.Time, nil
	case datum.Timestamp:
		return iceberg.PrimitiveTypes.Timestamp, nil
	case datum.DateTime:
		return iceberg.PrimitiveTypes.TimestampTz, nil
	case datum.Embedding:
		return &iceberg.ListType{ElementID: ElementID(c.ID), Element: iceberg.PrimitiveTypes.Float32, ElementRequired: true}, nil
	}
	return nil, fmt.Errorf("column %q of type %s cannot be published", c.Name, c.Type)
}

// schemaOf returns the columns of a table: its own, _seq, and the user where the
// table has one. _deleted is left out, for it is always false.
func schemaOf(t *schema.Table) (*iceberg.Schema, error) {
	fields := make([]iceberg.NestedField, 0, len(t.Columns)+1)
	for i := range t.Columns {
		c := &t.Columns[i]
		if c.System == schema.DeletedColumn {
			continue
		}
		kind, err := typeOf(c)
		if err != nil {
			return nil, err
		}
		fields = append(fields, iceberg.NestedField{
			ID: int(c.ID), Name: c.Name, Type: kind, Doc: c.Comment, Required: c.System != schema.NotSystem || t.IsKey(i),
		})
	}
	if t.Kind == schema.User {
		fields = append(fields, iceberg.NestedField{ID: UserID, Name: UserColumn, Type: iceberg.PrimitiveTypes.String, Doc: "the user whose row it is"})
	}
	return iceberg.NewSchema(int(t.Version), fields...), nil
}

// specsOf returns the partition specs of a table by their numbers.
func specsOf(t *schema.Table) []iceberg.PartitionSpec {
	specs := []iceberg.PartitionSpec{iceberg.NewPartitionSpecID(plainSpec)}
	if t.Kind == schema.User {
		specs = append(specs, iceberg.NewPartitionSpecID(userSpec, iceberg.PartitionField{
			SourceIDs: []int{UserID}, FieldID: partitionID, Name: UserColumn, Transform: iceberg.IdentityTransform{},
		}))
	}
	return specs
}

// Shows reports whether a file that was written under one version of a table
// shows another reader what a later version means: nothing but NULL may stand
// for a column that it lacks, and a type has grown only as the format lets it.
func Shows(t, written *schema.Table) bool {
	for i := range t.Columns {
		c := &t.Columns[i]
		at := written.ColumnByID(c.ID)
		switch {
		case at < 0 && len(c.Missing) > 0, at >= 0 && !grows(written.Columns[at].Type, c.Type):
			return false
		}
	}
	return true
}

// grows reports whether the format takes values of one type for those of another.
func grows(from, to datum.Type) bool {
	switch {
	case from == to:
		return true
	case from.Kind.IsInteger() && to.Kind.IsInteger():
		return from.Kind <= to.Kind
	case from.Kind == datum.Decimal && to.Kind == datum.Decimal:
		return from.Scale == to.Scale && from.Precision <= to.Precision
	case from.Kind == datum.JSON && to.Kind == datum.Text:
		return true
	}
	return from.Kind == datum.Float && to.Kind == datum.Double
}

// AppendBound encodes the least or greatest value of a column as the format
// does; ok is false for types whose bounds are not told.
func AppendBound(dst []byte, v datum.Value, t datum.Type) (_ []byte, ok bool) {
	if v.Kind() != t.Kind {
		return dst, false
	}
	switch t.Kind {
	case datum.SmallInt, datum.Int, datum.Date:
		return binary.LittleEndian.AppendUint32(dst, uint32(int32(v.Int()))), true
	case datum.BigInt, datum.Time, datum.Timestamp, datum.DateTime:
		return binary.LittleEndian.AppendUint64(dst, uint64(v.Int())), true
	case datum.Float:
		return binary.LittleEndian.AppendUint32(dst, math.Float32bits(float32(v.Float()))), true
	case datum.Double:
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v.Float())), true
	case datum.Text:
		return append(dst, v.Text()...), true
	}
	return dst, false
}
