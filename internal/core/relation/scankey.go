package relation

import (
	"bytes"
	"context"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/source"
	"kalamdb/internal/store/table"
)

const (
	// aheadBytes bounds the rows that a scan by key holds ahead.
	aheadBytes = 16 << 20
	// aheadMost bounds them in number.
	aheadMost = 64 << 10
	// lookEvery is how many rows are passed over between two looks at the
	// context.
	lookEvery = 256
)

// keyScan merges hot rows and places of cold rows by key. Cold rows are read
// for a stretch of keys at a time, file by file: the stretch grows while it is
// cheap, so that a long scan reads each page of a file few times.
type keyScan struct {
	source *rowSource
	r      source.Request
	hot    *table.Scan
	places *table.Locations
	files  *coldFiles
	hasHot bool // hot stands at a row
	hasLoc bool // places stands at a row
	begun  bool

	wanted  []bool // columns of hot rows
	slab    slab
	ahead   [][]datum.Value // rows not delivered yet, in slab
	stretch int             // how many rows the next fill takes
	cold    struct {        // cold rows of the present fill
		places []schema.Location
		rows   [][]datum.Value
	}
}

func (s *rowSource) scanKey(r source.Request) (source.Rows, error) {
	o := s.options(r)
	o.Order = table.ByKey
	hot, err := table.NewScan(s.view.reader(), s.def, s.scope, o)
	if err != nil {
		return nil, err
	}
	places, err := table.NewLocations(s.view.reader(), s.def, s.scope, o.Low, o.High)
	if err != nil {
		_ = hot.Close() // the first error is the one to report
		return nil, err
	}
	files := s.view.coldFiles(s.def)
	files.where, files.tally = r.Where, r.Tally
	return &keyScan{
		source: s, r: r, wanted: s.wanted(r), hot: hot, places: places, files: files, stretch: batchRows(r),
		slab: slab{width: len(s.def.Columns)},
	}, nil
}

// Next returns the next batch.
func (s *keyScan) Next(ctx context.Context) (*source.Batch, error) {
	if s.hot == nil {
		return nil, nil
	}
	if len(s.ahead) == 0 {
		if err := s.fill(ctx); err != nil {
			return nil, err
		}
	}
	n := min(len(s.ahead), source.BatchRows)
	if n == 0 {
		return nil, nil
	}
	batch := &source.Batch{Rows: s.ahead[:n]}
	s.ahead = s.ahead[n:]
	return batch, nil
}

// fill reads the next stretch.
func (s *keyScan) fill(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !s.begun {
		s.begun = true
		s.hasHot = s.hot.Next(ctx)
		if err := s.stepPlace(ctx); err != nil {
			return err
		}
	}
	rows := s.slab.take(s.stretch)
	s.cold.places, s.cold.rows = s.cold.places[:0], s.cold.rows[:0]
	n := 0
	for n < len(rows) && (s.hasHot || s.hasLoc) {
		if err := s.take(ctx, rows[n]); err != nil {
			return err
		}
		n++
	}
	if err := s.hot.Err(); err != nil {
		return err
	}
	if err := s.places.Err(); err != nil {
		return err
	}
	if len(s.cold.places) > 0 {
		if err := s.files.fetch(ctx, s.r.Columns, s.cold.places, s.cold.rows); err != nil {
			return err
		}
	}
	s.ahead = rows[:n]
	s.grow(rows[:n])
	return nil
}

// take puts the lesser of the two next rows into row, a cold one as a place to
// be read.
func (s *keyScan) take(ctx context.Context, row []datum.Value) error {
	if s.hasHot {
		v := s.hot.Version()
		if !s.hasLoc || bytes.Compare(v.Key, s.places.Key()) < 0 {
			if err := s.source.decodeColumns(&v, row, s.wanted); err != nil {
				return err
			}
			s.hasHot = s.hot.Next(ctx)
			return nil
		}
	}
	s.cold.places = append(s.cold.places, s.places.Location())
	s.cold.rows = append(s.cold.rows, row)
	return s.stepPlace(ctx)
}

// stepPlace moves to the next place within the bounds of seq whose row may meet
// the conditions.
func (s *keyScan) stepPlace(ctx context.Context) error {
	for n := 1; ; n++ {
		if s.hasLoc = s.places.Next(); !s.hasLoc {
			return nil
		}
		place := s.places.Location()
		if within(s.r, place.Seq) {
			may, err := s.files.may(place)
			if may || err != nil {
				return err
			}
		}
		if n%lookEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// grow doubles the stretch: up to a full batch always, beyond that after
// mostly cold rows, while two of its size fit.
func (s *keyScan) grow(rows [][]datum.Value) {
	if s.stretch < source.BatchRows {
		s.stretch = min(2*s.stretch, source.BatchRows)
		return
	}
	if len(s.cold.places)*2 < len(rows) || s.stretch >= aheadMost {
		return
	}
	size := 0
	for _, row := range rows {
		size += int(datum.RowSize(row))
	}
	if size*2 <= aheadBytes {
		s.stretch *= 2
	}
}

// Close releases what the scan holds. It may be called more than once.
func (s *keyScan) Close() {
	if s.hot == nil {
		return
	}
	_ = s.hot.Close()    // a broken iterator has told its error already
	_ = s.places.Close() // the same
	s.files.close()
	s.hot, s.places, s.ahead = nil, nil, nil
}
