package write

import (
	"kalamdb/internal/sql/exec"
	"kalamdb/internal/sql/plan"
)

// Insert is an INSERT … VALUES that is compiled once for all who run it.
type Insert struct {
	plan *plan.Insert
	rows [][]exec.Eval // nil entries mean DEFAULT
}

// NewInsert compiles an INSERT.
func NewInsert(p *plan.Insert) (*Insert, error) {
	s := &Insert{plan: p, rows: make([][]exec.Eval, len(p.Rows))}
	cells := make([]exec.Eval, len(p.Rows)*len(p.Columns))
	for i, row := range p.Rows {
		s.rows[i], cells = cells[:len(row):len(row)], cells[len(row):]
		for j, x := range row {
			if x == nil {
				continue
			}
			eval, err := exec.Compile(x)
			if err != nil {
				return nil, err
			}
			s.rows[i][j] = eval
		}
	}
	return s, nil
}

// Plan returns the bound statement.
func (s *Insert) Plan() *plan.Insert { return s.plan }

// Update is an UPDATE that is compiled once for all who run it.
type Update struct {
	plan  *plan.Update
	set   []exec.Eval // nil entries mean DEFAULT
	match *exec.Matcher
}

// NewUpdate compiles an UPDATE.
func NewUpdate(p *plan.Update) (*Update, error) {
	s := &Update{plan: p, set: make([]exec.Eval, len(p.Set))}
	for i, a := range p.Set {
		if a.X == nil {
			continue
		}
		eval, err := exec.Compile(a.X)
		if err != nil {
			return nil, err
		}
		s.set[i] = eval
	}
	var err error
	s.match, err = exec.NewMatcher(&p.Query)
	return s, err
}

// Plan returns the bound statement.
func (s *Update) Plan() *plan.Update { return s.plan }

// Delete is a DELETE that is compiled once for all who run it.
type Delete struct {
	plan  *plan.Delete
	match *exec.Matcher
}

// NewDelete compiles a DELETE.
func NewDelete(p *plan.Delete) (*Delete, error) {
	match, err := exec.NewMatcher(&p.Query)
	return &Delete{p, match}, err
}

// Plan returns the bound statement.
func (s *Delete) Plan() *plan.Delete { return s.plan }
