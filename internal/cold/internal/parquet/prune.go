package parquet

import (
	"encoding/binary"

	"github.com/parquet-go/parquet-go"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
)

// Stretch is the rows [From, To) of a file, by number.
type Stretch struct{ From, To uint64 }

// Group returns the rows of a row group.
func (f *File) Group(g int) Stretch {
	return Stretch{f.groups[g].first, f.groups[g].first + f.groups[g].rows}
}

// GroupOf returns the row group that holds a row.
func (f *File) GroupOf(row uint64) (int, error) { return f.groupOf(row) }

// Span returns what the footer tells of a column in a row group. Numbers with a
// point have no bounds here: a footer does not say whether one is NaN.
func (f *File) Span(column, g int) (s schema.Span) {
	s = schema.Span{Nulls: true, Others: true}
	kind := f.columns[column].kind
	if kind.Kind == datum.Embedding {
		return s
	}
	var err error
	defer func() {
		if err != nil {
			s = schema.Span{Nulls: true, Others: true}
		}
	}()
	defer guard(&err)
	chunk, ok := f.groups[g].chunks[f.columns[column].leaf].(*parquet.FileColumnChunk)
	if !ok {
		return s
	}
	nulls := chunk.NullCount()
	low, high, bounded := chunk.Bounds()
	if nulls < 0 || chunk.NumValues() != int64(f.groups[g].rows) || !bounded && nulls != chunk.NumValues() {
		return s
	}
	s.Nulls, s.Others = nulls > 0, nulls < chunk.NumValues()
	if !s.Others || !bounds(kind.Kind) {
		return s
	}
	d := decoder{kind: kind}
	for _, v := range []parquet.Value{low, high} {
		if err = d.add(&v); err != nil {
			return s
		}
	}
	if err = d.finish(); err == nil {
		s.Low, s.High = d.dst[0], d.dst[1]
	}
	return s
}

// bounds reports whether the library orders the values of a kind as we do.
func bounds(k datum.Kind) bool {
	switch k {
	case datum.SmallInt, datum.Int, datum.BigInt, datum.Date, datum.Time, datum.Timestamp, datum.DateTime, datum.Text:
		return true
	}
	return false
}

// MayHold asks the bloom filter of a column in a row group whether it may hold
// a value of the column's own kind. Without a filter it may.
func (f *File) MayHold(column, g int, v datum.Value) (may bool, err error) {
	defer guard(&err)
	var plain parquet.Value
	switch v.Kind() {
	case datum.SmallInt, datum.Int, datum.Date:
		plain = parquet.Int32Value(int32(v.Int()))
	case datum.BigInt, datum.Time, datum.Timestamp, datum.DateTime:
		plain = parquet.Int64Value(v.Int())
	case datum.Text:
		plain = parquet.ByteArrayValue([]byte(v.Text()))
	case datum.UUID:
		u := v.UUID()
		plain = parquet.FixedLenByteArrayValue(u[:])
	case datum.Decimal:
		hi, lo := v.Decimal128()
		var b [16]byte
		binary.BigEndian.PutUint64(b[:], uint64(hi))
		binary.BigEndian.PutUint64(b[8:], lo)
		plain = parquet.FixedLenByteArrayValue(b[:])
	default: // -0.0 and 0.0 are equal and have different bytes
		return true, nil
	}
	filter := f.groups[g].chunks[f.columns[column].leaf].BloomFilter()
	if filter == nil {
		return true, nil
	}
	return filter.Check(plain)
}
