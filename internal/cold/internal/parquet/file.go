package parquet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sort"
	"sync"

	"github.com/parquet-go/parquet-go"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
)

// ErrDamaged says that bytes are not the file that was written.
var ErrDamaged = errors.New("the Parquet file is damaged")

// File is an open file.
type File struct {
	file    *parquet.File
	columns []fileColumn
	groups  []group
	rows    uint64
	buffers sync.Pool // *[]parquet.Value, scratch space of decoding
}

// fileColumn is a column as the file describes it.
type fileColumn struct {
	id   schema.ColumnID
	name string
	kind datum.Type
	leaf int // index among the leaf columns
}

// group is a row group: rows [first, first+rows) of the file.
type group struct {
	first, rows uint64
	chunks      []parquet.ColumnChunk
}

// Open reads the footer of a file.
func Open(r io.ReaderAt, size int64) (f *File, err error) {
	defer guard(&err)
	if err := checkFooter(r, size); err != nil {
		return nil, err
	}
	file, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	text, _ := file.Lookup(typesKey)
	types, err := parseTypes(text)
	if err != nil {
		return nil, err
	}
	f = &File{file: file}
	f.buffers.New = func() any {
		buffer := make([]parquet.Value, 512)
		return &buffer
	}
	for _, c := range file.Root().Columns() {
		kind, ok := types[schema.ColumnID(c.ID())]
		leaf := leafOf(c)
		if !ok || leaf == nil {
			return nil, fmt.Errorf("column %q has no type: %w", c.Name(), ErrDamaged)
		}
		if !stores(leaf, kind) {
			return nil, fmt.Errorf("column %q does not hold %s: %w", c.Name(), kind, ErrDamaged)
		}
		f.columns = append(f.columns, fileColumn{schema.ColumnID(c.ID()), c.Name(), kind, leaf.Index()})
	}
	for _, g := range file.RowGroups() {
		rows := uint64(g.NumRows())
		f.groups = append(f.groups, group{f.rows, rows, g.ColumnChunks()})
		f.rows += rows
	}
	return f, nil
}

// checkFooter refuses a footer longer than the file before it is allocated.
func checkFooter(r io.ReaderAt, size int64) error {
	var tail [8]byte
	if size < int64(len(tail))+4 {
		return fmt.Errorf("%d bytes are too few: %w", size, ErrDamaged)
	}
	if _, err := r.ReadAt(tail[:], size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the end: %w", err)
	}
	if int64(binary.LittleEndian.Uint32(tail[:4])) > size-int64(len(tail))-4 {
		return fmt.Errorf("the footer is longer than the file: %w", ErrDamaged)
	}
	return nil
}

// leafOf returns the one leaf below a column.
func leafOf(c *parquet.Column) *parquet.Column {
	for !c.Leaf() {
		below := c.Columns()
		if len(below) != 1 {
			return nil
		}
		c = below[0]
	}
	return c
}

// stores reports whether a column is as columns of a type are written, so that
// none of its values is taken for another kind of the library.
func stores(leaf *parquet.Column, t datum.Type) bool {
	repeated := 0
	var want parquet.Type = parquet.FloatType
	if t.Kind == datum.Embedding {
		repeated = 1
	} else {
		node, err := physicalOf(t)
		if err != nil {
			return false
		}
		want = node.Type()
	}
	is := leaf.Type()
	return leaf.MaxRepetitionLevel() == repeated && is.Kind() == want.Kind() &&
		(is.Kind() != parquet.FixedLenByteArray || is.Length() == want.Length())
}

// guard turns a panic of the library over damaged bytes into an error.
func guard(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%v: %w", p, ErrDamaged)
	}
}

// Rows returns how many rows the file has.
func (f *File) Rows() uint64 { return f.rows }

// RowGroups returns how many row groups the file has.
func (f *File) RowGroups() int { return len(f.groups) }

// Column returns the position of a column id in the file, or -1.
func (f *File) Column(id schema.ColumnID) int {
	for i := range f.columns {
		if f.columns[i].id == id {
			return i
		}
	}
	return -1
}

