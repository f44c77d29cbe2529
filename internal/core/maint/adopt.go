package maint

import (
	"context"
	"fmt"
	"hash/crc32"

	"kalamdb/internal/cold"
	"kalamdb/internal/command"
	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
	"kalamdb/internal/store/table"
)

// seenMost bounds what a flush remembers of the rows that it writes.
const seenMost = 4 << 20

// seenRows are rows that a flush has read after its file was reserved and has
// written there, by their number. A row that reads back as it was written and
// has not been changed since need not be looked for when it is adopted.
type seenRows struct{ rows []seenRow }

type seenRow struct {
	size int32
	sum  uint32 // of key and version
}

// since returns a view that is not older than the last commit, and what the rows
// that it shows are remembered in: nil when the table is not what it was, and the
// view then the older one. The caller releases the view.
func (m *Maintainer) since(view *catalog.View, t *schema.Table) (*catalog.View, *seenRows) {
	later := m.o.View()
	if now, ok := later.Definitions().TableByID(t.ID); ok && now.Version == t.Version {
		return later, &seenRows{}
	}
	later.Release()
	return view.Retain(), nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sumOf(key []byte, seq uint64) uint32 {
	return crc32.Checksum(key, castagnoli) ^ uint32(seq) ^ uint32(seq>>32)
}

// add remembers the next row.
func (s *seenRows) add(key []byte, v table.Version) {
	if len(s.rows) < seenMost {
		s.rows = append(s.rows, seenRow{int32(min(len(v.Row), 1<<31-1)), sumOf(key, v.Seq)})
	}
}

// sizes returns the bytes of the rows of a slice, or nil when one of them was not
// seen.
func (s *seenRows) sizes(from uint64, slice []command.AdoptedRow) []int32 {
	if s == nil || from+uint64(len(slice)) > uint64(len(s.rows)) {
		return nil
	}
	sizes := make([]int32, len(slice))
	for i := range slice {
		r := s.rows[from+uint64(i)]
		if r.sum != sumOf(slice[i].Key, slice[i].Seq) {
			return nil
		}
		sizes[i] = r.size
	}
	return sizes
}

// fileKeys reads keys and versions of a file, stretch by stretch.
type fileKeys struct {
	table *schema.Table
	file  *cold.Reader
	scan  *cold.Scan
	seq   int // position of _seq
	rows  [][]datum.Value
}

// openKeys reads the rows [from, to) of a file that a flush has written.
func (m *Maintainer) openKeys(t *schema.Table, st schema.Storage, f schema.File, from uint64) (*fileKeys, error) {
	r, err := m.o.Cold.Open(st, f)
	if err != nil {
		return nil, err
	}
	k := &fileKeys{table: t, file: r, seq: t.Column(schema.SeqName), rows: make([][]datum.Value, m.o.SliceRows)}
	if r.Rows() != f.Rows {
		err = fmt.Errorf("cold file %s has %d rows instead of %d: %w", f.Path, r.Rows(), f.Rows, cold.ErrDamaged)
	} else {
		k.scan, err = r.Scan(t, append(t.KeyPositions(), k.seq), from, f.Rows)
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	values := make([]datum.Value, m.o.SliceRows*len(t.Columns))
	for i := range k.rows {
		k.rows[i] = values[i*len(t.Columns) : (i+1)*len(t.Columns)]
	}
	return k, nil
}

// next returns up to so many rows and the number of the first; none at the end.
func (k *fileKeys) next(ctx context.Context, most int) ([]command.AdoptedRow, uint64, error) {
	first, n, err := k.scan.Next(ctx, k.rows[:most])
	if err != nil || n == 0 {
		return nil, 0, err
	}
	slice := make([]command.AdoptedRow, n)
	var room []byte
	for i, row := range k.rows[:n] {
		from := len(room)
		room = k.table.KeyOf(room, row)
		slice[i] = command.AdoptedRow{Key: room[from:len(room):len(room)], Seq: uint64(row[k.seq].Int())}
	}
	return slice, first, nil
}

func (k *fileKeys) close() {
	k.scan.Close()
	k.file.Close()
}

// adopt moves the rows of a file from a row number on into its window, slice by
// slice. Keys and versions are read back from the file, so a flush that was cut
// off goes on in the same way.
func (m *Maintainer) adopt(ctx context.Context, t *schema.Table, st schema.Storage, f schema.File, window schema.Segment, from uint64, known *seenRows) (int64, error) {
	keys, err := m.openKeys(t, st, f, from)
	if err != nil {
		return 0, err
	}
	defer keys.close()
	b := m.newBelt(true)
	for err == nil {
		var slice []command.AdoptedRow
		var first uint64
		if slice, first, err = keys.next(ctx, b.rows()); err != nil || slice == nil {
			break
		}
		err = b.propose(ctx, &command.Adopt{
			File: f, Scope: f.Scope, From: first, Rows: slice, Window: window, Sizes: known.sizes(first, slice),
		}, len(slice), len(slice))
	}
	if err = b.end(ctx, err); err != nil {
		err = fmt.Errorf("adopt rows of %s: %w", f.Path, err)
	}
	return b.moved, err
}
