package parquet

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/compress/snappy"
	"github.com/parquet-go/parquet-go/compress/uncompressed"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

const (
	// pageBytes is the size a page grows to before it is compressed: small
	// enough that a point read decodes little, large enough to compress.
	pageBytes = 64 << 10
	// chunkRows is how many rows are collected before the columns take them.
	chunkRows = 256
	// bloomBits per value give a false-positive rate of about one per cent.
	bloomBits = 10
)

// WriterOptions say how a file is written.
type WriterOptions struct {
	// Compression is "snappy" (also when empty), "zstd" or "none".
	Compression string
	// RowGroupRows and RowGroupBytes bound a row group; 32,768 and 32 MiB
	// when 0. Bytes are counted before compression.
	RowGroupRows  int
	RowGroupBytes int
	// Bloom names the positions of columns that get a bloom filter.
	Bloom []int
	// Metadata is added to the file's key/value metadata.
	Metadata map[string]string
}

// Writer writes one file, row by row.
type Writer struct {
	columns []Column
	file    *parquet.Writer
	options WriterOptions
	chunk   []chunk // per column, at most chunkRows or pageBytes
	pending int     // rows in chunk
	bytes   int     // in chunk
	group   struct{ rows, bytes int }
}

// chunk is what waits for one column.
type chunk struct {
	values []parquet.Value
	arena  []byte // bytes of strings; values go on pointing into older arenas
}

// codecOf returns the codec of a COMPRESSION option.
func codecOf(name string) (compress.Codec, error) {
	switch name {
	case "", "snappy":
		return &snappy.Codec{}, nil
	case "zstd":
		return &zstd.Codec{}, nil
	case "none", "uncompressed":
		return &uncompressed.Codec{}, nil
	}
	return nil, fault.New(fault.InvalidDefinition, "unknown compression '%s'; use snappy, zstd or none", name)
}

// NewWriter begins a file.
func NewWriter(w io.Writer, columns []Column, o WriterOptions) (*Writer, error) {
	if o.RowGroupRows <= 0 {
		o.RowGroupRows = 32768
	}
	if o.RowGroupBytes <= 0 {
		o.RowGroupBytes = 32 << 20
	}
	codec, err := codecOf(o.Compression)
	if err != nil {
		return nil, err
	}
	layout, err := schemaOf(columns)
	if err != nil {
		return nil, err
	}
	options := []parquet.WriterOption{
		layout,
		parquet.Compression(codec),
		parquet.PageBufferSize(pageBytes),
		parquet.DataPageStatistics(true),
		parquet.CreatedBy("kalamdb", "1", "0"),
		parquet.KeyValueMetadata(typesKey, string(appendTypes(nil, columns))),
	}
	for key, value := range o.Metadata {
		options = append(options, parquet.KeyValueMetadata(key, value))
	}
	if len(o.Bloom) > 0 {
		filters := make([]parquet.BloomFilterColumn, len(o.Bloom))
		for i, position := range o.Bloom {
			filters[i] = parquet.SplitBlockFilter(bloomBits, columns[position].Name)
		}
		options = append(options, parquet.BloomFilters(filters...))
	}
	out := &Writer{columns: columns, options: o, chunk: make([]chunk, len(columns))}
	out.file = parquet.NewWriter(w, options...)
	return out, nil
}

// Append adds a row, aligned to the columns. The values are copied.
func (w *Writer) Append(row []datum.Value) error {
	for i := range w.columns {
		n, err := w.chunk[i].add(row[i], &w.columns[i], i)
		if err != nil {
			return fmt.Errorf("column %q: %w", w.columns[i].Name, err)
		}
		w.bytes += n
	}
	w.pending++
	if w.pending < min(chunkRows, w.options.RowGroupRows) && w.bytes < pageBytes {
		return nil
	}
	return w.flushChunk()
}

