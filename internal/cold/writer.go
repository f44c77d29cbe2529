package cold

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"math"
	"strconv"

	"kalamdb/internal/cold/internal/objstore"
	"kalamdb/internal/cold/internal/parquet"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// versionKey is the metadata entry that tells the table version a file was
// written under.
const versionKey = "kalam_schema_version"

// boundMost is the longest text whose value may stand as a bound in the
// statistics; a column with a longer one has no bounds there.
const boundMost = 128

// CreateOptions say how a file is written.
type CreateOptions struct {
	// Compression is the table's COMPRESSION option: "", snappy, zstd or none.
	Compression string
	// Rows is about how many rows will come; it decides on bloom filters.
	Rows int64
}

// FileInfo describes a file that has been written.
type FileInfo struct {
	Size           int64
	Checksum       string // SHA-256 in hex
	Rows           uint64
	Statistics     string // JSON: per column id least, greatest, null count
	MinSeq, MaxSeq uint64 // of the last window
	MinKey, MaxKey []byte // encoded primary keys of the last window
}

// Writer writes one file. It belongs to one goroutine, which ends it with
// Finish or Abort.
type Writer struct {
	tier   *Tier
	def    *schema.Table
	upload objstore.Upload
	sink   counter
	file   *parquet.Writer
	info   FileInfo
	seq    int    // position of _seq
	from   uint64 // first row of the present window
	key    []byte
	stats  []columnStats
}

// counter passes bytes on to the upload and counts and sums them.
type counter struct {
	to   objstore.Upload
	size int64
	sum  hash.Hash
}

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.size += int64(n)
	c.sum.Write(p[:n])
	return n, err
}

// columnStats are the least and greatest value of a column so far.
type columnStats struct {
	bounded   bool // bounds are kept: a scalar kind without a long text so far
	nulls     uint64
	low, high datum.Value
}

// fileColumns returns the columns of a table's files.
func fileColumns(def *schema.Table) []parquet.Column {
	columns := make([]parquet.Column, len(def.Columns))
	for i := range def.Columns {
		c := &def.Columns[i]
		columns[i] = parquet.Column{
			ID: c.ID, Name: c.Name, Type: c.Type, System: c.System,
			Required: c.System != schema.NotSystem || def.IsKey(i),
		}
	}
	return columns
}

// Create begins the file at a path of a storage.
func (t *Tier) Create(st schema.Storage, path string, def *schema.Table, o CreateOptions) (*Writer, error) {
	w := &Writer{tier: t, def: def, seq: -1, stats: make([]columnStats, len(def.Columns))}
	po := parquet.WriterOptions{
		Compression: o.Compression, RowGroupRows: t.options.RowGroupRows, RowGroupBytes: t.options.RowGroupBytes,
		Metadata: map[string]string{versionKey: strconv.FormatUint(uint64(def.Version), 10)},
	}
	for i := range def.Columns {
		c := &def.Columns[i]
		if c.System == schema.SeqColumn {
			w.seq = i
		}
		if o.Rows >= t.options.BloomRows && (c.System == schema.SeqColumn || def.IsKey(i) || def.IndexOf(c.ID) != nil) && c.Type.Kind != datum.Bool {
			po.Bloom = append(po.Bloom, i)
		}
		w.stats[i].bounded = boundable(c.Type.Kind)
	}
	fault.Assert(w.seq >= 0, "table %s has no column _seq", def.QualifiedName())
	s, err := t.storage(st)
	if err != nil {
		return nil, err
	}
	if w.upload, err = s.Create(path); err != nil {
		return nil, err
	}
	w.sink = counter{to: w.upload, sum: sha256.New()}
	if w.file, err = parquet.NewWriter(&w.sink, fileColumns(def), po); err != nil {
		w.upload.Abort()
		return nil, err
	}
	return w, nil
}

// boundable reports whether bounds of a kind help to skip files.
func boundable(k datum.Kind) bool {
	switch k {
	case datum.Embedding, datum.JSON, datum.File, datum.Bytes, datum.Array:
		return false
	}
	return true
}

// Append adds a row, aligned to the columns of the definition with _seq and
// _deleted, and returns its number. Rows of a window come in ascending order of
// _seq.
func (w *Writer) Append(row []datum.Value) (uint64, error) {
	if err := w.file.Append(row); err != nil {
		return 0, err
	}
	for i := range w.stats {
		w.stats[i].add(row[i])
	}
	seq := uint64(row[w.seq].Int())
	first := w.info.Rows == w.from
	if first {
		w.info.MinSeq = seq
	}
	fault.Assert(first || seq > w.info.MaxSeq, "row %d of a file comes before the one above it", seq)
	w.info.MaxSeq = seq
	w.key = w.def.KeyOf(w.key[:0], row)
	if first || bytes.Compare(w.key, w.info.MinKey) < 0 {
		w.info.MinKey = bytes.Clone(w.key)
	}
	if first || bytes.Compare(w.key, w.info.MaxKey) > 0 {
		w.info.MaxKey = bytes.Clone(w.key)
	}
	w.info.Rows++
	return w.info.Rows - 1, nil
}

