package duck

/*
#include "bridge.h"
*/
import "C"

import (
	"context"
	"fmt"
	"strconv"
	"unsafe"

	bindings "github.com/duckdb/duckdb-go-bindings"

	"kalamdb/internal/datum"
	"kalamdb/internal/sql/source"
)

// scanning is one kscan that DuckDB executes.
type scanning struct {
	rows    source.Rows
	columns []column      // those that DuckDB asked for
	vector  int           // rows of a vector
	batch   *source.Batch // what the rows delivered last
	at      int           // how many of batch were written
	begun   bool          // whether a chunk was delivered
	ended   bool
	stored  *storedScan // nil when no more rows come as they are stored
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
		scan := r.statement.Scans[index]
		s := &scanning{vector: int(bindings.VectorSize())}
		for i := range int(bindings.InitGetColumnCount(b)) {
			at := int(bindings.InitGetColumnIndex(b, bindings.IdxT(i)))
			if at < 0 || at >= len(scan.Types) {
				s.columns = append(s.columns, column{-1, newWriter(datum.Type{Kind: datum.Bool})})
				continue
			}
			s.columns = append(s.columns, column{scan.Positions[at], newWriter(scan.Types[at])})
		}
		rows, err := scan.Open(r.ctx)
		if err != nil {
			return err
		}
		s.rows = rows
		s.stored = s.storedScan(scan.Table)
		bindings.InitSetMaxThreads(b, 1)
		bindings.InitSetInitData(b, r.instance.cell(r.number, r.open(s)), C.kduckScanDrop)
		return nil
	})
}

//export kduckScanFill
func kduckScanFill(info, chunk unsafe.Pointer) {
	f := bindings.FunctionInfo{Ptr: info}
	var number uint64
	find := func() (r *run) {
		r, number = runOf(bindings.FunctionGetInitData(f))
		return r
	}
	answer(func(text string) { bindings.FunctionSetError(f, text) }, find, func(r *run) error {
		s := r.scan(number)
		if s == nil {
			return internal(errOver)
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
	n, err := s.fillStored(ctx)
	if err != nil {
		return 0, err
	}
	for n < s.vector && !s.ended && (s.begun || s.stored == nil) {
		if s.batch == nil || s.at == len(s.batch.Rows) {
			if n > 0 && !s.begun {
				break
			}
			if err := s.pull(ctx); err != nil {
				return 0, err
			}
			continue
		}
		rows := s.batch.Rows[s.at:min(len(s.batch.Rows), s.at+s.vector-n)]
		for i := range s.columns {
			if err := s.columns[i].fill(n, rows); err != nil {
				return 0, err
			}
		}
		n += len(rows)
		s.at += len(rows)
	}
	s.begun = true
	for i := range s.columns {
		if err := s.columns[i].writer.flush(); err != nil {
			return 0, err
		}
	}
	return n, nil
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

// pull gets the next batch; at the end the rows are closed.
func (s *scanning) pull(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	batch, err := s.rows.Next(ctx)
	if err != nil {
		return err
	}
	s.batch, s.at = batch, 0
	if batch == nil {
		s.ended = true
		s.rows.Close()
	}
	return nil
}

func (s *scanning) close() { s.rows.Close() }
