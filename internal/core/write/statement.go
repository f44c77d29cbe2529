package write

import (
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/exec"
	"kalamdb/internal/sql/plan"
)

// Insert is an INSERT that is compiled once for all who run it.
type Insert struct {
	plan      *plan.Insert
	rows      [][]exec.Eval // nil entries mean DEFAULT
	source    *reader       // of INSERT … SELECT, else nil
	conflict  *conflict
	returning *returning
}

// NewInsert compiles an INSERT.
func NewInsert(p *plan.Insert) (*Insert, error) {
	s := &Insert{plan: p}
	err := s.compileRows()
	if err != nil {
		return nil, err
	}
	switch {
	case p.Source != nil:
		s.source = &reader{}
		s.source.analytic, err = exec.NewAnalytic(p.Source)
	case p.Query != nil:
		s.source = &reader{}
		s.source.program, err = exec.NewProgram(p.Query)
	}
	if err != nil {
		return nil, err
	}
	if s.conflict, err = newConflict(p.Conflict); err != nil {
		return nil, err
	}
	s.returning, err = newReturning(p.Table, p.Returning, p.Given)
	return s, err
}

// compileRows compiles VALUES.
func (s *Insert) compileRows() error {
	p := s.plan
	s.rows = make([][]exec.Eval, len(p.Rows))
	cells := make([]exec.Eval, len(p.Rows)*len(p.Columns))
	for i, row := range p.Rows {
		s.rows[i], cells = cells[:len(row):len(row)], cells[len(row):]
		for j, x := range row {
			if x == nil {
				continue
			}
			eval, err := exec.Compile(x)
			if err != nil {
				return err
			}
			s.rows[i][j] = eval
		}
	}
	return nil
}

// Plan returns the bound statement.
func (s *Insert) Plan() *plan.Insert { return s.plan }

// Update is an UPDATE that is compiled once for all who run it.
type Update struct {
	plan *plan.Update
	set  []exec.Eval // nil entries mean DEFAULT
	finder
}

// finder finds the rows of an UPDATE or DELETE, with match or with source.
type finder struct {
	table     *schema.Table
	match     *exec.Matcher
	source    *reader
	returning *returning
}

// newFinder compiles the way to the rows of a statement, and its RETURNING.
func newFinder(q *plan.Query, tree *plan.Analytic, outputs []plan.Output, computed *plan.Given) (f finder, err error) {
	f.table = q.Table
	if tree != nil {
		f.source = &reader{}
		f.source.analytic, err = exec.NewAnalytic(tree)
	} else {
		f.match, err = exec.NewMatcher(q)
	}
	if err != nil {
		return f, err
	}
	f.returning, err = newReturning(q.Table, outputs, computed)
	return f, err
}

// NewUpdate compiles an UPDATE.
func NewUpdate(p *plan.Update) (*Update, error) {
	set, err := compileSet(p.Set)
	if err != nil {
		return nil, err
	}
	f, err := newFinder(&p.Query, p.Source, p.Returning, p.Given)
	return &Update{p, set, f}, err
}

// compileSet compiles the items of SET; nil entries mean DEFAULT.
func compileSet(set []plan.Assignment) ([]exec.Eval, error) {
	evals := make([]exec.Eval, len(set))
	for i, a := range set {
		if a.X == nil {
			continue
		}
		eval, err := exec.Compile(a.X)
		if err != nil {
			return nil, err
		}
		evals[i] = eval
	}
	return evals, nil
}

// Plan returns the bound statement.
func (s *Update) Plan() *plan.Update { return s.plan }

// Delete is a DELETE that is compiled once for all who run it.
type Delete struct {
	plan *plan.Delete
	finder
}

// NewDelete compiles a DELETE.
func NewDelete(p *plan.Delete) (*Delete, error) {
	f, err := newFinder(&p.Query, p.Source, p.Returning, p.Given)
	return &Delete{p, f}, err
}

// Plan returns the bound statement.
func (s *Delete) Plan() *plan.Delete { return s.plan }
