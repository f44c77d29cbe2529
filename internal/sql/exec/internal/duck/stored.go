package duck

import (
	"context"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/source"
)

// storedScan writes rows that come as they are stored into vectors, without a
// row of values in between.
type storedScan struct {
	reader  *schema.RowReader
	columns []*column // by index of the reader
	unread  []*column // columns of NULLs
	row     int       // of the vectors, the one being written
	put     func(i int, v datum.Value) error
	each    func(body []byte, seq uint64, deleted bool) error
}

// storedScan returns how rows of a table are read as they are stored, nil if
// they cannot be.
func (s *scanning) storedScan(t *schema.Table) *storedScan {
	if t == nil || len(s.columns) > schema.RowReaderColumns {
		return nil
	}
	d := &storedScan{}
	var positions []int
	for i := range s.columns {
		c := &s.columns[i]
		if c.position < 0 {
			d.unread = append(d.unread, c)
			continue
		}
		positions, d.columns = append(positions, c.position), append(d.columns, c)
	}
	d.reader = t.NewRowReader(positions)
	d.put = func(i int, v datum.Value) error { return d.columns[i].writer.put(d.row, v) }
	d.each = func(body []byte, seq uint64, deleted bool) error {
		if err := d.reader.Read(body, seq, deleted, d.put); err != nil {
			return err
		}
		for _, c := range d.unread {
			c.writer.null(d.row)
		}
		d.row++
		return nil
	}
	return d
}

// fill writes rows first and so on, up to most; fewer when no more come as they
// are stored.
func (d *storedScan) fill(ctx context.Context, rows source.StoredRows, first, most int) (int, error) {
	d.row = first
	return rows.Stored(ctx, most-first, d.each)
}
