package exec

import (
	"context"

	"kalamdb/internal/datum"
	"kalamdb/internal/sql/plan"
	"kalamdb/internal/sql/source"
)

// stage hands on rows in batches. It is used by one goroutine.
type stage interface {
	// next returns the next rows, never an empty batch, or nil at the end. They
	// are valid until the next call.
	next(ctx context.Context) ([][]datum.Value, error)
	// close releases what the stage holds; it may be called more than once.
	close()
}

// Result delivers the rows of a query. It belongs to one goroutine at a time.
type Result struct {
	outputs   []plan.Output
	stage     stage
	budget    *budget    // of what it delivers
	execution *execution // nil on the analytic path
	scans     []*scanned // of the analytic path
}

// Columns describes the result.
func (r *Result) Columns() []plan.Output { return r.outputs }

// Each calls each with every row that is left. A row is valid until each returns.
func (r *Result) Each(ctx context.Context, each func([]datum.Value) error) error {
	for {
		batch, err := r.Next(ctx)
		if err != nil || batch == nil {
			return err
		}
		for _, row := range batch {
			if err := each(row); err != nil {
				return err
			}
		}
	}
}

// Next returns the next rows, or nil at the end. They are valid until the next
// call.
func (r *Result) Next(ctx context.Context) ([][]datum.Value, error) {
	if r.stage == nil {
		return nil, ctx.Err()
	}
	rows, err := r.stage.next(ctx)
	if err != nil || rows == nil {
		r.Close()
		return nil, err
	}
	for _, row := range rows {
		if err := r.budget.take(datum.RowSize(row)); err != nil {
			r.Close()
			return nil, err
		}
	}
	return rows, nil
}

// Close ends the query early. It may be called more than once.
func (r *Result) Close() {
	if r.stage != nil {
		r.stage.close()
		r.stage = nil
		if r.execution != nil {
			r.execution.release()
		}
	}
}

// oneRow is the row of a query without FROM, and the absence of any row.
type oneRow struct {
	filter pred
	env    *Env
	empty  bool
}

func (s *oneRow) next(ctx context.Context) ([][]datum.Value, error) {
	if s.empty {
		return nil, ctx.Err()
	}
	s.empty = true
	if s.filter != nil {
		t, err := s.filter(nil, s.env)
		if err != nil || t != isTrue {
			return nil, err
		}
	}
	return [][]datum.Value{nil}, ctx.Err()
}

func (s *oneRow) close() { s.empty = true }

// scanStage reads a table and filters. The scan begins with the first row that
// is asked for.
type scanStage struct {
	table   source.Table
	request source.Request
	filter  pred
	env     *Env
	rows    source.Rows
	kept    [][]datum.Value
	done    bool
}

// open begins the scan unless it has begun.
func (s *scanStage) open(ctx context.Context) error {
	if s.rows != nil || s.done {
		return nil
	}
	rows, err := s.table.Scan(ctx, s.request)
	if err == nil {
		s.rows = rows
	}
	return err
}

func (s *scanStage) next(ctx context.Context) ([][]datum.Value, error) {
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	for !s.done {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		batch, err := s.rows.Next(ctx)
		if err != nil {
			return nil, err
		}
		if batch == nil {
			s.close()
			break
		}
		if s.filter == nil {
			if len(batch.Rows) > 0 {
				return batch.Rows, nil
			}
			continue
		}
		s.kept = s.kept[:0]
		for _, row := range batch.Rows {
			s.env.BeginRow()
			t, err := s.filter(row, s.env)
			if err != nil {
				return nil, err
			}
			if t == isTrue {
				s.kept = append(s.kept, row)
			}
		}
		if len(s.kept) > 0 {
			return s.kept, nil
		}
	}
	return nil, nil
}

func (s *scanStage) close() {
	s.done = true
	if s.rows != nil {
		s.rows.Close()
		s.rows = nil
	}
}

