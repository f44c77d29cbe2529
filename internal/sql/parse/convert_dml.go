package parse

import (
	pg "github.com/pganalyze/pg_query_go/v6"
)

// statement converts a whole statement of the grammar.
func (c *converter) statement(n *pg.Node) Statement {
	switch v := n.GetNode().(type) {
	case *pg.Node_SelectStmt:
		s := c.selectStatement(v.SelectStmt)
		if c.hidden {
			s.Tables = c.tables(n, nil, nil)
		} else if s.From != nil {
			s.Tables = []Name{*s.From}
		}
		return s
	case *pg.Node_InsertStmt:
		s := c.insert(v.InsertStmt)
		s.Tables = c.tables(n, nil, []Name{s.Table})
		return s
	case *pg.Node_UpdateStmt:
		s := c.update(v.UpdateStmt)
		s.Tables = c.tables(n, nil, []Name{s.Table})
		return s
	case *pg.Node_DeleteStmt:
		s := c.delete(v.DeleteStmt)
		s.Tables = c.tables(n, nil, []Name{s.Table})
		return s
	case *pg.Node_MergeStmt:
		return &NotYet{Words: "MERGE", Area: "write"}
	}
	c.fail(c.text.base, syntaxError(c.src, c.text.base, "Unsupported statement type"))
	return nil
}

func (c *converter) insert(s *pg.InsertStmt) *Insert {
	out := &Insert{Table: c.tableName(s.GetRelation())}
	defer c.inside(&out.Complex, &out.Refused)()
	out.With, out.Recursive = c.with(s.GetWithClause())
	out.Alias = c.alias(s.GetRelation().GetAlias())
	for _, col := range s.GetCols() {
		out.Columns = append(out.Columns, c.target(col.GetResTarget()))
	}
	switch s.GetOverride() {
	case pg.OverridingKind_OVERRIDING_SYSTEM_VALUE:
		out.Overriding = "system"
	case pg.OverridingKind_OVERRIDING_USER_VALUE:
		out.Overriding = "user"
	}
	switch rows := s.GetSelectStmt().GetSelectStmt(); {
	case rows == nil:
		out.Defaults = true
	case isValues(rows):
		for _, row := range rows.GetValuesLists() {
			out.Values = append(out.Values, c.exprs(row.GetList().GetItems()))
		}
	default:
		out.Select = c.selectStatement(rows)
		c.hidden = true
	}
	if s.GetOnConflictClause() != nil {
		out.Conflict = c.conflict(s.GetOnConflictClause())
	}
	out.Returning = c.outputs(s.GetReturningList())
	if out.Select != nil {
		out.Select.Tables = c.tables(s.GetSelectStmt(), s.GetWithClause(), nil)
	}
	return out
}

// conflict converts ON CONFLICT.
func (c *converter) conflict(s *pg.OnConflictClause) *Conflict {
	out := &Conflict{At: At{c.at(s.GetLocation())}}
	infer := s.GetInfer()
	for _, n := range infer.GetIndexElems() {
		e := n.GetIndexElem()
		if e.GetName() == "" || len(e.GetCollation()) > 0 || len(e.GetOpclass()) > 0 {
			c.refuse("ON CONFLICT over an expression")
			continue
		}
		out.Target = append(out.Target, Name{Name: c.name(e.GetName()), Offset: c.at(infer.GetLocation())})
	}
	out.Constraint = c.name(infer.GetConname())
	out.TargetWhere = c.optional(infer.GetWhereClause())
	if s.GetAction() == pg.OnConflictAction_ONCONFLICT_UPDATE {
		out.Set = c.assignments(s.GetTargetList())
		out.Where = c.optional(s.GetWhereClause())
	}
	return out
}

// isValues reports whether a SELECT is nothing but VALUES.
func isValues(s *pg.SelectStmt) bool {
	return len(s.GetValuesLists()) > 0 && len(s.GetSortClause()) == 0 && s.GetLimitCount() == nil && s.GetLimitOffset() == nil &&
		s.GetWithClause() == nil && len(s.GetLockingClause()) == 0
}

// target converts the name of a column that is written to.
func (c *converter) target(r *pg.ResTarget) Name {
	if len(r.GetIndirection()) > 0 {
		c.refuse("an assignment to a part of a column")
	}
	return Name{Name: c.name(r.GetName()), Offset: c.at(r.GetLocation())}
}

func (c *converter) update(s *pg.UpdateStmt) *Update {
	out := &Update{Table: c.tableName(s.GetRelation())}
	defer c.inside(&out.Complex, &out.Refused)()
	out.With, out.Recursive = c.with(s.GetWithClause())
	out.Alias = c.alias(s.GetRelation().GetAlias())
	out.Set = c.assignments(s.GetTargetList())
	if len(s.GetFromClause()) > 0 {
		c.needs("UPDATE … FROM")
		out.From = c.sources(s.GetFromClause())
	}
	out.Where = c.optional(s.GetWhereClause())
	out.Returning = c.outputs(s.GetReturningList())
	return out
}

// assignments converts the list of SET.
func (c *converter) assignments(targets []*pg.Node) []Assignment {
	out := make([]Assignment, 0, len(targets))
	for _, t := range targets {
		r := t.GetResTarget()
		out = append(out, Assignment{Column: c.target(r), X: c.assigned(r.GetVal())})
	}
	return out
}

// assigned converts the right side of SET. (a, b) = (1, 2) sets one by one, and
// so does (a, b) = (SELECT …), where each column takes its item.
func (c *converter) assigned(n *pg.Node) Expr {
	m := n.GetMultiAssignRef()
	if m == nil {
		return c.expr(n)
	}
	if row := m.GetSource().GetRowExpr(); row != nil && len(row.GetArgs()) == int(m.GetNcolumns()) &&
		m.GetColno() >= 1 && m.GetColno() <= m.GetNcolumns() {
		return c.expr(row.GetArgs()[m.GetColno()-1])
	}
	q, ok := c.expr(m.GetSource()).(*Subquery)
	if !ok || q.Kind != "scalar" {
		return c.unsupported(-1, "an assignment to several columns of this form")
	}
	q.Item = int(m.GetColno())
	return q
}

func (c *converter) delete(s *pg.DeleteStmt) *Delete {
	out := &Delete{Table: c.tableName(s.GetRelation())}
	defer c.inside(&out.Complex, &out.Refused)()
	out.With, out.Recursive = c.with(s.GetWithClause())
	out.Alias = c.alias(s.GetRelation().GetAlias())
	if len(s.GetUsingClause()) > 0 {
		c.needs("DELETE … USING")
		out.Using = c.sources(s.GetUsingClause())
	}
	out.Where = c.optional(s.GetWhereClause())
	out.Returning = c.outputs(s.GetReturningList())
	return out
}