// Type returns the logical type of a column.
func (f *File) Type(column int) datum.Type { return f.columns[column].kind }

// Metadata returns an entry of the file's key/value metadata.
func (f *File) Metadata(key string) string {
	value, _ := f.file.Lookup(key)
	return value
}

// groupOf returns the row group that holds a row.
func (f *File) groupOf(row uint64) (int, error) {
	if row >= f.rows {
		return 0, fmt.Errorf("row %d of %d: %w", row, f.rows, ErrDamaged)
	}
	return sort.Search(len(f.groups), func(i int) bool { return f.groups[i].first > row }) - 1, nil
}

// PageID names a page of a column.
type PageID struct {
	Column, Group, Page int
}

// Page is the decoded values of one page: one per row from First on.
type Page struct {
	First  uint64 // row number in the file
	Values []datum.Value
	Bytes  int // memory the values hold
}

// Locate returns the page of a column that holds a row.
func (f *File) Locate(column int, row uint64) (id PageID, err error) {
	defer guard(&err)
	g, err := f.groupOf(row)
	if err != nil {
		return PageID{}, err
	}
	index, err := f.groups[g].chunks[f.columns[column].leaf].OffsetIndex()
	if err != nil {
		return PageID{}, fmt.Errorf("read page index: %w", err)
	}
	within := int64(row - f.groups[g].first)
	page := sort.Search(index.NumPages(), func(i int) bool { return index.FirstRowIndex(i) > within }) - 1
	if page < 0 {
		return PageID{}, fmt.Errorf("row %d has no page: %w", row, ErrDamaged)
	}
	return PageID{column, g, page}, nil
}

// Read decodes one page.
func (f *File) Read(id PageID) (p Page, err error) {
	defer guard(&err)
	chunk := f.groups[id.Group].chunks[f.columns[id.Column].leaf]
	index, err := chunk.OffsetIndex()
	if err != nil {
		return Page{}, fmt.Errorf("read page index: %w", err)
	}
	first := index.FirstRowIndex(id.Page)
	pages := chunk.Pages()
	defer pages.Close()
	if err := pages.SeekToRow(first); err != nil {
		return Page{}, fmt.Errorf("seek to row %d: %w", first, err)
	}
	raw, err := pages.ReadPage()
	if err != nil {
		return Page{}, fmt.Errorf("read page of column %q: %w", f.columns[id.Column].name, err)
	}
	defer parquet.Release(raw)
	if raw.NumRows() > int64(f.groups[id.Group].rows) {
		return Page{}, fmt.Errorf("a page of %d rows: %w", raw.NumRows(), ErrDamaged)
	}
	p = Page{First: f.groups[id.Group].first + uint64(first), Values: make([]datum.Value, 0, raw.NumRows())}
	p.Values, p.Bytes, err = f.decode(p.Values, raw, f.columns[id.Column].kind)
	return p, err
}

// decode appends the values of a page and returns their size in memory.
func (f *File) decode(dst []datum.Value, page parquet.Page, t datum.Type) ([]datum.Value, int, error) {
	buffer := f.buffers.Get().(*[]parquet.Value)
	defer f.buffers.Put(buffer)
	defer clear(*buffer)
	d := decoder{dst: dst, kind: t}
	values := page.Values()
	for {
		n, err := values.ReadValues(*buffer)
		for i := range (*buffer)[:n] {
			if err := d.add(&(*buffer)[i]); err != nil {
				return nil, 0, err
			}
		}
		if errors.Is(err, io.EOF) || err == nil && n == 0 {
			break
		}
		if err != nil {
			return nil, 0, fmt.Errorf("decode values: %w", err)
		}
	}
	if err := d.finish(); err != nil {
		return nil, 0, err
	}
	return d.dst, d.bytes, nil
}

// Run delivers rows of a range in order, each page decoded once. It belongs to
// one goroutine and must be closed.
type Run struct {
	file    *File
	next    uint64
	end     uint64
	columns []runColumn
	group   int // the row group the columns are open in, -1 for none
}

// runColumn is where a Run stands in one column.
type runColumn struct {
	column int
	pages  parquet.Pages
	values []datum.Value // of the current page
	first  uint64        // row number of values[0]
}