// batchBytes is the size at which a batch is handed on before it is full.
const batchBytes = 4 << 20

// projectStage computes the outputs of each row.
type projectStage struct {
	from    stage
	outputs []output
	env     *Env
	same    bool // the outputs are the row itself
	rows    [][]datum.Value
	at      int
	out     [][]datum.Value
	cells   []datum.Value
}

// projected puts the select list behind a stage.
func (x *execution) projected(from stage) stage {
	same := x.query.Table != nil && !x.query.Grouped && len(x.outputs) == len(x.query.Table.Columns)
	for i := range x.outputs {
		same = same && x.outputs[i].column == i
	}
	return &projectStage{from: from, outputs: x.outputs, env: x.env, same: same}
}

func (s *projectStage) next(ctx context.Context) ([][]datum.Value, error) {
	if s.same {
		return s.from.next(ctx)
	}
	if s.at == len(s.rows) {
		rows, err := s.from.next(ctx)
		if err != nil || rows == nil {
			return nil, err
		}
		s.rows, s.at = rows, 0
	}
	width := len(s.outputs)
	if n := (len(s.rows) - s.at) * width; cap(s.cells) < n {
		s.cells = make([]datum.Value, n)
		s.out = make([][]datum.Value, 0, len(s.rows)-s.at)
	}
	s.out = s.out[:0]
	size := 0
	for s.at < len(s.rows) && size < batchBytes {
		row := s.rows[s.at]
		cells := s.cells[len(s.out)*width : (len(s.out)+1)*width : (len(s.out)+1)*width]
		s.env.BeginRow()
		for i := range s.outputs {
			v, err := s.outputs[i].value(row, s.env)
			if err != nil {
				return nil, err
			}
			cells[i] = v
			size += len(v.Bytes())
		}
		s.out = append(s.out, cells)
		s.at++
	}
	return s.out, nil
}

func (s *projectStage) close() { s.from.close() }

// distinctStage keeps the first of equal rows.
type distinctStage struct {
	from   stage
	budget *budget
	seen   map[string]struct{}
	key    []byte
	kept   [][]datum.Value
}

func (s *distinctStage) next(ctx context.Context) ([][]datum.Value, error) {
	for {
		rows, err := s.from.next(ctx)
		if err != nil || rows == nil {
			return nil, err
		}
		s.kept = s.kept[:0]
		for _, row := range rows {
			s.key = appendHashes(s.key[:0], row)
			if _, known := s.seen[string(s.key)]; known {
				continue
			}
			if err := s.budget.take(int64(len(s.key)) + mapEntryBytes); err != nil {
				return nil, err
			}
			s.seen[string(s.key)] = struct{}{}
			s.kept = append(s.kept, row)
		}
		if len(s.kept) > 0 {
			return s.kept, nil
		}
	}
}

func (s *distinctStage) close() { s.from.close() }

// mapEntryBytes is about what an entry of a map takes beside its key.
const mapEntryBytes = 48

func appendHashes(dst []byte, row []datum.Value) []byte {
	for _, v := range row {
		dst = datum.AppendHash(dst, v)
	}
	return dst
}

// limitStage skips and counts rows; left is -1 for no limit.
type limitStage struct {
	from       stage
	skip, left int64
}

func (s *limitStage) next(ctx context.Context) ([][]datum.Value, error) {
	for s.left != 0 {
		rows, err := s.from.next(ctx)
		if err != nil || rows == nil {
			return nil, err
		}
		if n := int64(len(rows)); s.skip >= n {
			s.skip -= n
			continue
		}
		rows = rows[s.skip:]
		s.skip = 0
		if s.left >= 0 {
			rows = rows[:min(s.left, int64(len(rows)))]
			s.left -= int64(len(rows))
		}
		return rows, nil
	}
	s.from.close()
	return nil, nil
}

func (s *limitStage) close() { s.from.close() }
