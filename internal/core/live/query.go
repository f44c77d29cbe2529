package live

import (
	"slices"

	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/exec"
	"kalamdb/internal/sql/plan"
)

// DefaultBatch is how many rows a batch has when the client does not say.
const DefaultBatch = 1000

// Request is a subscription as a client asks for it.
type Request struct {
	// ID names the subscription within its connection.
	ID string
	// SQL is the text of the SELECT.
	SQL string
	// Params are $1, $2, … of the text.
	Params []datum.Value
	// Options say what comes before the changes; nil means nothing.
	Options *Snapshot
}

// Snapshot says what a subscription delivers before the changes as they
// happen. From goes before LastRows.
type Snapshot struct {
	// BatchSize is how many rows a batch has at most; 0 means DefaultBatch.
	BatchSize int
	// LastRows asks for the newest rows only.
	LastRows    int
	HasLastRows bool
	// From is the last position that the client has seen.
	From    uint64
	HasFrom bool
	// Replay asks for every change after From instead of the difference.
	Replay bool
	// JSON is the text of the options as the client sent them.
	JSON string
}

// batch returns the number of rows of a batch.
func (s *Snapshot) batch() int {
	if s.BatchSize <= 0 {
		return DefaultBatch
	}
	return s.BatchSize
}

// QueryOptions are what a subscription has become after it was authorised and
// bound.
type QueryOptions struct {
	// Plan is the bound SELECT of one table. Its parameters are those of the
	// request: literals are constants.
	Plan *plan.Query
	// Scope is the partition whose changes are delivered.
	Scope schema.Scope
	// Caller is who subscribes.
	Caller relation.Caller
	// Rebind authorises and binds the statement again after the table has been
	// altered; its fault ends the subscription. It must not call the hub.
	Rebind func(*relation.View) (*plan.Query, error)
}

// Query is a bound subscription, ready for Conn.Subscribe.
type Query struct {
	request Request
	o       QueryOptions
	table   *schema.Table
	match   *matcher
	shape   *shape
	columns []int          // the positions that filter and projection need
	result  *ResultOptions // set for a result; then only request, table and watches are
	watches []*watch
	keys    [][]datum.Value // the only keys a row of the result can have, if not nil
}

// NewQuery compiles a bound subscription. It refuses what cannot be live.
func NewQuery(r Request, o QueryOptions) (*Query, error) {
	if err := checkPlan(o.Plan); err != nil {
		return nil, err
	}
	q := &Query{request: r, o: o, table: o.Plan.Table}
	env := environment(o.Caller)
	env.Params = r.Params
	given, err := env.Prepare(o.Plan.Params)
	if err != nil {
		return nil, err
	}
	if q.match, err = newMatcher(o.Plan, o.Caller, given); err != nil {
		return nil, err
	}
	if q.shape, err = newShape(o.Plan, given); err != nil {
		return nil, err
	}
	q.columns = q.needed()
	if q.keys, err = pointKeys(o.Plan, given); err != nil {
		return nil, err
	}
	q.o.Plan = nil // it has been compiled, and there may be many like it
	return q, nil
}

