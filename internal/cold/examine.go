package cold

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"

	"kalamdb/internal/cold/internal/objstore"
	"kalamdb/internal/cold/internal/parquet"
	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
)

// ErrForeign says that a file is none that was written here.
var ErrForeign = errors.New("the file was written by another program")

// Examined is a file that nothing is known of but its place.
type Examined struct {
	FileInfo
	// Version is that of the table when the file was written.
	Version uint32

	tier   *Tier
	object objstore.Object
	reader *Reader
	def    *schema.Table
}

// Examine opens an object of a storage as a file of a table. It is to be closed.
// The error is ErrForeign or ErrDamaged when it can be read and is no such file.
func (t *Tier) Examine(st schema.Storage, place string, def *schema.Table) (*Examined, error) {
	s, err := t.storage(st)
	if err != nil {
		return nil, err
	}
	object, size, err := s.Open(place)
	if err != nil {
		return nil, err
	}
	e := &Examined{tier: t, object: object, def: def}
	if err := e.open(place, size); err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

func (e *Examined) open(place string, size int64) error {
	file, err := parquet.Open(e.object, size)
	if err != nil {
		return fmt.Errorf("cold file %s: %w", place, err)
	}
	version, err := strconv.ParseUint(file.Metadata(versionKey), 10, 32)
	if err != nil {
		return ErrForeign
	}
	for i := range e.def.Columns {
		c := &e.def.Columns[i]
		if (c.System == schema.SeqColumn || e.def.IsKey(i)) && file.Column(c.ID) < 0 {
			return ErrForeign
		}
	}
	e.Version = uint32(version)
	e.Size, e.Rows = size, file.Rows()
	e.reader = &Reader{tier: e.tier, path: place, object: e.object, file: file, version: e.Version}
	return nil
}

// Seqs returns _seq of some rows, in ascending order of their numbers.
func (e *Examined) Seqs(ctx context.Context, rows []uint64) ([]uint64, error) {
	columns := []int{}
	for i := range e.def.Columns {
		if e.def.Columns[i].System == schema.SeqColumn {
			columns = append(columns, i)
		}
	}
	seqs := make([]uint64, 0, len(rows))
	values := [][]datum.Value{make([]datum.Value, len(e.def.Columns))}
	for _, row := range rows {
		if row >= e.Rows {
			return nil, nil
		}
		scan, err := e.reader.Scan(e.def, columns, row, row+1)
		if err != nil {
			return nil, err
		}
		_, n, err := scan.Next(ctx, values)
		scan.Close()
		if err != nil || n == 0 {
			return nil, err
		}
		seqs = append(seqs, uint64(values[0][columns[0]].Int()))
	}
	return seqs, nil
}

// Sum reads all bytes and completes Checksum.
func (e *Examined) Sum() error {
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(e.object, 0, e.Size)); err != nil {
		return fmt.Errorf("read %s: %w", e.reader.path, err)
	}
	e.Checksum = hex.EncodeToString(sum.Sum(nil))
	return nil
}

// Each visits all rows in order and completes Statistics. It comes after Sum: what
// fails here is no failure to read, so the error is ErrDamaged then.
func (e *Examined) Each(ctx context.Context, visit func(row uint64, key []byte, seq uint64) error) error {
	seq := -1
	w := &Writer{def: e.def, stats: make([]columnStats, len(e.def.Columns))}
	for i := range e.def.Columns {
		if e.def.Columns[i].System == schema.SeqColumn {
			seq = i
		}
		w.stats[i].bounded = boundable(e.def.Columns[i].Type.Kind)
	}
	scan, err := e.reader.Scan(e.def, nil, 0, e.Rows)
	if err != nil {
		return err
	}
	defer scan.Close()
	rows := make([][]datum.Value, 256)
	for i := range rows {
		rows[i] = make([]datum.Value, len(e.def.Columns))
	}
	var key []byte
	for {
		first, n, err := scan.Next(ctx, rows)
		if err != nil && ctx.Err() == nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, err)
		}
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		for i, row := range rows[:n] {
			for c := range w.stats {
				w.stats[c].add(row[c])
			}
			key = e.def.KeyOf(key[:0], row)
			if err := visit(first+uint64(i), key, uint64(row[seq].Int())); err != nil {
				return err
			}
		}
	}
	e.Statistics, err = w.statistics()
	return err
}

// Close ends the reading.
func (e *Examined) Close() { _ = e.object.Close() } // it was only read