// Run begins to read rows [from, to) of columns.
func (f *File) Run(columns []int, from, to uint64) *Run {
	r := &Run{file: f, next: from, end: min(to, f.rows), group: -1, columns: make([]runColumn, len(columns))}
	for i, column := range columns {
		r.columns[i].column = column
	}
	return r
}

// Next fills rows with the next ones, at most len(rows), and returns how many.
// The value of the i-th column goes to place[i] of a row. It returns 0 at the
// end.
func (r *Run) Next(rows [][]datum.Value, place []int) (n int, err error) {
	defer guard(&err)
	if r.next >= r.end {
		return 0, nil
	}
	g, err := r.file.groupOf(r.next)
	if err != nil {
		return 0, err
	}
	if g != r.group {
		if err := r.open(g); err != nil {
			return 0, err
		}
	}
	in := &r.file.groups[g]
	n = int(min(uint64(len(rows)), min(r.end, in.first+in.rows)-r.next))
	for i := range r.columns {
		if err := r.fill(&r.columns[i], rows[:n], place[i]); err != nil {
			return 0, err
		}
	}
	r.next += uint64(n)
	return n, nil
}

// open places every column at the next row of a row group.
func (r *Run) open(g int) error {
	r.Close()
	r.group = g
	in := &r.file.groups[g]
	for i := range r.columns {
		c := &r.columns[i]
		chunk := in.chunks[r.file.columns[c.column].leaf]
		c.values, c.first = c.values[:0], r.next
		c.pages = chunk.Pages()
		if r.next == in.first {
			continue
		}
		// With the index in memory the seek goes straight to the page.
		if _, err := chunk.OffsetIndex(); err != nil {
			return fmt.Errorf("read page index: %w", err)
		}
		if err := c.pages.SeekToRow(int64(r.next - in.first)); err != nil {
			return fmt.Errorf("seek to row %d: %w", r.next, err)
		}
	}
	return nil
}

// fill copies the values of rows [r.next, r.next+len(rows)) of one column.
func (r *Run) fill(c *runColumn, rows [][]datum.Value, place int) error {
	for i := range rows {
		row := r.next + uint64(i)
		for row >= c.first+uint64(len(c.values)) {
			if err := r.turn(c); err != nil {
				return err
			}
		}
		rows[i][place] = c.values[row-c.first]
	}
	return nil
}

// turn decodes the next page of a column.
func (r *Run) turn(c *runColumn) error {
	raw, err := c.pages.ReadPage()
	if err != nil {
		return fmt.Errorf("read page of column %q: %w", r.file.columns[c.column].name, err)
	}
	defer parquet.Release(raw)
	c.first += uint64(len(c.values))
	c.values, _, err = r.file.decode(c.values[:0], raw, r.file.columns[c.column].kind)
	if err == nil && len(c.values) == 0 {
		err = fmt.Errorf("an empty page: %w", ErrDamaged)
	}
	return err
}

// Group returns the row group of the rows that Next delivered last.
func (r *Run) Group() int { return r.group }

// Close releases what the run holds. It may be called more than once.
func (r *Run) Close() {
	for i := range r.columns {
		if r.columns[i].pages != nil {
			_ = r.columns[i].pages.Close() // nothing was written
			r.columns[i].pages = nil
		}
	}
	r.group = -1
}

// valueBytes is what one value takes in memory beside its text.
const valueBytes = 32

// decoder turns the values of one page into ours. Texts of a page share one
// string.
type decoder struct {
	dst    []datum.Value
	kind   datum.Type
	bytes  int
	blob   []byte
	spans  []span    // texts that wait for finish
	floats []float32 // of the embedding being read
	open   bool      // an embedding is being read
}

// span is a text in blob and the value it belongs to.
type span struct{ value, from, to int }

