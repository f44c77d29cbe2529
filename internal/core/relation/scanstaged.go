package relation

import (
	"bytes"
	"context"
	"slices"
	"sort"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/source"
)

// stagedSource is a table as a transaction sees it: its own changes over those
// of the moment.
type stagedSource struct {
	*rowSource
	list  []*StagedRow // by key
	lives int64
}

// Count returns the number of live rows.
func (s *stagedSource) Count(ctx context.Context) (int64, bool, error) {
	n, known, err := s.rowSource.Count(ctx)
	return n + s.lives, known, err
}

// CountWithin knows nothing: changes of the transaction's own have no _seq yet.
func (s *stagedSource) CountWithin(context.Context, uint64, uint64) (int64, bool, error) {
	return 0, false, nil
}

// Divide returns nil: rows with a change of their own are found by key.
func (s *stagedSource) Divide(context.Context, source.Request, int64, int) (*source.Division, error) {
	return nil, nil
}

// Pieces returns nil for the same reason.
func (s *stagedSource) Pieces(context.Context, source.Request, int64) (source.Pieces, error) {
	return nil, nil
}

// Scan starts a scan. Rows of the moment are asked for with their keys, so that
// those with a change of their own are passed over.
func (s *stagedSource) Scan(ctx context.Context, r source.Request) (source.Rows, error) {
	inner := r
	if r.Columns != nil {
		inner.Columns = append(slices.Clone(r.Columns), s.def.Column(schema.SeqName))
		inner.Columns = append(inner.Columns, s.def.KeyPositions()...)
		slices.Sort(inner.Columns)
		inner.Columns = slices.Compact(inner.Columns)
	}
	scan := &stagedScan{source: s, bySeq: r.Order == source.BySeq || r.Order == source.BySeqDesc, down: r.Order == source.BySeqDesc}
	if r.Keys != nil {
		inner.Keys = s.points(r, scan)
	} else {
		s.between(r, scan)
	}
	if scan.bySeq {
		slices.SortFunc(scan.staged, func(a, b *StagedRow) int {
			if (a.Seq < b.Seq) != scan.down {
				return -1
			}
			return 1
		})
	}
	scan.seq = s.def.Column(schema.SeqName)
	scan.slab = slab{width: len(s.def.Columns)}
	if r.Keys != nil && len(inner.Keys) == 0 {
		scan.ended = true
		return scan, nil
	}
	var err error
	scan.base, err = s.rowSource.Scan(ctx, inner)
	return scan, err
}

// points puts the wanted keys that are staged into a scan and returns the
// others.
func (s *stagedSource) points(r source.Request, scan *stagedScan) (others [][]datum.Value) {
	others = make([][]datum.Value, 0, len(r.Keys))
	low, high := keyRange(r)
	seen := map[string]struct{}{}
	for _, values := range r.Keys {
		key := schema.AppendKeyValues(nil, values)
		row := s.find(key)
		if row == nil {
			others = append(others, values)
			continue
		}
		if _, twice := seen[string(key)]; twice {
			continue
		}
		seen[string(key)] = struct{}{}
		if inside(key, low, high) && s.wanted(r, row) {
			scan.staged = append(scan.staged, row)
		}
	}
	slices.SortFunc(scan.staged, func(a, b *StagedRow) int { return bytes.Compare(a.Write.Key, b.Write.Key) })
	return others
}

// between puts the staged rows within the bounds of a request into a scan.
func (s *stagedSource) between(r source.Request, scan *stagedScan) {
	low, high := keyRange(r)
	from := sort.Search(len(s.list), func(i int) bool { return bytes.Compare(s.list[i].Write.Key, low) >= 0 })
	for _, row := range s.list[from:] {
		if !inside(row.Write.Key, low, high) {
			break
		}
		if s.wanted(r, row) {
			scan.staged = append(scan.staged, row)
		}
	}
}

// find returns the change of a key, or nil.
func (s *stagedSource) find(key []byte) *StagedRow {
	i, found := slices.BinarySearchFunc(s.list, key, func(r *StagedRow, key []byte) int { return bytes.Compare(r.Write.Key, key) })
	if !found {
		return nil
	}
	return s.list[i]
}

func (s *stagedSource) wanted(r source.Request, row *StagedRow) bool {
	return (r.Deleted || !row.deleted()) && within(r, row.Seq)
}

func inside(key, low, high []byte) bool {
	return bytes.Compare(key, low) >= 0 && (high == nil || bytes.Compare(key, high) < 0)
}

// stagedScan merges staged rows into those of the moment.
type stagedScan struct {
	source *stagedSource
	base   source.Rows
	staged []*StagedRow // to be delivered, in the order of the scan
	bySeq  bool
	down   bool
	seq    int // position of _seq
	ended  bool

	batch [][]datum.Value // of the moment, not delivered yet
	key   []byte
	slab  slab
	rows  [][]datum.Value
}

// Next returns the next batch: rows of at most one batch of the moment, which
// the next one overwrites.
func (s *stagedScan) Next(ctx context.Context) (*source.Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.rows = s.rows[:0]
	own := s.slab.take(min(len(s.staged), source.BatchRows))
	for len(s.rows) < source.BatchRows {
		if len(s.batch) == 0 && !s.ended {
			if len(s.rows) > 0 {
				break
			}
			if err := s.fetch(ctx); err != nil {
				return nil, err
			}
			continue
		}
		if len(s.batch) > 0 {
			s.key = s.source.def.KeyOf(s.key[:0], s.batch[0])
			if s.source.find(s.key) != nil {
				s.batch = s.batch[1:]
				continue
			}
		}
		if len(s.staged) > 0 && (len(s.batch) == 0 || s.before(s.staged[0])) {
			if err := s.decode(s.staged[0], own[0]); err != nil {
				return nil, err
			}
			s.rows, own, s.staged = append(s.rows, own[0]), own[1:], s.staged[1:]
			continue
		}
		if len(s.batch) == 0 {
			break
		}
		s.rows, s.batch = append(s.rows, s.batch[0]), s.batch[1:]
	}
	if len(s.rows) == 0 {
		return nil, nil
	}
	return &source.Batch{Rows: s.rows}, nil
}

// fetch reads the next batch of the moment.
func (s *stagedScan) fetch(ctx context.Context) error {
	batch, err := s.base.Next(ctx)
	if err != nil {
		return err
	}
	if batch == nil {
		s.ended = true
		return nil
	}
	s.batch = batch.Rows
	return nil
}

// before reports whether a staged row comes before the next one of the moment,
// whose key stands in s.key.
func (s *stagedScan) before(r *StagedRow) bool {
	if !s.bySeq {
		return bytes.Compare(r.Write.Key, s.key) < 0
	}
	return (r.Seq < uint64(s.batch[0][s.seq].Int())) != s.down
}

func (s *stagedScan) decode(r *StagedRow, row []datum.Value) error {
	if err := s.source.def.DecodeRow(r.Write.Row, row); err != nil {
		return err
	}
	s.source.def.Stamp(row, r.Seq, r.deleted())
	return nil
}

// Close releases what the scan holds. It may be called more than once.
func (s *stagedScan) Close() {
	if s.base != nil {
		s.base.Close()
	}
	s.base, s.batch, s.staged, s.ended = nil, nil, nil, true
}
