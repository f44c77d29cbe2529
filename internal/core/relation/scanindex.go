package relation

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/source"
	"kalamdb/internal/store/table"
)

const (
	// indexLeast and indexMost bound the entries that a scan by an index takes
	// together; what leads to more rows is read without it.
	indexLeast = 1024
	indexMost  = 64 << 10
	// indexShare is the part of a table from which on a scan of all is cheaper.
	indexShare = 8
	// indexBytes bounds the keys in memory.
	indexBytes = 16 << 20
)

// indexScan delivers the rows that an index leads to, in the order of the
// request. The rows of a batch are read by their keys, cold ones file by file.
type indexScan struct {
	source *rowSource
	r      source.Request
	name   string
	found  []indexed // not delivered yet
	files  *coldFiles
	slab   slab
	size   int
}

// indexed is a row that an entry of an index leads to.
type indexed struct {
	key []byte
	seq uint64
}

// scanIndex begins a scan by an index; nil when the view does not know it as one
// that holds every row, or when it leads to too many.
func (s *rowSource) scanIndex(ctx context.Context, r source.Request) (source.Rows, error) {
	t, ok := s.view.TableByID(s.def.ID)
	if !ok || r.Deleted {
		return nil, nil
	}
	at := t.IndexByID(r.Index.Index)
	if at < 0 || t.Indexes[at].Building {
		return nil, nil
	}
	found, err := s.indexed(ctx, &t.Indexes[at], r)
	if err != nil || found == nil {
		return nil, err
	}
	s.view.relations.stats.points.Add(int64(len(found)))
	files := s.view.coldFiles(s.def)
	files.tally = r.Tally
	return &indexScan{
		source: s, r: r, name: t.Indexes[at].Name, found: found, files: files,
		slab: slab{width: len(s.def.Columns)}, size: batchRows(r),
	}, nil
}

// indexed gathers the rows within the bounds of a request, in its order; nil when
// there are too many.
func (s *rowSource) indexed(ctx context.Context, x *schema.Index, r source.Request) ([]indexed, error) {
	counts, err := table.Counts(s.view.reader(), s.def, s.scope)
	if err != nil {
		return nil, err
	}
	most := int(min(max((counts.HotRows+counts.ColdRows)/indexShare, indexLeast), indexMost))
	lowKey, highKey := keyRange(r)
	found, size, looked := []indexed{}, 0, 0
	for _, span := range r.Index.Ranges {
		low, high := indexBounds(span)
		scan, err := table.NewIndexScan(s.view.reader(), x, s.scope, low, high)
		if err != nil {
			return nil, err
		}
		for scan.Next() {
			if looked++; looked%lookEvery == 0 && ctx.Err() != nil {
				_ = scan.Close() // the context's error is the one to report
				return nil, ctx.Err()
			}
			size += len(scan.Key())
			if looked > most || size > indexBytes {
				return nil, scan.Close()
			}
			if within(r, scan.Seq()) && inside(scan.Key(), lowKey, highKey) {
				found = append(found, indexed{bytes.Clone(scan.Key()), scan.Seq()})
			}
		}
		if err := scan.Err(); err != nil {
			_ = scan.Close() // the first error is the one to report
			return nil, err
		}
		if err := scan.Close(); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(found, func(a, b indexed) int { return bytes.Compare(a.key, b.key) })
	found = slices.CompactFunc(found, func(a, b indexed) bool { return bytes.Equal(a.key, b.key) })
	switch r.Order {
	case source.BySeq:
		slices.SortFunc(found, func(a, b indexed) int { return cmp.Compare(a.seq, b.seq) })
	case source.BySeqDesc:
		slices.SortFunc(found, func(a, b indexed) int { return cmp.Compare(b.seq, a.seq) })
	}
	return found, nil
}

// indexBounds encodes a range of values. A range that is open above ends before
// NULL, which no comparison selects.
func indexBounds(span source.Range) (low, high []byte) {
	low, high = keyRange(source.Request{Low: span.Low, High: span.High})
	if len(span.High.Values) < len(span.Low.Values) {
		high = schema.AppendKeyValues(nil, span.Low.Values[:len(span.Low.Values)-1])
		high = datum.AppendKey(high, datum.Value{})
	}
	return low, high
}

// Next returns the next batch.
func (s *indexScan) Next(ctx context.Context) (*source.Batch, error) {
	n := min(len(s.found), s.size)
	if n == 0 {
		return nil, ctx.Err()
	}
	rows := s.slab.take(n)
	places, into := []schema.Location(nil), [][]datum.Value(nil)
	for i, entry := range s.found[:n] {
		if i%lookEvery == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		place, isCold, err := s.read(entry, rows[i])
		if err != nil {
			return nil, err
		}
		if isCold {
			places, into = append(places, place), append(into, rows[i])
		}
	}
	if len(places) > 0 {
		if err := s.files.fetch(ctx, s.r.Columns, places, into); err != nil {
			return nil, err
		}
	}
	s.found, s.size = s.found[n:], source.BatchRows
	return &source.Batch{Rows: rows}, nil
}

// read fills a row that is hot, or says where it is.
func (s *indexScan) read(entry indexed, row []datum.Value) (place schema.Location, isCold bool, err error) {
	reader := s.source.view.reader()
	v, ok, err := table.Get(reader, s.source.def, s.source.scope, entry.key)
	if err != nil {
		return place, false, err
	}
	if ok && !v.Moved {
		if v.Deleted || v.Seq != entry.seq {
			return place, false, s.astray(entry)
		}
		return place, false, s.source.decode(&v, row)
	}
	place, ok, err = table.Location(reader, s.source.def, s.source.scope, entry.key)
	if err == nil && (!ok || place.Seq != entry.seq) {
		err = s.astray(entry)
	}
	return place, true, err
}

// astray is the error of an entry that no row stands for.
func (s *indexScan) astray(entry indexed) error {
	return fmt.Errorf("read table %s by index %s: the entry of version %d leads to no row", s.source.def.QualifiedName(), s.name, entry.seq)
}

// Close releases what the scan holds. It may be called more than once.
func (s *indexScan) Close() {
	if s.files == nil {
		return
	}
	s.files.close()
	s.files, s.found = nil, nil
}
