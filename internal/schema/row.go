package schema

import (
	"encoding/binary"
	"math"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// rowFormat is the first byte of an encoded row; docs/format/rows.md.
const rowFormat = 1

// AppendRow encodes the user columns of a row under this table version. The
// values stand in the order of t.Columns; system columns are left out, for
// only the store stamps them.
func (t *Table) AppendRow(dst []byte, row []datum.Value) []byte {
	dst = append(dst, rowFormat)
	dst = binary.AppendUvarint(dst, uint64(t.Version))
	for i := range t.Columns {
		if t.Columns[i].System != NotSystem || row[i].IsNull() {
			continue
		}
		dst = binary.AppendUvarint(dst, uint64(t.Columns[i].ID))
		dst = datum.AppendValue(dst, row[i])
	}
	return dst
}

// DecodeRow fills row (as long as t.Columns) from bytes that any version of
// this table has written: values follow their column ids, columns added later
// show what they were added with, dropped ones are skipped, widened types are
// converted. System columns are left untouched. Malformed bytes give an error.
func (t *Table) DecodeRow(body []byte, row []datum.Value) error {
	return t.DecodeColumns(body, row, nil)
}

// DecodeColumns is DecodeRow for the positions for which wanted is true, nil for
// all. Positions behind its end are not wanted. Others are left untouched: their
// bytes are only passed over, and those behind the last wanted one not read.
func (t *Table) DecodeColumns(body []byte, row []datum.Value, wanted []bool) error {
	if len(body) == 0 || body[0] != rowFormat {
		return fault.New(fault.Internal, "row of table %s has an unknown format", t.QualifiedName())
	}
	version, n := binary.Uvarint(body[1:])
	if n <= 0 || version > math.MaxUint32 {
		return t.malformed()
	}
	rest := body[1+n:]
	if err := t.fillAbsent(uint32(version), row, wanted); err != nil {
		return err
	}
	next := 0
	for len(rest) > 0 && (wanted == nil || next < len(wanted)) {
		id, n := binary.Uvarint(rest)
		if n <= 0 || id > math.MaxUint32 {
			return t.malformed()
		}
		position := t.position(ColumnID(id), next)
		if position < 0 || wanted != nil && (position >= len(wanted) || !wanted[position]) { // dropped since, or of no use
			tail, err := datum.SkipValue(rest[n:])
			if err != nil {
				return err
			}
			rest, next = tail, max(next, position+1)
			continue
		}
		v, tail, err := datum.DecodeValue(rest[n:])
		if err != nil {
			return err
		}
		rest, next = tail, position+1
		column := &t.Columns[position]
		if column.System != NotSystem {
			return t.malformed()
		}
		if row[position], err = column.widen(v); err != nil {
			return fault.Wrap(fault.Internal, err, "row of table %s does not fit column '%s'", t.QualifiedName(), column.Name)
		}
	}
	return nil
}

func (t *Table) malformed() error {
	return fault.New(fault.Internal, "row of table %s is malformed", t.QualifiedName())
}

// widen converts a value that an older version of the column has stored.
func (c *Column) widen(v datum.Value) (datum.Value, error) {
	kind := v.Kind()
	if kind == c.Type.Kind && (kind != datum.Decimal || v.Scale() == c.Type.Scale) {
		return v, nil
	}
	return datum.Cast(v, c.Type)
}

// position finds a column id, trying the expected place first.
func (t *Table) position(id ColumnID, guess int) int {
	for i := guess; i < len(t.Columns) && i < guess+3; i++ {
		if t.Columns[i].ID == id {
			return i
		}
	}
	return t.ColumnByID(id)
}

// fillAbsent sets what a row shows for columns that its bytes do not carry.
func (t *Table) fillAbsent(version uint32, row []datum.Value, wanted []bool) error {
	columns := t.Columns
	if wanted != nil {
		columns = columns[:len(wanted)]
	}
	for i := range columns {
		if wanted != nil && !wanted[i] {
			continue
		}
		c := &columns[i]
		if c.System != NotSystem {
			continue
		}
		v, err := c.Absent(version)
		if err != nil {
			return err
		}
		row[i] = v
	}
	return nil
}

// Absent returns what a row written under a table version shows when it does
// not carry the column: NULL, or, when it is older than the column, what the
// column was added with.
func (c *Column) Absent(version uint32) (datum.Value, error) {
	if len(c.Missing) == 0 || version >= c.Since {
		return datum.Value{}, nil
	}
	v, _, err := datum.DecodeValue(c.Missing)
	if err != nil {
		return v, err
	}
	return c.widen(v)
}

// KeyOf encodes the primary key of a row.
func (t *Table) KeyOf(dst []byte, row []datum.Value) []byte {
	for _, id := range t.Key {
		dst = datum.AppendKey(dst, row[t.ColumnByID(id)])
	}
	return dst
}

// AppendKeyValues encodes key values given in key order.
func AppendKeyValues(dst []byte, values []datum.Value) []byte {
	for _, v := range values {
		dst = datum.AppendKey(dst, v)
	}
	return dst
}
