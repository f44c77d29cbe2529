package duck

/*
#include "bridge.h"
*/
import "C"

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"unsafe"

	bindings "github.com/duckdb/duckdb-go-bindings"

	"kalamdb/internal/datum"
	"kalamdb/internal/sql/source"
)

// scan is one kscan that DuckDB executes, on one thread or several.
type scan struct {
	of     *Scan
	pieces source.Pieces // nil for a scan in one piece
	mu     sync.Mutex
	rows   source.Rows // that piece, until a thread takes it; guarded by mu
}

// take returns rows for one thread, nil when there are no more.
func (s *scan) take(ctx context.Context) (source.Rows, error) {
	if s.pieces != nil {
		return s.pieces.Next(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	rows := s.rows
	s.rows = nil
	return rows, nil
}

func (s *scan) close() {
	if s.pieces != nil {
		s.pieces.Close()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rows != nil {
		s.rows.Close()
		s.rows = nil
	}
}

// scanning is what one thread does of a scan.
type scanning struct {
	scan    *scan         // nil before the first rows
	rows    source.Rows   // nil between two pieces
	columns []column      // those that DuckDB asked for
	vector  int           // rows of a vector
	batch   *source.Batch // what the rows delivered last
	at      int           // how many of batch were written
	begun   bool          // whether a chunk was delivered
	ended   bool
	reader  *storedScan // nil when rows do not come as they are stored
	stored  bool        // whether more of these rows come so
}

// column is a wanted column: where it stands in a row, and its writer.
type column struct {
	position int // -1 for a column of NULLs
	writer   writer
}

//export kduckScanBind
func kduckScanBind(info unsafe.Pointer) {
	b := bindings.BindInfo{Ptr: info}
	extra := bindings.BindGetExtraInfo(b)
	find := func() *run {
		var context bindings.ClientContext
		bindings.TableFunctionGetClientContext(b, &context)
		return runOfContext(extra, context)
	}
	answer(func(text string) { bindings.BindSetError(b, text) }, find, func(r *run) error {
		value := bindings.BindGetParameter(b, 0)
		number := bindings.GetInt64(value)
		bindings.DestroyValue(&value)
		if number < 0 || number >= int64(len(r.statement.Scans)) {
			return internal(fmt.Errorf("kscan(%d) of %d scans", number, len(r.statement.Scans)))
		}
		scan := r.statement.Scans[number]
		types := scan.Types
		if len(types) == 0 { // DuckDB wants a column even to count rows
			types = []datum.Type{{Kind: datum.Bool}}
		}
		for i, t := range types {
			logical := shapeOf(t).logical()
			bindings.BindAddResultColumn(b, "c"+strconv.Itoa(i), logical)
			bindings.DestroyLogicalType(&logical)
		}
		if scan.Rows > 0 {
			bindings.BindSetCardinality(b, bindings.IdxT(scan.Rows), false)
		}
		bindings.BindSetBindData(b, r.instance.cell(r.number, uint64(number)), C.kduck_cell_free)
		return nil
	})
}

//export kduckScanInit
func kduckScanInit(info unsafe.Pointer) {
	b := bindings.InitInfo{Ptr: info}
	var index uint64
	find := func() (r *run) {
		r, index = runOf(bindings.InitGetBindData(b))
		return r
	}
	answer(func(text string) { bindings.InitSetError(b, text) }, find, func(r *run) error {
		s := &scan{of: &r.statement.Scans[index]}
		threads := 1
		var err error
		if r.instance.threads > 1 && s.of.Pieces != nil {
			if s.pieces, err = s.of.Pieces(r.ctx); err != nil {
				return err
			}
		}
		if s.pieces != nil {
			threads = r.instance.threads
			r.help()
		} else if s.rows, err = s.of.Open(r.ctx); err != nil {
			return err
		}
		bindings.InitSetMaxThreads(b, bindings.IdxT(threads))
		bindings.InitSetInitData(b, r.instance.cell(r.number, r.open(s)), C.kduckScanDrop)
		return nil
	})
}

//export kduckScanLocal
func kduckScanLocal(info unsafe.Pointer) {
	b := bindings.InitInfo{Ptr: info}
	var index uint64
	find := func() (r *run) {
		r, index = runOf(bindings.InitGetBindData(b))
		return r
	}
	answer(func(text string) { bindings.InitSetError(b, text) }, find, func(r *run) error {
		of := &r.statement.Scans[index]
		s := &scanning{vector: int(bindings.VectorSize())}
		for i := range int(bindings.InitGetColumnCount(b)) {
			at := int(bindings.InitGetColumnIndex(b, bindings.IdxT(i)))
			if at < 0 || at >= len(of.Types) {
				s.columns = append(s.columns, column{-1, newWriter(datum.Type{Kind: datum.Bool})})
				continue
			}
			s.columns = append(s.columns, column{of.Positions[at], newWriter(of.Types[at])})
		}
		s.reader = s.storedScan(of.Table)
		bindings.InitSetInitData(b, r.instance.cell(r.number, r.open(s)), C.kduckScanDrop)
		return nil
	})
}

//export kduckScanFill
func kduckScanFill(info, chunk unsafe.Pointer) {
	f := bindings.FunctionInfo{Ptr: info}
	var number uint64
	find := func() (r *run) {
		r, number = runOf(bindings.FunctionGetLocalInitData(f))
		return r
	}
	answer(func(text string) { bindings.FunctionSetError(f, text) }, find, func(r *run) error {
		s, ok := r.opened(number).(*scanning)
		if !ok {
			return internal(errOver)
		}
		if s.scan == nil {
			_, whole := runOf(bindings.FunctionGetInitData(f))
			if s.scan, ok = r.opened(whole).(*scan); !ok {
				return internal(errOver)
			}
		}
		out := bindings.DataChunk{Ptr: chunk}
		n, err := s.fill(r.ctx, out)
		if err != nil {
			return err
		}
		bindings.DataChunkSetSize(out, bindings.IdxT(n))
		return nil
	})
}

//export kduckScanDrop
func kduckScanDrop(cell unsafe.Pointer) {
	defer C.kduck_cell_free(cell)
	// A panic of Close must not unwind through C, and there is nobody to tell.
	answer(func(string) {}, func() *run { r, _ := runOf(cell); return r }, func(r *run) error {
		_, number := runOf(cell)
		r.drop(number)
		return nil
	})
}

// fill writes the next rows into a chunk, none at the end. The first chunk is
// one batch, so that who wants few rows waits for few.
func (s *scanning) fill(ctx context.Context, out bindings.DataChunk) (int, error) {
	for i := range s.columns {
		s.columns[i].writer.begin(bindings.DataChunkGetVector(out, bindings.IdxT(i)))
	}
	most := s.vector
	if !s.begun {
		most = source.BatchRows
	}
	n := 0
	for n < most && !s.ended {
		some, err := s.more(ctx, n, most)
		if err != nil {
			return 0, err
		}
		if n += some; n > 0 && !s.begun {
			break
		}
	}
	s.begun = s.begun || n > 0
	for i := range s.columns {
		if err := s.columns[i].writer.flush(); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// more writes rows first and so on, up to most: as they are stored, or of one
// batch. That may be none before the end.
func (s *scanning) more(ctx context.Context, first, most int) (int, error) {
	switch {
	case s.rows == nil:
		return 0, s.take(ctx)
	case s.stored:
		n, err := s.reader.fill(ctx, s.rows.(source.StoredRows), first, most)
		s.stored = n == most-first
		return n, err
	case s.batch == nil || s.at == len(s.batch.Rows):
		return 0, s.pull(ctx)
	}
	rows := s.batch.Rows[s.at:min(len(s.batch.Rows), s.at+most-first)]
	for i := range s.columns {
		if err := s.columns[i].fill(first, rows); err != nil {
			return 0, err
		}
	}
	s.at += len(rows)
	return len(rows), nil
}

// take begins with the next piece, or ends.
func (s *scanning) take(ctx context.Context) error {
	rows, err := s.scan.take(ctx)
	if err != nil {
		return err
	}
	s.rows, s.batch, s.ended = rows, nil, rows == nil
	_, s.stored = rows.(source.StoredRows)
	s.stored = s.stored && s.reader != nil
	return nil
}

func (c *column) fill(first int, rows [][]datum.Value) error {
	if c.position >= 0 {
		return c.writer.fill(first, rows, c.position)
	}
	for i := range rows {
		c.writer.null(first + i)
	}
	return nil
}

// pull gets the next batch; after the last one the rows are closed.
func (s *scanning) pull(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	batch, err := s.rows.Next(ctx)
	if err != nil {
		return err
	}
	if s.batch, s.at = batch, 0; batch == nil {
		s.close()
	}
	return nil
}

func (s *scanning) close() {
	if s.rows != nil {
		s.rows.Close()
		s.rows = nil
	}
}
