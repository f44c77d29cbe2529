package live

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"

	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/plan"
)

// ResultOptions are what a subscription to the result of a SELECT has become
// after it was authorised and bound: a join, a grouping, DISTINCT, a window of
// ORDER BY and LIMIT, which are no set of rows of one table.
type ResultOptions struct {
	// Reads are the partitions that the statement reads, each as often as it
	// stands in it.
	Reads []Read
	// Columns describe the rows of the result.
	Columns []Column
	// Key are the positions of the columns that name a row; nil means that equal
	// rows may come more than once. Single says that there is one row at most.
	Key    []int
	Single bool
	// Loose says that a change of columns that no Read needs cannot change the
	// result: neither order nor rounding depends on the place of a row.
	Loose bool
	// Definitions is the version of the definitions that it was bound under.
	Definitions uint64
	// Share tells statements apart: equal texts give equal results in one view.
	Share string
	// Params are the parameters of the statement.
	Params []plan.ParamInfo
	// Caller is who subscribes.
	Caller relation.Caller
	// Run gives the rows of the result in a view, in their order; they are valid
	// until each returns. It must be safe for concurrent use.
	Run func(ctx context.Context, v *relation.View, each func(row []datum.Value) error) error
	// Fold reads what the result is made of in a view, so that changes of the one
	// Read lead from there to the result at later commits; it takes so many bytes
	// at most. nil means that the statement has to be run.
	Fold func(ctx context.Context, v *relation.View, most int64) (Fold, error)
	// Rebind authorises and binds the statement again after a definition has
	// changed; its fault ends the subscription. It must not call the hub.
	Rebind func(*relation.View) (*ResultOptions, error)
}

// Fold is what a result is made of at one moment. It is used by one goroutine at
// a time, and no more after Change has given an error.
type Fold interface {
	// Change takes a row of the table out and puts another in; nil is none.
	Change(was, row []datum.Value) error
	// Each gives the rows of the result as Run does.
	Each(ctx context.Context, each func(row []datum.Value) error) error
	// Bytes is about what it takes.
	Bytes() int64
}

// Read is one partition of one table that a result is made of.
type Read struct {
	Table *schema.Table
	Scope schema.Scope
	// Filter is a condition over the columns of the table that every row meets
	// which the result may depend on; nil lets all pass.
	Filter plan.Expr
	// Needed are the positions that the statement reads; nil means all.
	Needed []int
}

// watch is a Read as it is routed.
type watch struct {
	feed   feedKey
	table  *schema.Table
	match  *matcher
	needed []int  // nil for all
	key    string // equal keys of a feed are touched by the same changes
}

// NewResult compiles a bound subscription to a result. It refuses what cannot be
// live.
func NewResult(r Request, o *ResultOptions) (*Query, error) {
	if err := checkResult(&r, o); err != nil {
		return nil, err
	}
	q := &Query{request: r, table: o.Reads[0].Table, result: o}
	env := environment(o.Caller)
	env.Params = r.Params
	given, err := env.Prepare(o.Params)
	if err != nil {
		return nil, err
	}
	for i := range o.Reads {
		w, err := newWatch(&o.Reads[i], o, given)
		if err != nil {
			return nil, err
		}
		q.watches = append(q.watches, w)
	}
	return q, nil
}

// checkResult refuses what has no meaning as rows that come and go.
func checkResult(r *Request, o *ResultOptions) error {
	if len(o.Reads) == 0 {
		return fault.New(fault.InvalidDefinition, "a SELECT without a table is not supported in a live query")
	}
	for i := range o.Reads {
		switch t := o.Reads[i].Table; {
		case t.Kind == schema.System:
			return fault.New(fault.NotImplemented, "live queries on system tables")
		case t.Kind == schema.Stream:
			return fault.New(fault.InvalidDefinition, "the rows of STREAM table %s leave without a change, so joins, aggregates, DISTINCT and LIMIT over it cannot be live", t.QualifiedName())
		}
	}
	for i, c := range o.Columns {
		if slices.ContainsFunc(o.Columns[:i], func(b Column) bool { return b.Name == c.Name }) {
			return fault.New(fault.InvalidDefinition, "column %s appears twice in the select list of a live query; give one of them another name", c.Name)
		}
	}
	switch s := r.Options; {
	case s == nil:
	case s.HasFrom:
		return fault.New(fault.CursorExpired, "the result of a join, an aggregate, DISTINCT or LIMIT is not resumed by position; subscribe again without from")
	case s.HasLastRows:
		return fault.New(fault.InvalidDefinition, "last_rows has no meaning for the result of a join, an aggregate, DISTINCT or LIMIT")
	}
	return nil
}

// newWatch compiles the condition of a read. One that only a path beyond this
// room can evaluate lets all pass.
func newWatch(r *Read, o *ResultOptions, given *plan.Env) (*watch, error) {
	w := &watch{feed: feedKey{r.Table.ID, r.Scope}, table: r.Table}
	var err error
	if w.match, err = newMatcher(&plan.Query{Table: r.Table, Filter: r.Filter}, o.Caller, given); err != nil {
		w.match = &matcher{caller: o.Caller}
	}
	if o.Loose && r.Needed != nil {
		w.needed = slices.Clone(r.Needed)
	}
	var key strings.Builder
	key.WriteString(w.match.key)
	if w.needed != nil {
		key.WriteByte(0)
		for _, at := range w.needed {
			key.WriteString(strconv.Itoa(at) + ",")
		}
	}
	w.key = key.String()
	return w, nil
}

