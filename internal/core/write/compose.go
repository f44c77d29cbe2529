package write

import (
	"slices"
	"strconv"

	"kalamdb/internal/command"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/exec"
	"kalamdb/internal/sql/plan"
)

// composer gathers the row changes of one statement.
type composer struct {
	writer *Writer
	table  *schema.Table
	to     Target
	env    *exec.Env
	outer  *exec.Env // env without the parameters of the statement's plan, for queries
	rows   []command.RowWrite
	over   int // rows beyond the bound, which are counted only
	bytes  int64
	// seen holds the keys of the statement's own inserts, from the second row on.
	seen map[string]struct{}
	// defaults are the decoded literal defaults by column position.
	defaults []datum.Value
	scratch  []datum.Value
	rules    *Rules // of the table, once asked for

	// conflict is ON CONFLICT; with it rows wait in candidates.
	conflict   *conflict
	candidates []candidate

	// returning is RETURNING; returned are its rows, late those of them that
	// wait for the commit, given their size.
	returning *returning
	returned  [][]datum.Value
	late      []lateRow
	waiting   []waitingRow // for what subqueries of RETURNING give
	given     int64
}

func newComposer(w *Writer, t *schema.Table, to Target, env *exec.Env) *composer {
	return &composer{writer: w, table: t, to: to, env: env, scratch: make([]datum.Value, len(t.Columns))}
}

// insert evaluates one row of VALUES whose cells belong to columns.
func (c *composer) insert(n int, columns []int, cells []exec.Eval) error {
	c.env.BeginRow()
	row := c.scratch
	clear(row)
	absent := make([]bool, len(row))
	for i := range absent {
		absent[i] = true
	}
	for j, eval := range cells {
		if eval == nil {
			continue
		}
		v, err := eval(nil, c.env)
		if err != nil {
			return err
		}
		row[columns[j]], absent[columns[j]] = v, false
	}
	return c.insertValues(n, row, absent)
}

// insertValues completes one row with defaults, checks and encodes it.
func (c *composer) insertValues(n int, row []datum.Value, absent []bool) error {
	generatedKey := false
	for i := range c.table.Columns {
		column := &c.table.Columns[i]
		if column.System != schema.NotSystem {
			continue
		}
		if absent[i] {
			v, generated, err := c.defaultOf(i)
			if err != nil {
				return err
			}
			row[i] = v
			generatedKey = generatedKey || generated && len(c.table.Key) == 1 && c.table.Key[0] == column.ID
		}
		if err := c.misplaced(row[i], column); err != nil {
			return err
		}
		v, err := assign(row[i], column)
		if err != nil {
			return err
		}
		if v.IsNull() && column.NotNull {
			return fault.New(fault.NotNull, "column '%s' cannot be NULL (row %d)", column.Name, n+1)
		}
		row[i] = v
	}
	if err := c.checkRow(row); err != nil {
		return err
	}
	if c.over > 0 {
		return c.exceed() // its key need not be remembered
	}
	next := candidate{fresh: generatedKey, row: row}
	if c.table.Kind != schema.Stream {
		next.key = c.table.KeyOf(nil, row)
		if c.conflict != nil {
			return c.wait(next)
		}
		if err := c.unique(next.key, row); err != nil {
			return err
		}
	}
	return c.insertCandidate(&next)
}

// wait keeps a row until all keys of the statement are known.
func (c *composer) wait(n candidate) error {
	if len(c.candidates) >= c.writer.o.MaxRows {
		return c.exceed()
	}
	n.row = slices.Clone(n.row)
	if c.bytes += datum.RowSize(n.row); c.bytes > c.writer.o.MaxBytes {
		return c.writer.tooManyBytes()
	}
	c.candidates = append(c.candidates, n)
	return nil
}

// countedTimes is how many times the bound a statement is counted to, so that
// its refusal can say how many rows it would change.
const countedTimes = 10

// exceed counts a row beyond the bound. Nothing of the statement is written any
// more.
func (c *composer) exceed() error {
	if c.over++; c.over >= (countedTimes-1)*c.writer.o.MaxRows {
		return c.exceeded()
	}
	return nil
}

// exceeded refuses a statement that has too many rows.
func (c *composer) exceeded() error {
	switch n := c.writer.o.MaxRows; {
	case c.over == 0:
		return nil
	case c.over >= (countedTimes-1)*n:
		return c.writer.tooManyRows(strconv.Itoa(n+c.over) + " or more")
	default:
		return c.writer.tooManyRows(strconv.Itoa(n + c.over))
	}
}

