package exec

import (
	"context"
	"math"

	"kalamdb/internal/datum"
	"kalamdb/internal/sql/plan"
	"kalamdb/internal/sql/source"
)

// Limits bound what one execution may hold and return.
type Limits struct {
	// MaxBytes bounds the rows that a sort, a grouping or DISTINCT keeps, and
	// apart from that the bytes of the whole result; 0 means 1 GiB.
	MaxBytes int64
	// Memory is shared by the statements whose sorts, groupings and DISTINCTs
	// it bounds together; nil bounds each by MaxBytes alone.
	Memory *Memory
	// FileRows is from how many cold rows of a table on DuckDB reads their files
	// itself; 0 means 8,192, less than 0 never.
	FileRows int64
	// Helpers are the goroutines that groupings of many rows may take; nil is none.
	Helpers *Helpers
	// Timed measures each step, for EXPLAIN ANALYZE.
	Timed bool
}

// defaultMaxBytes is the default of limits.max_result_bytes.
const defaultMaxBytes = 1 << 30

// Program is a compiled query. It is immutable and may be run by several
// goroutines at a time.
type Program struct {
	query         *plan.Query
	access        *access
	filter        pred
	groups        []Eval
	aggregates    []aggregate
	having        pred
	outputs       []output
	order         []sortKey
	limit, offset Eval
	cells         int
}

// output computes one column of the result.
type output struct {
	eval Eval
	// column is the position in the row when the output is a plain column.
	column int
	// scale is what decimals are brought to; fixed says that they must be.
	to    datum.Type
	fixed bool
}

// NewProgram compiles a query.
func NewProgram(q *plan.Query) (*Program, error) {
	c := compiler{hoist: true}
	p := &Program{query: q}
	err := p.compileRows(&c)
	if err != nil {
		return nil, err
	}
	if p.groups, err = c.values(q.Groups); err != nil {
		return nil, err
	}
	for _, a := range q.Aggregates {
		compiled, err := c.aggregate(a)
		if err != nil {
			return nil, err
		}
		p.aggregates = append(p.aggregates, compiled)
	}
	c.groups = len(q.Groups)
	if q.Having != nil {
		if p.having, err = c.rowCondition(q.Having); err != nil {
			return nil, err
		}
	}
	if err := p.compileResult(&c); err != nil {
		return nil, err
	}
	p.cells = c.cells
	return p, nil
}

// compileRows compiles which rows the query reads.
func (p *Program) compileRows(c *compiler) (err error) {
	if p.access, err = c.access(p.query); err != nil {
		return err
	}
	if p.query.Filter != nil {
		p.filter, err = c.rowCondition(p.query.Filter)
	}
	return err
}

// Query returns the bound statement that the program runs.
func (p *Program) Query() *plan.Query { return p.query }

func (p *Program) compileResult(c *compiler) error {
	q := p.query
	p.outputs = make([]output, len(q.Outputs))
	for i, o := range q.Outputs {
		eval, err := c.value(o.X)
		if err != nil {
			return err
		}
		p.outputs[i] = output{eval: eval, column: -1, to: o.Type, fixed: o.Type.Kind == datum.Decimal}
		if col, ok := o.X.(*plan.Col); ok && !q.Grouped {
			p.outputs[i].column, p.outputs[i].fixed = col.Position, false
		}
	}
	for _, o := range q.Order {
		key, err := c.sortKey(o)
		if err != nil {
			return err
		}
		p.order = append(p.order, key)
	}
	var err error
	if q.Limit != nil {
		if p.limit, err = c.value(q.Limit); err != nil {
			return err
		}
	}
	if q.Offset != nil {
		p.offset, err = c.value(q.Offset)
	}
	return err
}

// value computes an output, with the number of fraction digits that the column
// of the result promises.
func (o *output) value(row []datum.Value, env *Env) (datum.Value, error) {
	if o.column >= 0 {
		return row[o.column], nil
	}
	v, err := o.eval(row, env)
	if err != nil || !o.fixed || v.Kind() != datum.Decimal || v.Scale() == o.to.Scale {
		return v, err
	}
	return datum.Cast(v, o.to)
}

// Run compiles and starts a query; t is nil for one without FROM.
func Run(ctx context.Context, q *plan.Query, t source.Table, env *Env, o Limits) (*Result, error) {
	p, err := NewProgram(q)
	if err != nil {
		return nil, err
	}
	return p.Run(ctx, t, env, o)
}

// Run starts the query; t is nil for one without FROM. The caller closes the
// result.
func (p *Program) Run(ctx context.Context, t source.Table, env *Env, o Limits) (*Result, error) {
	x, err := p.execution(env, o)
	if err != nil {
		return nil, err
	}
	limit, err := x.count(p.limit, "LIMIT")
	if err != nil {
		return nil, err
	}
	offset, err := x.count(p.offset, "OFFSET")
	if err != nil {
		return nil, err
	}
	if offset < 0 {
		offset = 0
	}
	r := &Result{outputs: p.query.Outputs, budget: &budget{max: x.max}, execution: x}
	if limit == 0 {
		return r, nil
	}
	if r.stage, err = x.chain(ctx, t, limit, offset); err != nil {
		x.release()
	}
	return r, err
}

// execution is one run of a program.
type execution struct {
	*Program
	env     *Env
	max     int64
	memory  *Memory
	helpers *Helpers
	budgets []*budget // of what stages keep
	timing  bool
	timings []*Timing
}