// pointKeys returns the full keys that a filter asks for, nil when it does not.
func pointKeys(p *plan.Query, env *plan.Env) ([][]datum.Value, error) {
	if p.Access.Keys == nil {
		return nil, nil
	}
	keys := make([][]datum.Value, 0, len(p.Access.Keys))
	for _, parts := range p.Access.Keys {
		key := make([]datum.Value, len(parts))
		for i, x := range parts {
			eval, err := exec.Compile(x)
			if err != nil {
				return nil, err
			}
			e := *env
			if key[i], err = eval(nil, &e); err != nil {
				return nil, err
			}
		}
		if !slices.ContainsFunc(key, datum.Value.IsNull) {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// rebound returns the query against the newest definition of its table.
func (q *Query) rebound(v *relation.View) (*Query, error) {
	if q.o.Rebind == nil {
		return nil, fault.New(fault.InvalidOperation, "the definition of %s has changed; subscribe again", q.table.QualifiedName())
	}
	p, err := q.o.Rebind(v)
	if err != nil {
		return nil, err
	}
	o := q.o
	o.Plan = p
	return NewQuery(q.request, o)
}

// key returns the feed that the query listens to.
func (q *Query) key() feedKey { return feedKey{q.table.ID, q.o.Scope} }

// checkPlan refuses bound statements that have no meaning as a set of keyed
// rows.
func checkPlan(p *plan.Query) error {
	refuse := func(what string) error {
		return fault.New(fault.InvalidDefinition, "%s is not supported in a live query", what)
	}
	switch {
	case p.Table == nil:
		return refuse("a SELECT without a table")
	case p.Table.Kind == schema.System:
		return fault.New(fault.NotImplemented, "live queries on system tables")
	case p.Grouped || p.Having != nil:
		return refuse("aggregation")
	case p.Distinct:
		return refuse("DISTINCT")
	case p.Limit != nil || p.Offset != nil:
		return refuse("LIMIT or OFFSET")
	}
	if p.Access.Deleted {
		// Tombstones are purged without an event, so a result that shows them
		// could not be kept true.
		return fault.New(fault.NotImplemented, "a live query of deleted rows; only _deleted = false can be asked for")
	}
	return nil
}

// needed returns the positions that filter, projection and cursors need.
func (q *Query) needed() []int {
	if q.shape.all {
		return nil
	}
	want := slices.Clone(q.shape.needed)
	want = append(want, plan.Columns(q.o.Plan.Filter)...)
	for _, which := range []schema.SystemColumn{schema.SeqColumn, schema.DeletedColumn} {
		if at := q.table.SystemPosition(which); at >= 0 {
			want = append(want, at)
		}
	}
	want = append(want, q.table.KeyPositions()...)
	slices.Sort(want)
	return slices.Compact(want)
}

// matcher decides whether a row belongs to a result.
type matcher struct {
	key     string    // equal keys decide alike
	eval    exec.Eval // nil takes every row
	options [][]plan.Route
	// caller is whose expressions they are.
	caller relation.Caller
}

// env returns what evaluation may see, to be used by one goroutine.
func (m *matcher) env() plan.Env { return environment(m.caller) }

// newMatcher compiles the filter of a query; env knows its parameters.
func newMatcher(p *plan.Query, c relation.Caller, env *plan.Env) (*matcher, error) {
	m := &matcher{caller: c}
	switch {
	case p.Access.Empty: // WHERE FALSE has left no filter behind
		m.key, m.options = "FALSE", [][]plan.Route{{}}
		m.eval = func([]datum.Value, *plan.Env) (datum.Value, error) { return datum.NewBool(false), nil }
		return m, nil
	case p.Filter == nil:
		return m, nil
	}
	filter, err := plan.Settle(p.Filter, env)
	if err != nil {
		return nil, err
	}
	if fn := plan.Unsteady(filter); fn != nil {
		return nil, fault.New(fault.InvalidDefinition, "%s() cannot stand in the filter of a live query: its value changes while no row does; write a constant or a parameter", fn.Name)
	}
	if m.eval, err = exec.Compile(filter); err != nil {
		return nil, err
	}
	m.key = filter.String()
	m.options = plan.Routes(filter)
	return m, nil
}

// environment is what the expressions of a caller see.
func environment(c relation.Caller) plan.Env {
	return plan.Env{User: c.User, Role: c.Role, Namespace: c.Namespace, Now: c.Now}
}

// matches reports whether the filter is TRUE for a row. env is one that the
// matcher has given. A row that the routes exclude is no fault, whatever else
// the filter says of it: whether they were asked before must not show.
func (m *matcher) matches(row []datum.Value, env *plan.Env) (bool, error) {
	env.BeginRow()
	if m.eval == nil {
		return true, nil
	}
	v, err := m.eval(row, env)
	if err != nil {
		for _, option := range m.options {
			if plan.Excludes(option, row) {
				return false, nil
			}
		}
		return false, err
	}
	return v.Kind() == datum.Bool && v.Bool(), nil
}
