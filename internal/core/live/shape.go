package live

import (
	"slices"
	"strconv"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/exec"
	"kalamdb/internal/sql/plan"
)

// rowIDName is what names the event of a STREAM table that a delete hides.
const rowIDName = "row_id"

// shape is a projection: which columns of a row travel, under which names.
type shape struct {
	key     string // equal keys project alike
	all     bool   // the select list was *
	stream  bool   // the table is a STREAM
	outputs []output
	// rest are the key columns that are not projected: they name the row in
	// updates and deletes.
	rest    []output
	columns []Column
	needed  []int // positions read by outputs and rest
	seq     int   // position of _seq
}

// output is one projected column.
type output struct {
	name     string
	position int       // in the table, or -1 when it is computed
	text     string    // what it means
	eval     exec.Eval // set when position is -1
	system   bool      // _seq or _deleted
	inKey    bool
}

// newShape compiles the select list of a query; env knows its parameters.
func newShape(p *plan.Query, env *plan.Env) (*shape, error) {
	t := p.Table
	s := &shape{all: p.Star, stream: t.Kind == schema.Stream, seq: t.SystemPosition(schema.SeqColumn)}
	fault.Assert(s.seq >= 0, "table %s has no _seq", t.QualifiedName())
	var key strings.Builder
	for i := range p.Outputs {
		out, err := s.output(t, &p.Outputs[i], env)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(s.outputs, func(o output) bool { return o.name == out.name }) {
			return nil, fault.New(fault.InvalidDefinition, "column %s appears twice in the select list of a live query", out.name)
		}
		s.outputs = append(s.outputs, out)
		s.columns = append(s.columns, describe(t, &p.Outputs[i], out))
		key.WriteString(strconv.Quote(out.name) + "=" + out.text + ",")
	}
	s.key = key.String()
	s.addKeys(t)
	return s, nil
}

// output compiles one item of the select list.
func (s *shape) output(t *schema.Table, o *plan.Output, env *plan.Env) (output, error) {
	out := output{name: o.Name, position: o.Column, text: o.X.String()}
	if o.Column >= 0 {
		out.system = t.Columns[o.Column].System != schema.NotSystem
		out.inKey = !out.system && t.IsKey(o.Column)
		s.needed = append(s.needed, o.Column)
	} else {
		x, err := plan.Settle(o.X, env)
		if err != nil {
			return out, err
		}
		if plan.VolatilityOf(x) == plan.Volatile {
			return out, fault.New(fault.InvalidDefinition, "column %s has another value whenever it is looked at, and cannot stand in a live query", out.name)
		}
		if out.eval, err = exec.Compile(x); err != nil {
			return out, err
		}
		out.text = x.String()
		s.needed = append(s.needed, plan.Columns(o.X)...)
	}
	if !s.all && (out.system || out.name == schema.SeqName || out.name == schema.DeletedName) {
		return out, fault.New(fault.InvalidDefinition, "%s cannot be named in the select list of a live query; every row carries %s anyway", out.name, schema.SeqName)
	}
	return out, nil
}

// addKeys finds the key columns that the select list leaves out. One whose
// name the select list has given to something else cannot travel.
func (s *shape) addKeys(t *schema.Table) {
	for _, at := range t.KeyPositions() {
		projected := slices.ContainsFunc(s.outputs, func(o output) bool { return o.position == at })
		taken := slices.ContainsFunc(s.outputs, func(o output) bool { return o.name == t.Columns[at].Name })
		if !projected && !taken {
			s.rest = append(s.rest, output{name: t.Columns[at].Name, position: at, inKey: true})
			s.needed = append(s.needed, at)
		}
	}
}

// describe returns the schema of an output.
func describe(t *schema.Table, o *plan.Output, out output) Column {
	c := Column{Name: o.Name, Type: o.Type}
	if out.position < 0 {
		return c
	}
	c.PrimaryKey = out.inKey
	c.Unique = out.inKey
	c.NotNull = t.Columns[out.position].NotNull || out.system || out.inKey
	return c
}

// value returns what an output shows of a row.
func (s *shape) value(o *output, row []datum.Value, env *plan.Env) (datum.Value, error) {
	if o.position >= 0 {
		return row[o.position], nil
	}
	return o.eval(row, env)
}

// full adds all projected columns of a row, as in snapshots and inserts.
func (s *shape) full(dst *Row, row []datum.Value, env *plan.Env) error {
	for i := range s.outputs {
		v, err := s.value(&s.outputs[i], row, env)
		if err != nil {
			return err
		}
		dst.add(s.outputs[i].name, v)
	}
	if !s.all {
		dst.add(schema.SeqName, row[s.seq])
	}
	return nil
}

// updated adds what an update says: of the new row the key, _seq and all
// columns that are not NULL; of the old one the key, _seq and the columns that
// have changed. was may be nil.
func (s *shape) updated(dst, old *Row, row, was []datum.Value, env *plan.Env) error {
	s.named(dst, row)
	if was != nil {
		s.named(old, was)
	}
	for i := range s.outputs {
		o := &s.outputs[i]
		if o.system {
			continue
		}
		v, err := s.value(o, row, env)
		if err != nil {
			return err
		}
		if !v.IsNull() {
			dst.add(o.name, v)
		}
		if was == nil {
			continue
		}
		before, err := s.value(o, was, env)
		if err != nil {
			return err
		}
		if o.inKey || !same(before, v) {
			old.add(o.name, before)
		}
	}
	return nil
}

// named adds what names a version: the key columns that are not projected, and
// _seq.
func (s *shape) named(dst *Row, row []datum.Value) {
	dst.add(schema.SeqName, row[s.seq])
	for i := range s.rest {
		dst.add(s.rest[i].name, row[s.rest[i].position])
	}
}

// deleted adds what a delete says: the key, and the last values. rowID names
// the event of a STREAM table that is hidden; unprojected it comes alone.
func (s *shape) deleted(dst *Row, row []datum.Value, rowID string, env *plan.Env) error {
	if s.stream {
		dst.add(rowIDName, datum.NewText(rowID))
		if s.all {
			dst.add(schema.SeqName, row[s.seq])
			return nil
		}
	}
	for i := range s.rest {
		dst.add(s.rest[i].name, row[s.rest[i].position])
	}
	return s.full(dst, row, env)
}

// same reports whether a column has not changed.
func same(a, b datum.Value) bool {
	if a.IsNull() || b.IsNull() {
		return a.IsNull() == b.IsNull()
	}
	return datum.Equal(a, b)
}
