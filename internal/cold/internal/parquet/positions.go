package parquet

import (
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// positionsChunk is how many rows of a file of deletes are handed on at a time.
const positionsChunk = 4096

// PositionsWriter writes a file of positional deletes: pairs of the path of one
// file and the number of a row in it, ascending.
type PositionsWriter struct {
	file    *parquet.Writer
	path    parquet.Value
	paths   []parquet.Value
	numbers []parquet.Value
	rows    uint64
}

// NewPositionsWriter begins a file of deletes of the file at a path. pathID and
// rowID are the field ids of its columns.
func NewPositionsWriter(w io.Writer, path string, pathID, rowID int) *PositionsWriter {
	root := orderedGroup{Group: parquet.Group{}}
	add := func(name string, node parquet.Node, id int) {
		node = parquet.FieldID(node, id)
		root.Group[name] = node
		root.fields = append(root.fields, field{Node: node, name: name})
	}
	add("file_path", parquet.Encoded(parquet.String(), &parquet.RLEDictionary), pathID)
	add("pos", parquet.Encoded(parquet.Int(64), &parquet.DeltaBinaryPacked), rowID)
	return &PositionsWriter{
		path: parquet.ByteArrayValue([]byte(path)).Level(0, 0, 0),
		file: parquet.NewWriter(w, parquet.NewSchema("deletes", root), parquet.Compression(&zstd.Codec{}),
			parquet.DataPageStatistics(true), parquet.CreatedBy("kalamdb", "1", "0")),
	}
}

// Append adds the number of a row, greater than the one before.
func (w *PositionsWriter) Append(row uint64) error {
	w.rows++
	w.paths = append(w.paths, w.path)
	w.numbers = append(w.numbers, parquet.Int64Value(int64(row)).Level(0, 0, 1))
	if len(w.paths) < positionsChunk {
		return nil
	}
	return w.flush()
}

func (w *PositionsWriter) flush() error {
	columns := w.file.ColumnWriters()
	for i, values := range [][]parquet.Value{w.paths, w.numbers} {
		if _, err := columns[i].WriteRowValues(values); err != nil {
			return fmt.Errorf("write deletes: %w", err)
		}
	}
	w.paths, w.numbers = w.paths[:0], w.numbers[:0]
	return nil
}

// Close writes what is left and the footer, and returns how many rows there are.
func (w *PositionsWriter) Close() (uint64, error) {
	if len(w.paths) > 0 {
		if err := w.flush(); err != nil {
			return 0, err
		}
	}
	if err := w.file.Close(); err != nil {
		return 0, fmt.Errorf("write the footer of deletes: %w", err)
	}
	return w.rows, nil
}
