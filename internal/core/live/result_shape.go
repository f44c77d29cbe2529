package live

import (
	"slices"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
)

// resultShape says how rows of a result travel. They look as those of a table:
// _seq is the position at which a row was told, unless the select list was *
// and has a _seq of its own.
type resultShape struct {
	columns []Column
	key     []bool // by column
	seq     int    // the column _seq, or -1
	deleted int    // the column _deleted, or -1
}

func newResultShape(o *ResultOptions) *resultShape {
	s := &resultShape{columns: o.Columns, key: make([]bool, len(o.Columns))}
	for _, at := range o.Key {
		s.key[at] = true
	}
	named := func(name string) int {
		return slices.IndexFunc(o.Columns, func(c Column) bool { return c.Name == name })
	}
	s.seq, s.deleted = named(schema.SeqName), named(schema.DeletedName)
	return s
}

// same reports whether rows of both look alike to a client.
func (s *resultShape) same(o *resultShape) bool {
	return slices.Equal(s.columns, o.columns) && slices.Equal(s.key, o.key)
}

func positionValue(position uint64) datum.Value { return datum.NewInt(datum.BigInt, int64(position)) }

// full adds all columns of a row, as in snapshots and inserts.
func (s *resultShape) full(dst *Row, row []datum.Value, position uint64) {
	for i, v := range row {
		dst.add(s.columns[i].Name, v)
	}
	if s.seq < 0 {
		dst.add(schema.SeqName, positionValue(position))
	}
}

// change fills in what a frame says of a change that was found at a position.
func (s *resultShape) change(p *pair, c *resultChange, position uint64) *Change {
	p.row.reset()
	p.old.reset()
	switch {
	case c.old == nil:
		s.full(&p.row, c.row, position)
		return &Change{Kind: KindInsert, Row: &p.row}
	case c.row == nil:
		s.left(&p.old, c.old, position)
		return &Change{Kind: KindDelete, Old: &p.old}
	}
	s.updated(p, c, position)
	return &Change{Kind: KindUpdate, Row: &p.row, Old: &p.old}
}

// left adds the last values of a row that the result has no more.
func (s *resultShape) left(dst *Row, row []datum.Value, position uint64) {
	for i, v := range row {
		switch i {
		case s.seq:
			v = positionValue(position)
		case s.deleted:
			v = datum.NewBool(true)
		}
		dst.add(s.columns[i].Name, v)
	}
	if s.seq < 0 {
		dst.add(schema.SeqName, positionValue(position))
	}
}

// updated adds of the new row the key, _seq and what is not NULL, of the old one
// the key and what has changed.
func (s *resultShape) updated(p *pair, c *resultChange, position uint64) {
	if s.seq < 0 {
		p.row.add(schema.SeqName, positionValue(position))
	} else {
		p.row.add(schema.SeqName, c.row[s.seq])
		p.old.add(schema.SeqName, c.old[s.seq])
	}
	for i, v := range c.row {
		if i == s.seq || i == s.deleted {
			continue
		}
		if s.key[i] || !v.IsNull() {
			p.row.add(s.columns[i].Name, v)
		}
		if s.key[i] || !identical(c.old[i], v) {
			p.old.add(s.columns[i].Name, c.old[i])
		}
	}
}
