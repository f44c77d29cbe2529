package write

import (
	"sync"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/exec"
	"kalamdb/internal/sql/plan"
)

// Rules are what a definition asks of rows beyond the types of their columns,
// compiled: CHECK constraints, and defaults that are expressions.
type Rules struct {
	table    *schema.Table
	checks   []exec.Eval // as table.Checks
	defaults []exec.Eval // by position; nil for a default of another sort
}

// NewRules compiles the rules of a definition.
func NewRules(t *schema.Table) (*Rules, error) {
	r := &Rules{table: t}
	conditions, err := plan.BindChecks(t)
	if err != nil {
		return nil, err
	}
	for _, x := range conditions {
		eval, err := exec.Compile(x)
		if err != nil {
			return nil, err
		}
		r.checks = append(r.checks, eval)
	}
	for i := range t.Columns {
		d := t.Columns[i].Default
		if d == nil || d.Function != schema.DefaultExpression {
			continue
		}
		if r.defaults == nil {
			r.defaults = make([]exec.Eval, len(t.Columns))
		}
		x, err := plan.BindDefault(d)
		if err != nil {
			return nil, err
		}
		if r.defaults[i], err = exec.Compile(x); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Check returns the fault of the first CHECK constraint that a row makes false.
func (r *Rules) Check(row []datum.Value, env *exec.Env) error {
	for i := range r.checks {
		holds, err := r.holds(i, row, env)
		if err != nil {
			return err
		}
		if !holds {
			return fault.New(fault.CheckFailed, "the row violates the CHECK constraint '%s' of table %s", r.table.Checks[i].Name, r.table.QualifiedName())
		}
	}
	return nil
}

// Prove returns the fault of the first unproven constraint that a stored row
// breaks. The sentence tells no values: the row may be another user's.
func (r *Rules) Prove(row []datum.Value, env *exec.Env) error {
	for i := range r.table.Columns {
		if c := &r.table.Columns[i]; c.Unproven && row[i].IsNull() {
			return fault.New(fault.NotNull, "column '%s' of table %s has NULL values", c.Name, r.table.QualifiedName())
		}
	}
	for i := range r.table.Checks {
		c := &r.table.Checks[i]
		if !c.Unproven {
			continue
		}
		holds, err := r.holds(i, row, env)
		if err != nil {
			return err
		}
		if !holds {
			return fault.New(fault.CheckFailed, "the CHECK constraint '%s' is violated by a row of table %s", c.Name, r.table.QualifiedName())
		}
	}
	return nil
}

// holds reports whether a condition is true or NULL.
func (r *Rules) holds(i int, row []datum.Value, env *exec.Env) (bool, error) {
	v, err := r.checks[i](row, env)
	if err != nil {
		f := fault.Of(err)
		if f.Code == fault.Internal {
			return false, err
		}
		return false, fault.Wrap(f.Code, err, "CHECK constraint '%s': %s", r.table.Checks[i].Name, f.Message)
	}
	return v.IsNull() || v.Bool(), nil
}

// rulesMost is how many compiled rules a Writer keeps.
const rulesMost = 1024

// ruleCache keeps the rules of tables that have any.
type ruleCache struct {
	mu    sync.Mutex
	rules map[schema.TableID]*Rules
}

// rules returns the rules of a definition, nil when it has none.
func (w *Writer) rules(t *schema.Table) (*Rules, error) {
	if !ruled(t) {
		return nil, nil
	}
	w.ruled.mu.Lock()
	r := w.ruled.rules[t.ID]
	w.ruled.mu.Unlock()
	if r != nil && r.table == t {
		return r, nil
	}
	r, err := NewRules(t)
	if err != nil {
		return nil, err
	}
	w.ruled.mu.Lock()
	defer w.ruled.mu.Unlock()
	if w.ruled.rules == nil || len(w.ruled.rules) >= rulesMost {
		w.ruled.rules = make(map[schema.TableID]*Rules)
	}
	w.ruled.rules[t.ID] = r
	return r, nil
}

func ruled(t *schema.Table) bool {
	if len(t.Checks) > 0 {
		return true
	}
	for i := range t.Columns {
		if d := t.Columns[i].Default; d != nil && d.Function == schema.DefaultExpression {
			return true
		}
	}
	return false
}

// checkRow asks the CHECK constraints of the table.
func (c *composer) checkRow(row []datum.Value) error {
	if len(c.table.Checks) == 0 {
		return nil
	}
	r, err := c.ruled()
	if err != nil {
		return err
	}
	return r.Check(row, c.env)
}

// expression computes a default that is an expression.
func (c *composer) expression(position int) (datum.Value, error) {
	r, err := c.ruled()
	if err != nil {
		return datum.Value{}, err
	}
	return r.defaults[position](nil, c.env)
}

// ruled returns the rules of the composer's table, looked up once.
func (c *composer) ruled() (*Rules, error) {
	if c.rules == nil {
		r, err := c.writer.rules(c.table)
		if err != nil {
			return nil, err
		}
		c.rules = r
	}
	return c.rules, nil
}
