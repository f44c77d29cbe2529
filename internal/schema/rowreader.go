package schema

import (
	"encoding/binary"
	"math"
	"math/bits"
	"unsafe"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// RowReaderColumns is how many columns a RowReader reads at most.
const RowReaderColumns = 64

// RowReader reads wanted columns of many stored rows of one table, value by
// value and without memory of its own for them. It belongs to one goroutine.
type RowReader struct {
	table  *Table
	wanted []int   // positions of the columns
	places []uint8 // by column id: the index among wanted and one, 0 for the others
	system uint64  // those of wanted that the store stamps
	all    uint64
	// What rows of the version read last show when they do not carry a column.
	version uint32
	absent  []datum.Value
}

// NewRowReader returns a reader of the columns at the given positions, at most
// RowReaderColumns.
func (t *Table) NewRowReader(positions []int) *RowReader {
	fault.Assert(len(positions) <= RowReaderColumns, "a row reader of %d columns", len(positions))
	r := &RowReader{table: t, wanted: positions, all: uint64(1)<<len(positions) - 1}
	for i, position := range positions {
		c := &t.Columns[position]
		if c.System != NotSystem {
			r.system |= 1 << i
			continue
		}
		for len(r.places) <= int(c.ID) {
			r.places = append(r.places, 0)
		}
		r.places[c.ID] = uint8(i + 1)
	}
	return r
}

// Read calls put with every wanted column, by its index, of a row that
// Table.DecodeRow reads. Texts and bytes share the memory of body: who keeps
// them beyond its life copies them.
func (r *RowReader) Read(body []byte, seq uint64, deleted bool, put func(i int, v datum.Value) error) error {
	if len(body) == 0 || body[0] != rowFormat {
		return fault.New(fault.Internal, "row of table %s has an unknown format", r.table.QualifiedName())
	}
	version, n := binary.Uvarint(body[1:])
	if n <= 0 || version > math.MaxUint32 {
		return r.table.malformed()
	}
	rest := unsafe.String(unsafe.SliceData(body), len(body))[1+n:]
	missing := r.all &^ r.system
	for len(rest) > 0 && missing != 0 {
		id, n := columnID(rest)
		if n <= 0 {
			return r.table.malformed()
		}
		if id >= uint64(len(r.places)) || r.places[id] == 0 {
			tail, err := datum.SkipValueString(rest[n:])
			if err != nil {
				return err
			}
			rest = tail
			continue
		}
		v, tail, err := datum.DecodeValueString(rest[n:])
		if err != nil {
			return err
		}
		i := int(r.places[id] - 1)
		c := &r.table.Columns[r.wanted[i]]
		if v, err = c.widen(v); err != nil {
			return fault.Wrap(fault.Internal, err, "row of table %s does not fit column '%s'", r.table.QualifiedName(), c.Name)
		}
		if err := put(i, v); err != nil {
			return err
		}
		rest, missing = tail, missing&^(1<<i)
	}
	return r.finish(uint32(version), missing|r.system, seq, deleted, put)
}

// columnID reads the number before a value, most often of one byte.
func columnID(s string) (id uint64, n int) {
	if s[0] < 0x80 {
		return uint64(s[0]), 1
	}
	var head [binary.MaxVarintLen64]byte
	id, n = binary.Uvarint(head[:copy(head[:], s)])
	if id > math.MaxUint32 {
		return 0, 0
	}
	return id, n
}

// finish gives the columns that the bytes do not carry.
func (r *RowReader) finish(version uint32, missing, seq uint64, deleted bool, put func(i int, v datum.Value) error) error {
	if r.absent == nil || version != r.version {
		if err := r.fillAbsent(version); err != nil {
			return err
		}
	}
	for ; missing != 0; missing &= missing - 1 {
		i := bits.TrailingZeros64(missing)
		v := r.absent[i]
		switch r.table.Columns[r.wanted[i]].System {
		case SeqColumn:
			v = datum.NewInt(datum.BigInt, int64(seq))
		case DeletedColumn:
			v = datum.NewBool(deleted)
		}
		if err := put(i, v); err != nil {
			return err
		}
	}
	return nil
}

func (r *RowReader) fillAbsent(version uint32) error {
	absent := make([]datum.Value, len(r.wanted))
	for i, position := range r.wanted {
		c := &r.table.Columns[position]
		if c.System != NotSystem {
			continue
		}
		v, err := c.Absent(version)
		if err != nil {
			return err
		}
		absent[i] = v
	}
	r.version, r.absent = version, absent
	return nil
}