// flushChunk hands the collected rows to the columns and ends the row group
// when it is full.
func (w *Writer) flushChunk() error {
	writers := w.file.ColumnWriters()
	for i := range w.chunk {
		c := &w.chunk[i]
		if len(c.values) > 0 {
			if _, err := writers[i].WriteRowValues(c.values); err != nil {
				return fmt.Errorf("write column %q: %w", w.columns[i].Name, err)
			}
		}
		clear(c.values)
		c.values, c.arena = c.values[:0], c.arena[:0]
	}
	w.group.rows += w.pending
	w.group.bytes += w.bytes
	w.pending, w.bytes = 0, 0
	if w.group.rows+chunkRows <= w.options.RowGroupRows && w.group.bytes < w.options.RowGroupBytes {
		return nil
	}
	w.group.rows, w.group.bytes = 0, 0
	if err := w.file.Flush(); err != nil {
		return fmt.Errorf("end row group: %w", err)
	}
	return nil
}

// Close writes what is left and the footer.
func (w *Writer) Close() error {
	if w.pending > 0 {
		if err := w.flushChunk(); err != nil {
			return err
		}
	}
	if err := w.file.Close(); err != nil {
		return fmt.Errorf("write footer: %w", err)
	}
	return nil
}

// add appends one value and returns about how many bytes it takes.
func (c *chunk) add(v datum.Value, column *Column, index int) (int, error) {
	present := 1
	if column.Required {
		present = 0
	}
	if v.IsNull() {
		if column.Required {
			return 0, fmt.Errorf("a NULL where none may be")
		}
		c.values = append(c.values, parquet.NullValue().Level(0, 0, index))
		return 1, nil
	}
	if want := column.Type; v.Kind() != want.Kind || want.Kind == datum.Decimal && v.Scale() != want.Scale {
		var err error
		if v, err = datum.Cast(v, want); err != nil {
			return 0, err
		}
	}
	if v.Kind() == datum.Embedding {
		return c.addEmbedding(v, present, index), nil
	}
	stored, size := c.store(v)
	c.values = append(c.values, stored.Level(0, present, index))
	return size, nil
}

// store returns the value as the library takes it.
func (c *chunk) store(v datum.Value) (parquet.Value, int) {
	switch v.Kind() {
	case datum.Bool:
		return parquet.BooleanValue(v.Bool()), 1
	case datum.SmallInt, datum.Int, datum.Date:
		return parquet.Int32Value(int32(v.Int())), 4
	case datum.Float:
		return parquet.FloatValue(float32(v.Float())), 4
	case datum.Double:
		return parquet.DoubleValue(v.Float()), 8
	case datum.Decimal:
		hi, lo := v.Decimal128()
		start := len(c.arena)
		c.arena = binary.BigEndian.AppendUint64(c.arena, uint64(hi))
		c.arena = binary.BigEndian.AppendUint64(c.arena, lo)
		return parquet.FixedLenByteArrayValue(c.arena[start:]), 16
	case datum.UUID:
		u := v.UUID()
		start := len(c.arena)
		c.arena = append(c.arena, u[:]...)
		return parquet.FixedLenByteArrayValue(c.arena[start:]), 16
	case datum.Array:
		start := len(c.arena)
		c.arena = datum.AppendText(c.arena, v)
		return parquet.ByteArrayValue(c.arena[start:]), len(c.arena) - start + 4
	case datum.Text, datum.JSON, datum.File, datum.Bytes:
		text := v.Text()
		start := len(c.arena)
		c.arena = append(c.arena, text...)
		return parquet.ByteArrayValue(c.arena[start:]), len(text) + 4
	}
	return parquet.Int64Value(v.Int()), 8 // BIGINT and the temporal kinds
}

// addEmbedding appends the numbers of a list: the first begins a row, the
// others repeat.
func (c *chunk) addEmbedding(v datum.Value, present, index int) int {
	floats := v.Embedding()
	if len(floats) == 0 {
		c.values = append(c.values, parquet.NullValue().Level(0, present, index))
		return 1
	}
	for i, f := range floats {
		repeated := 1
		if i == 0 {
			repeated = 0
		}
		c.values = append(c.values, parquet.FloatValue(f).Level(repeated, present+1, index))
	}
	return 4 * len(floats)
}