func (p *Program) execution(env *Env, o Limits) (*execution, error) {
	env, err := env.Prepare(p.query.Params)
	if err != nil {
		return nil, err
	}
	env.Reserve(p.cells)
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultMaxBytes
	}
	return &execution{Program: p, env: env, max: o.MaxBytes, memory: o.Memory, helpers: o.Helpers, timing: o.Timed}, nil
}

// count evaluates LIMIT or OFFSET: -1 for none.
func (x *execution) count(eval Eval, clause string) (int64, error) {
	if eval == nil {
		return -1, nil
	}
	v, err := eval(nil, x.env)
	if err != nil || v.IsNull() {
		return -1, err
	}
	return v.Int(), plan.CheckCount(v.Int(), clause)
}

// chain builds the stages of the query; limit is -1 for none.
func (x *execution) chain(ctx context.Context, t source.Table, limit, offset int64) (stage, error) {
	q := x.query
	most := int64(-1) // rows that are wanted before OFFSET
	if limit >= 0 && limit <= math.MaxInt64-offset {
		most = limit + offset
	}
	s, err := x.rows(ctx, t, most)
	if err != nil {
		return nil, err
	}
	s = x.timed(orStep(q.Table == nil, "one row", "scan and filter"), s)
	if q.Grouped {
		if s, err = x.grouped(ctx, s, t); err != nil {
			return nil, err
		}
		s = x.timed("group", s)
	}
	return x.finish(s, limit, offset, most)
}

// finish builds the stages behind the scan and the groups.
func (x *execution) finish(s stage, limit, offset, most int64) (stage, error) {
	q := x.query
	switch {
	case len(x.order) > 0 && q.Distinct:
		s = x.timed("output and sort", x.sorted(s, -1))
	case len(x.order) > 0:
		s = x.timed("output and sort", x.sorted(s, most))
	default:
		s = x.timed("output", x.projected(s))
	}
	if q.Distinct {
		s = x.timed("distinct", &distinctStage{from: s, budget: x.newBudget(), seen: map[string]struct{}{}})
	}
	if limit >= 0 || offset > 0 {
		s = x.timed("limit", &limitStage{from: s, skip: offset, left: limit})
	}
	return s, nil
}

// rows starts the scan, with what the table may leave out.
func (x *execution) rows(ctx context.Context, t source.Table, most int64) (stage, error) {
	q := x.query
	if q.Table == nil {
		return &oneRow{filter: x.filter, env: x.env, empty: q.Access.Empty}, nil
	}
	r, empty, exact, err := x.access.request(x.env)
	if err != nil {
		return nil, err
	}
	if empty {
		return &oneRow{empty: true}, nil
	}
	r.Columns = q.Needed
	if exact && !q.Grouped && len(q.Order) == 0 && !q.Distinct && most >= 0 && most <= math.MaxInt {
		r.Limit = int(most)
	}
	return &scanStage{table: t, request: r, filter: x.filter, env: x.env}, nil
}

// Matcher finds the rows of an UPDATE or DELETE. It is immutable and may be used
// by several goroutines at a time.
type Matcher struct {
	program Program
	keys    *access // nil when the query does not name its keys
}

// NewMatcher compiles access and filter of a query.
func NewMatcher(q *plan.Query) (*Matcher, error) {
	c := compiler{hoist: true}
	m := &Matcher{program: Program{query: q}}
	err := m.program.compileRows(&c)
	if err != nil {
		return nil, err
	}
	m.program.cells = c.cells
	if q.Keyed() && !q.Access.Empty {
		outright := compiler{}
		m.keys, err = outright.access(q)
	}
	return m, err
}

// Query returns the query that the matcher was made of.
func (m *Matcher) Query() *plan.Query { return m.program.query }

// Keys returns the full keys that the query names by equality, or nil.
func (m *Matcher) Keys(env *Env) ([][]datum.Value, error) {
	if m.keys == nil {
		return nil, nil
	}
	return m.keys.fullKeys(env)
}

// Each calls each with every full row that the query's filter selects. A row is
// valid until each returns.
func (m *Matcher) Each(ctx context.Context, t source.Table, env *Env, each func(row []datum.Value) error) error {
	p := &m.program
	x, err := p.execution(env, Limits{})
	if err != nil {
		return err
	}
	r, empty, _, err := p.access.request(x.env)
	if err != nil || empty {
		return err
	}
	filter := p.filter
	if few, ok := m.selective(r); ok {
		keys, ok, err := m.matched(ctx, &scanStage{table: t, request: few, filter: filter, env: x.env})
		if err != nil || ok && len(keys) == 0 {
			return err
		}
		if ok { // the rows are those of the same view: they are selected already
			r, filter = source.Request{Keys: keys, Deleted: r.Deleted}, nil
		}
	}
	s := &scanStage{table: t, request: r, filter: filter, env: x.env}
	defer s.close()
	for {
		rows, err := s.next(ctx)
		if err != nil || rows == nil {
			return err
		}
		for _, row := range rows {
			if err := each(row); err != nil {
				return err
			}
		}
	}
}

// newBudget returns the budget of a stage that keeps rows.
func (x *execution) newBudget() *budget {
	b := &budget{max: x.max, memory: x.memory}
	x.budgets = append(x.budgets, b)
	return b
}

// release gives back what the stages have taken of the shared memory.
func (x *execution) release() {
	for _, b := range x.budgets {
		b.release()
	}
}