// resultRow is one row of a result.
type resultRow struct {
	key    string
	values []datum.Value
}

// rowCost is what a row of a result is reckoned at beside its values and key.
const rowCost = 96

// resultState is a result at one position. It is immutable but for its count of
// holders.
type resultState struct {
	position uint64
	rows     []resultRow    // in the order of the statement
	at       map[string]int // by key
	bytes    int64
	holders  int // guarded by results.mu
}

// resultLimits bound a state.
type resultLimits struct {
	rows  int
	bytes int64
}

// collecting is a state that is being read.
type collecting struct {
	state *resultState
	o     *ResultOptions
	most  resultLimits
	times map[string]int // how often a row has come that has no key
	hash  []byte
}

// row takes a row of the result.
func (c *collecting) row(values []datum.Value) error {
	s := c.state
	if len(s.rows) == c.most.rows {
		return fault.New(fault.LimitExceeded, "the result has more than %d rows, the most that a live query keeps of a join, an aggregate, DISTINCT or LIMIT (live.result_rows)", c.most.rows)
	}
	row := resultRow{c.key(values), make([]datum.Value, len(values))}
	for i, v := range values {
		row.values[i] = v.Clone()
	}
	s.bytes += datum.RowSize(row.values) + int64(len(row.key)) + rowCost
	if s.bytes > c.most.bytes {
		return fault.New(fault.LimitExceeded, "the result takes more than %d bytes, the most that a live query keeps of a join, an aggregate, DISTINCT or LIMIT (live.result_bytes)", c.most.bytes)
	}
	if _, twice := s.at[row.key]; twice {
		return fault.New(fault.Internal, "two rows of a live result have one key")
	}
	s.at[row.key] = len(s.rows)
	s.rows = append(s.rows, row)
	return nil
}

// key names a row within the result.
func (c *collecting) key(values []datum.Value) string {
	c.hash = c.hash[:0]
	switch {
	case c.o.Single:
	case c.o.Key != nil:
		for _, at := range c.o.Key {
			c.hash = datum.AppendHash(c.hash, values[at])
		}
	default:
		for _, v := range values {
			c.hash = datum.AppendHash(c.hash, v)
		}
		if c.times == nil {
			c.times = make(map[string]int)
		}
		n := c.times[string(c.hash)]
		c.times[string(c.hash)] = n + 1
		c.hash = strconv.AppendInt(append(c.hash, '#'), int64(n), 10)
	}
	return string(c.hash)
}

// alike reports whether two states have the same rows in the same order.
func (s *resultState) alike(o *resultState) bool {
	return slices.EqualFunc(s.rows, o.rows, func(a, b resultRow) bool {
		return a.key == b.key && identicalRows(a.values, b.values)
	})
}

// identical reports whether two values look alike to a client, which is less
// than being equal: -0 is not 0.
func identical(a, b datum.Value) bool {
	if a.IsNull() || b.IsNull() {
		return a.IsNull() == b.IsNull()
	}
	if a.Kind() != b.Kind() || a.Scale() != b.Scale() {
		return false
	}
	if a.Kind() == datum.Double || a.Kind() == datum.Float {
		return math.Float64bits(a.Float()) == math.Float64bits(b.Float())
	}
	return datum.Equal(a, b)
}

func identicalRows(a, b []datum.Value) bool { return slices.EqualFunc(a, b, identical) }

// resultChange is one row that differs between two states; old or row is nil.
type resultChange struct{ old, row []datum.Value }

// difference is what leads from one state to another.
type difference struct {
	from, to *resultState
	shape    *resultShape
	changes  []resultChange
	bodies   map[Encoder][][]byte
}

// between compares two states: first what has left, then what has changed, then
// what has come, so that a window is never larger than it may be.
func between(from, to *resultState, shape *resultShape) *difference {
	d := &difference{from: from, to: to, shape: shape}
	if from == to {
		return d
	}
	for i := range from.rows {
		if _, ok := to.at[from.rows[i].key]; !ok {
			d.changes = append(d.changes, resultChange{old: from.rows[i].values})
		}
	}
	come := len(d.changes)
	for i := range to.rows {
		was, ok := from.at[to.rows[i].key]
		switch {
		case !ok:
			d.changes = append(d.changes, resultChange{row: to.rows[i].values})
		case !identicalRows(from.rows[was].values, to.rows[i].values):
			d.changes = slices.Insert(d.changes, come, resultChange{from.rows[was].values, to.rows[i].values})
			come++
		}
	}
	return d
}

// frames returns the shared bodies of the change frames, made once per encoder.
func (d *difference) frames(enc Encoder) ([][]byte, error) {
	if bodies, ok := d.bodies[enc]; ok {
		return bodies, nil
	}
	var p pair
	bodies := make([][]byte, len(d.changes))
	for i := range d.changes {
		body, err := enc.AppendBody(nil, d.shape.change(&p, &d.changes[i], d.to.position))
		if err != nil {
			return nil, err
		}
		bodies[i] = body
	}
	if d.bodies == nil {
		d.bodies = make(map[Encoder][][]byte)
	}
	d.bodies[enc] = bodies
	return bodies, nil
}