// Blank adds n rows that hold nothing: no window names them, and for those who
// read the file without windows they are deleted.
func (w *Writer) Blank(n uint64) error {
	row := make([]datum.Value, len(w.def.Columns))
	for i := range row {
		c := &w.def.Columns[i]
		switch {
		case c.System == schema.DeletedColumn:
			row[i] = datum.NewBool(true)
		case c.System != schema.NotSystem || w.def.IsKey(i):
			var err error
			if row[i], err = blankOf(c.Type); err != nil {
				return err
			}
		}
	}
	for range n {
		if err := w.file.Append(row); err != nil {
			return err
		}
		for i := range w.stats {
			w.stats[i].add(row[i])
		}
	}
	w.info.Rows += n
	w.from = w.info.Rows
	return nil
}

// blankOf returns a value for a column of a blank row that must have one.
func blankOf(t datum.Type) (datum.Value, error) {
	switch t.Kind {
	case datum.Bool:
		return datum.NewBool(false), nil
	case datum.Text:
		return datum.NewText(""), nil
	case datum.Bytes:
		return datum.NewBytes(nil), nil
	case datum.UUID:
		return datum.NewUUID([16]byte{}), nil
	case datum.Float:
		return datum.NewFloat(0), nil
	case datum.Double:
		return datum.NewDouble(0), nil
	case datum.Decimal:
		return datum.NewDecimal("0", t.Precision, t.Scale)
	case datum.SmallInt, datum.Int, datum.BigInt, datum.Date, datum.Time, datum.Timestamp, datum.DateTime:
		return datum.NewInt(t.Kind, 0), nil
	}
	return datum.Value{}, fmt.Errorf("a column of type %s has no blank value", t)
}

// Window ends a window of a file that several scopes share and returns it, but
// for table, scope and file: the rows since the one before. The next row begins
// another.
func (w *Writer) Window() schema.Segment {
	s := schema.Segment{
		From: w.from, To: w.info.Rows, MinSeq: w.info.MinSeq, MaxSeq: w.info.MaxSeq,
		MinKey: w.info.MinKey, MaxKey: w.info.MaxKey, SchemaVersion: w.def.Version,
	}
	w.from = w.info.Rows
	return s
}

// Key returns the encoded primary key of the last row, valid until the next.
func (w *Writer) Key() []byte { return w.key }

// Rows returns how many rows have been appended.
func (w *Writer) Rows() uint64 { return w.info.Rows }

// Bytes returns how many bytes of the file have been written so far.
func (w *Writer) Bytes() int64 { return w.sink.size }

// Finish makes the file durable under its name.
func (w *Writer) Finish() (FileInfo, error) {
	if err := w.file.Close(); err != nil {
		w.upload.Abort()
		return FileInfo{}, err
	}
	if err := w.upload.Finish(); err != nil {
		return FileInfo{}, err
	}
	w.info.Size = w.sink.size
	w.info.Checksum = hex.EncodeToString(w.sink.sum.Sum(nil))
	stats, err := w.statistics()
	if err != nil {
		return FileInfo{}, err
	}
	w.info.Statistics = stats
	w.tier.stats.filesWritten.Add(1)
	return w.info, nil
}

// Abort gives the file up. After Finish it does nothing.
func (w *Writer) Abort() { w.upload.Abort() }

func (s *columnStats) add(v datum.Value) {
	switch {
	case v.IsNull():
		s.nulls++
	case !s.bounded:
	case v.Kind() == datum.Text && len(v.Text()) > boundMost, !finite(v):
		s.bounded = false
	default:
		if s.low.IsNull() || datum.Compare(v, s.low) < 0 {
			s.low = v
		}
		if s.high.IsNull() || datum.Compare(v, s.high) > 0 {
			s.high = v
		}
	}
}

// finite reports whether a value can be written as JSON.
func finite(v datum.Value) bool {
	if v.Kind() != datum.Float && v.Kind() != datum.Double {
		return true
	}
	return !math.IsNaN(v.Float()) && !math.IsInf(v.Float(), 0)
}

// statistics writes what is known of each column, by column id.
func (w *Writer) statistics() (string, error) {
	out := []byte{'{'}
	for i := range w.stats {
		s := &w.stats[i]
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = strconv.AppendQuote(out, strconv.Itoa(int(w.def.Columns[i].ID)))
		out = append(out, `:{"min":`...)
		low, high := s.low, s.high
		if !s.bounded {
			low, high = datum.Value{}, datum.Value{}
		}
		var err error
		if out, err = datum.AppendJSON(out, low); err != nil {
			return "", fmt.Errorf("statistics of column %q: %w", w.def.Columns[i].Name, err)
		}
		out = append(out, `,"max":`...)
		if out, err = datum.AppendJSON(out, high); err != nil {
			return "", fmt.Errorf("statistics of column %q: %w", w.def.Columns[i].Name, err)
		}
		out = append(out, `,"null_count":`...)
		out = strconv.AppendUint(out, s.nulls, 10)
		out = append(out, '}')
	}
	return string(append(out, '}')), nil
}
