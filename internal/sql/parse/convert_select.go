package parse

import (
	pg "github.com/pganalyze/pg_query_go/v6"
)

// selectStatement converts a SELECT of any nesting.
func (c *converter) selectStatement(s *pg.SelectStmt) *Select {
	out := &Select{Offset: c.text.base}
	defer c.inside(&out.Complex)()
	if s.GetWithClause() != nil {
		c.needs("WITH")
	}
	switch s.GetOp() {
	case pg.SetOperation_SETOP_UNION:
		c.needs("UNION")
	case pg.SetOperation_SETOP_INTERSECT:
		c.needs("INTERSECT")
	case pg.SetOperation_SETOP_EXCEPT:
		c.needs("EXCEPT")
	}
	if len(s.GetValuesLists()) > 0 {
		c.needs("VALUES")
	}
	for i, d := range s.GetDistinctClause() {
		if d.GetNode() == nil && i == 0 {
			out.Distinct = true
			break
		}
		out.DistinctOn = append(out.DistinctOn, c.expr(d))
	}
	out.Outputs = c.outputs(s.GetTargetList())
	if len(out.Outputs) == 0 && out.Complex == "" {
		c.fail(c.text.base, syntaxError(c.src, c.text.base, "SELECT needs at least one column"))
	}
	if s.GetIntoClause() != nil {
		c.needs("SELECT INTO")
	}
	c.from(out, s.GetFromClause())
	out.Where = c.optional(s.GetWhereClause())
	for _, g := range s.GetGroupClause() {
		if g.GetGroupingSet() != nil {
			c.needs("GROUPING SETS")
			break
		}
		out.GroupBy = append(out.GroupBy, c.expr(g))
	}
	if s.GetGroupDistinct() {
		c.needs("GROUP BY DISTINCT")
	}
	out.Having = c.optional(s.GetHavingClause())
	if len(s.GetWindowClause()) > 0 {
		c.needs("a window function")
	}
	out.OrderBy = c.orderBy(s.GetSortClause())
	out.LimitCount = c.limit(s.GetLimitCount())
	out.LimitStart = c.limit(s.GetLimitOffset())
	if s.GetLimitOption() == pg.LimitOption_LIMIT_OPTION_WITH_TIES {
		c.needs("FETCH … WITH TIES")
	}
	if len(s.GetLockingClause()) > 0 {
		c.needs("FOR UPDATE")
	}
	return out
}

// inside makes p the place for what only the analytic path can answer, until
// the returned function is called.
func (c *converter) inside(p *string) func() {
	outer := c.complex
	c.complex = p
	return func() { c.complex = outer }
}

// outputs converts a select list or RETURNING.
func (c *converter) outputs(targets []*pg.Node) []Output {
	var out []Output
	for _, t := range targets {
		r := t.GetResTarget()
		out = append(out, Output{X: c.expr(r.GetVal()), Alias: c.spelled(r.GetName())})
	}
	return out
}

// from converts FROM, which names at most one table.
func (c *converter) from(out *Select, items []*pg.Node) {
	if len(items) > 1 {
		c.needs("several tables in FROM")
		return
	}
	for _, item := range items {
		switch v := item.GetNode().(type) {
		case *pg.Node_RangeVar:
			name := c.tableName(v.RangeVar)
			out.From, out.Alias = &name, c.alias(v.RangeVar.GetAlias())
		case *pg.Node_JoinExpr:
			c.needs("JOIN")
		case *pg.Node_RangeSubselect:
			c.needs("a subquery in FROM")
		case *pg.Node_RangeTableSample:
			c.needs("TABLESAMPLE")
		default:
			c.needs("a function in FROM")
		}
	}
}

// alias converts the alias of a table.
func (c *converter) alias(a *pg.Alias) string {
	if len(a.GetColnames()) > 0 {
		c.needs("column names of an alias")
	}
	return c.name(a.GetAliasname())
}

// orderBy converts ORDER BY.
func (c *converter) orderBy(items []*pg.Node) []Order {
	var out []Order
	for _, item := range items {
		s := item.GetSortBy()
		o := Order{X: c.expr(s.GetNode()), Desc: s.GetSortbyDir() == pg.SortByDir_SORTBY_DESC}
		if s.GetSortbyDir() == pg.SortByDir_SORTBY_USING {
			o.X = c.unsupported(s.GetLocation(), "ORDER BY … USING")
		}
		switch s.GetSortbyNulls() {
		case pg.SortByNulls_SORTBY_NULLS_FIRST:
			o.Nulls = "first"
		case pg.SortByNulls_SORTBY_NULLS_LAST:
			o.Nulls = "last"
		}
		out = append(out, o)
	}
	return out
}

// limit converts LIMIT or OFFSET; LIMIT ALL is none.
func (c *converter) limit(n *pg.Node) Expr {
	if k := n.GetAConst(); k.GetIsnull() {
		return nil
	}
	return c.optional(n)
}

// optional converts an expression that may be missing.
func (c *converter) optional(n *pg.Node) Expr {
	if n.GetNode() == nil {
		return nil
	}
	return c.expr(n)
}

// subquery converts an embedded SELECT.
func (c *converter) subquery(s *pg.SubLink) Expr {
	c.needs("a subquery")
	q := &Subquery{At: At{c.at(s.GetLocation())}}
	switch s.GetSubLinkType() {
	case pg.SubLinkType_EXPR_SUBLINK:
		q.Kind = "scalar"
	case pg.SubLinkType_EXISTS_SUBLINK:
		q.Kind = "exists"
	case pg.SubLinkType_ANY_SUBLINK:
		q.Kind = "in"
		if len(s.GetOperName()) > 0 {
			q.Kind = "any"
		}
	case pg.SubLinkType_ALL_SUBLINK:
		q.Kind = "all"
	default:
		return c.unsupported(s.GetLocation(), "ARRAY of a subquery")
	}
	if q.Kind == "any" || q.Kind == "all" {
		q.Op = c.operator(s.GetOperName())
	}
	q.X = c.optional(s.GetTestexpr())
	sel := s.GetSubselect().GetSelectStmt()
	if sel == nil {
		return c.unsupported(s.GetLocation(), "a subquery that is no SELECT")
	}
	q.Select = c.selectStatement(sel)
	return q
}