// add takes one value of the library.
func (d *decoder) add(v *parquet.Value) error {
	if d.kind.Kind == datum.Embedding {
		return d.addFloat(v)
	}
	d.bytes += valueBytes
	if v.IsNull() {
		d.dst = append(d.dst, datum.Value{})
		return nil
	}
	switch k := d.kind.Kind; k {
	case datum.Bool:
		d.dst = append(d.dst, datum.NewBool(v.Boolean()))
	case datum.SmallInt, datum.Int, datum.Date:
		return d.addInt(int64(v.Int32()))
	case datum.Float:
		d.dst = append(d.dst, datum.NewFloat(v.Float()))
	case datum.Double:
		d.dst = append(d.dst, datum.NewDouble(v.Double()))
	case datum.Decimal:
		return d.addDecimal(v.ByteArray())
	case datum.UUID:
		b := v.ByteArray()
		if len(b) != 16 {
			return fmt.Errorf("a UUID of %d bytes: %w", len(b), ErrDamaged)
		}
		d.dst = append(d.dst, datum.NewUUID([16]byte(b)))
	case datum.Array:
		text := string(v.ByteArray())
		array, err := datum.Cast(datum.NewText(text), d.kind)
		if err != nil {
			return fmt.Errorf("an array of %d bytes: %w", len(text), ErrDamaged)
		}
		d.bytes += len(text)
		d.dst = append(d.dst, array)
	case datum.Text, datum.JSON, datum.File, datum.Bytes:
		b := v.ByteArray()
		d.spans = append(d.spans, span{len(d.dst), len(d.blob), len(d.blob) + len(b)})
		d.blob = append(d.blob, b...)
		d.dst = append(d.dst, datum.Value{})
	default:
		return d.addInt(v.Int64())
	}
	return nil
}

func (d *decoder) addInt(n int64) error {
	k := d.kind.Kind
	if !k.CanHold(n) {
		return fmt.Errorf("%d in a column of %s: %w", n, k, ErrDamaged)
	}
	d.dst = append(d.dst, datum.NewInt(k, n))
	return nil
}

func (d *decoder) addDecimal(b []byte) error {
	if len(b) != 16 {
		return fmt.Errorf("a DECIMAL of %d bytes: %w", len(b), ErrDamaged)
	}
	hi, lo := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	v, err := datum.NewDecimal128(int64(hi), lo, d.kind.Scale)
	d.dst = append(d.dst, v)
	return err
}

// addFloat collects the numbers of an embedding; one that does not repeat
// begins the next.
func (d *decoder) addFloat(v *parquet.Value) error {
	if v.RepetitionLevel() == 0 {
		if err := d.endEmbedding(); err != nil {
			return err
		}
		d.open = !v.IsNull()
		if !d.open {
			d.dst = append(d.dst, datum.Value{})
			d.bytes += valueBytes
			return nil
		}
	}
	d.floats = append(d.floats, v.Float())
	return nil
}

func (d *decoder) endEmbedding() error {
	if !d.open {
		return nil
	}
	if len(d.floats) != int(d.kind.Dim) {
		return fmt.Errorf("%d numbers in a column of %s: %w", len(d.floats), d.kind, ErrDamaged)
	}
	d.dst = append(d.dst, datum.NewEmbedding(d.floats))
	d.bytes += valueBytes + 4*len(d.floats)
	d.floats, d.open = d.floats[:0], false
	return nil
}

// finish cuts the texts out of one string.
func (d *decoder) finish() error {
	if err := d.endEmbedding(); err != nil {
		return err
	}
	if len(d.blob) > math.MaxInt32 {
		return fmt.Errorf("a page of %d bytes: %w", len(d.blob), ErrDamaged)
	}
	all := string(d.blob)
	d.bytes += len(all)
	for _, s := range d.spans {
		text := all[s.from:s.to]
		switch d.kind.Kind {
		case datum.Bytes:
			d.dst[s.value] = datum.NewBytesString(text)
		case datum.File:
			d.dst[s.value] = datum.NewFile(text)
		case datum.JSON:
			v, err := datum.NewJSON(text)
			if err != nil {
				return fmt.Errorf("%w: %w", err, ErrDamaged)
			}
			d.dst[s.value] = v
		default:
			d.dst[s.value] = datum.NewText(text)
		}
	}
	return nil
}