// unique refuses a key that the statement itself has inserted before.
func (c *composer) unique(key []byte, row []datum.Value) error {
	if len(c.rows) == 0 {
		return nil
	}
	if c.seen == nil {
		c.seen = make(map[string]struct{}, 16)
		for i := range c.rows {
			c.seen[string(c.rows[i].Key)] = struct{}{}
		}
	}
	if _, twice := c.seen[string(key)]; twice {
		return c.duplicateKey(row)
	}
	c.seen[string(key)] = struct{}{}
	return nil
}

// duplicateKey is the fault for a row whose key exists already.
func (c *composer) duplicateKey(row []datum.Value) error {
	return c.table.DuplicateKey(pick(row, c.table.KeyPositions()))
}

// pick returns the values of a row at some positions.
func pick(row []datum.Value, positions []int) []datum.Value {
	values := make([]datum.Value, len(positions))
	for i, p := range positions {
		values[i] = row[p]
	}
	return values
}

// update computes the new version of a row that matched; an unchanged row is
// neither written nor counted.
func (c *composer) update(old []datum.Value, set []plan.Assignment, evals []exec.Eval) error {
	c.env.BeginRow()
	row := c.scratch
	copy(row, old)
	changed := false
	for i, a := range set {
		column := &c.table.Columns[a.Column]
		v, err := c.assigned(a, evals[i], old)
		if err != nil {
			return err
		}
		if err := c.misplaced(v, column); err != nil {
			return err
		}
		if v, err = assign(v, column); err != nil {
			return err
		}
		if v.IsNull() && column.NotNull {
			return fault.New(fault.NotNull, "column '%s' cannot be NULL", column.Name)
		}
		changed = changed || !same(v, old[a.Column])
		row[a.Column] = v
	}
	if !changed {
		return nil
	}
	if err := c.checkRow(row); err != nil {
		return err
	}
	if err := c.supersede(command.Update, old, row); err != nil {
		return err
	}
	return c.give(command.Update, row, old[len(c.table.Columns):])
}

// assigned evaluates one item of SET; X is nil for DEFAULT.
func (c *composer) assigned(a plan.Assignment, eval exec.Eval, old []datum.Value) (datum.Value, error) {
	if a.X == nil {
		v, _, err := c.defaultOf(a.Column)
		return v, err
	}
	return eval(old, c.env)
}

// delete adds the tombstone of a row that matched; it keeps the row's values.
func (c *composer) delete(old []datum.Value) error {
	if err := c.supersede(command.Delete, old, old); err != nil {
		return err
	}
	return c.give(command.Delete, old, old[len(c.table.Columns):])
}

// supersede adds the version that follows old.
func (c *composer) supersede(op command.Op, old, row []datum.Value) error {
	change := command.RowWrite{Op: op, Scope: c.to.Scope, Row: c.table.AppendRow(nil, row), Old: c.table.AppendRow(nil, old)}
	var err error
	if change.Index, err = entries(c.table, op, old, row); err != nil {
		return err
	}
	if c.table.Kind != schema.Stream {
		change.Key = c.table.KeyOf(nil, old)
	}
	if seq := c.table.SystemPosition(schema.SeqColumn); seq >= 0 {
		change.ReadSeq = uint64(old[seq].Int())
	}
	return c.add(change)
}

func (c *composer) add(r command.RowWrite) error {
	if len(c.rows) >= c.writer.o.MaxRows {
		return c.exceed()
	}
	c.bytes += int64(len(r.Key)+len(r.Row)+len(r.Old)+len(r.Scope)) + entryBytes(r.Index)
	if c.bytes > c.writer.o.MaxBytes {
		return c.writer.tooManyBytes()
	}
	c.rows = append(c.rows, r)
	return nil
}

// same reports whether a new value leaves a column as it was. Values that
// compare equal but read differently, such as 1.50 and 1.5 in JSON text, differ.
func same(a, b datum.Value) bool {
	if a.IsNull() || b.IsNull() {
		return a.IsNull() && b.IsNull()
	}
	return datum.Compare(a, b) == 0
}

// misplaced refuses a file of the request in a column that holds none: nothing
// would keep its bytes.
func (c *composer) misplaced(v datum.Value, column *schema.Column) error {
	if v.Kind() != datum.File || column.Type.Kind == datum.File || c.env.Files == nil {
		return nil
	}
	return fault.New(fault.TypeMismatch, "column '%s' is no FILE column and cannot take a file of the request", column.Name)
}

// assign converts a value to its column's type and names the column when that
// fails.
func assign(v datum.Value, column *schema.Column) (datum.Value, error) {
	if v.IsNull() {
		return v, nil
	}
	converted, err := datum.Assign(v, column.Type)
	if err != nil {
		return v, forColumn(err, column)
	}
	return converted, nil
}

func forColumn(err error, column *schema.Column) error {
	f := fault.Of(err)
	if f.Code == fault.Internal {
		return err
	}
	return fault.Wrap(f.Code, err, "column '%s': %s", column.Name, f.Message)
}
