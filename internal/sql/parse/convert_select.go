package parse

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
)

// selectStatement converts a SELECT of any nesting.
func (c *converter) selectStatement(s *pg.SelectStmt) *Select {
	out := &Select{Offset: c.text.base}
	defer c.inside(&out.Complex, &out.Refused)()
	out.With, out.Recursive = c.with(s.GetWithClause())
	switch {
	case s.GetOp() != pg.SetOperation_SETOP_NONE && s.GetOp() != pg.SetOperation_SET_OPERATION_UNDEFINED:
		out.Set = c.setOperation(s)
	case len(s.GetValuesLists()) > 0:
		c.needs("VALUES")
		for _, row := range s.GetValuesLists() {
			out.Values = append(out.Values, c.exprs(row.GetList().GetItems()))
		}
	default:
		c.body(out, s)
	}
	out.OrderBy = c.orderBy(s.GetSortClause())
	out.LimitCount = c.limit(s.GetLimitCount())
	out.LimitStart = c.limit(s.GetLimitOffset())
	if s.GetLimitOption() == pg.LimitOption_LIMIT_OPTION_WITH_TIES {
		c.refuse("FETCH … WITH TIES")
	}
	if len(s.GetLockingClause()) > 0 {
		c.refuse("FOR UPDATE")
	}
	return out
}

// body converts SELECT … HAVING.
func (c *converter) body(out *Select, s *pg.SelectStmt) {
	for i, d := range s.GetDistinctClause() {
		if d.GetNode() == nil && i == 0 {
			out.Distinct = true
			break
		}
		c.needs("DISTINCT ON")
		out.DistinctOn = append(out.DistinctOn, c.expr(d))
	}
	out.Outputs = c.outputs(s.GetTargetList())
	if len(out.Outputs) == 0 {
		c.fail(c.text.base, syntaxError(c.src, c.text.base, "SELECT needs at least one column"))
	}
	if s.GetIntoClause() != nil {
		c.refuse("SELECT INTO")
	}
	c.from(out, s.GetFromClause())
	out.Where = c.optional(s.GetWhereClause())
	for _, g := range s.GetGroupClause() {
		out.GroupBy = append(out.GroupBy, c.groupItem(g))
	}
	if out.GroupDistinct = s.GetGroupDistinct(); out.GroupDistinct {
		c.needs("GROUP BY DISTINCT")
	}
	out.Having = c.optional(s.GetHavingClause())
	for _, w := range s.GetWindowClause() {
		c.needs("a window function")
		window := c.window(w.GetWindowDef())
		window.Name, window.Base = c.name(w.GetWindowDef().GetName()), c.name(w.GetWindowDef().GetRefname())
		out.Windows = append(out.Windows, *window)
	}
}

// with converts WITH.
func (c *converter) with(w *pg.WithClause) ([]CTE, bool) {
	if w == nil {
		return nil, false
	}
	c.needs("WITH")
	var out []CTE
	for _, n := range w.GetCtes() {
		t := n.GetCommonTableExpr()
		cte := CTE{At: At{c.at(t.GetLocation())}, Name: c.name(t.GetCtename())}
		for _, name := range c.strings(t.GetAliascolnames()) {
			cte.Columns = append(cte.Columns, foldName(name))
		}
		switch t.GetCtematerialized() {
		case pg.CTEMaterialize_CTEMaterializeAlways:
			cte.Materialized = "materialized"
		case pg.CTEMaterialize_CTEMaterializeNever:
			cte.Materialized = "not materialized"
		}
		if t.GetSearchClause() != nil || t.GetCycleClause() != nil {
			c.refuse("SEARCH and CYCLE of WITH RECURSIVE")
		}
		query := t.GetCtequery().GetSelectStmt()
		if query == nil {
			c.refuse("INSERT, UPDATE or DELETE in WITH")
			continue
		}
		cte.Select = c.selectStatement(query)
		out = append(out, cte)
	}
	return out, w.GetRecursive()
}

// setOperation converts UNION, INTERSECT and EXCEPT.
func (c *converter) setOperation(s *pg.SelectStmt) *SetOperation {
	out := &SetOperation{All: s.GetAll()}
	switch s.GetOp() {
	case pg.SetOperation_SETOP_UNION:
		out.Op = "union"
	case pg.SetOperation_SETOP_INTERSECT:
		out.Op = "intersect"
	default:
		out.Op = "except"
	}
	c.needs(strings.ToUpper(out.Op))
	out.L, out.R = c.selectStatement(s.GetLarg()), c.selectStatement(s.GetRarg())
	return out
}

// groupItem converts one item of GROUP BY.
func (c *converter) groupItem(n *pg.Node) Expr {
	g := n.GetGroupingSet()
	if g == nil {
		return c.expr(n)
	}
	c.needs("GROUPING SETS")
	at := At{c.at(g.GetLocation())}
	out := &GroupingSets{At: at, Kind: "sets"}
	switch g.GetKind() {
	case pg.GroupingSetKind_GROUPING_SET_EMPTY:
		return &Row{At: at}
	case pg.GroupingSetKind_GROUPING_SET_ROLLUP:
		out.Kind = "rollup"
	case pg.GroupingSetKind_GROUPING_SET_CUBE:
		out.Kind = "cube"
	}
	for _, item := range g.GetContent() {
		out.Items = append(out.Items, c.groupItem(item))
	}
	return out
}

// inside makes complex the place for what only the analytic path can answer,
// and refused that for what nobody can, until the returned function is called.
// What an inner query needs its outer one needs too.
func (c *converter) inside(complex, refused *string) func() {
	outer, outerRefused := c.complex, c.refused
	c.complex, c.refused = complex, refused
	return func() {
		c.complex, c.refused = outer, outerRefused
		if *complex != "" {
			c.needs(*complex)
		}
		if *refused != "" {
			c.refuse(*refused)
		}
	}
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

// from converts FROM. One plain table is for both paths.
func (c *converter) from(out *Select, items []*pg.Node) {
	if len(items) == 1 {
		if v := items[0].GetRangeVar(); v != nil && len(v.GetAlias().GetColnames()) == 0 {
			name := c.tableName(v)
			out.From, out.Alias = &name, c.name(v.GetAlias().GetAliasname())
			return
		}
	}
	if len(items) > 1 {
		c.needs("several tables in FROM")
	}
	out.Sources = c.sources(items)
}

// sources converts the items of FROM.
func (c *converter) sources(items []*pg.Node) []TableExpr {
	out := make([]TableExpr, 0, len(items))
	for _, item := range items {
		if t := c.source(item); t != nil {
			out = append(out, t)
		}
	}
	return out
}

// source converts one item of FROM; nil after it has been refused.
func (c *converter) source(n *pg.Node) TableExpr {
	switch v := n.GetNode().(type) {
	case *pg.Node_RangeVar:
		if len(v.RangeVar.GetAlias().GetColnames()) > 0 {
			c.needs("column names of an alias")
		}
		return &TableName{At{c.at(v.RangeVar.GetLocation())}, c.tableName(v.RangeVar), c.columnAlias(v.RangeVar.GetAlias())}
	case *pg.Node_JoinExpr:
		return c.join(v.JoinExpr)
	case *pg.Node_RangeSubselect:
		c.needs("a subquery in FROM")
		query := v.RangeSubselect.GetSubquery().GetSelectStmt()
		if query == nil {
			c.refuse("a subquery in FROM that is no SELECT")
			return nil
		}
		q := c.selectStatement(query)
		return &Derived{At{q.Offset}, q, c.columnAlias(v.RangeSubselect.GetAlias()), v.RangeSubselect.GetLateral()}
	case *pg.Node_RangeFunction:
		return c.tableFunction(v.RangeFunction)
	case *pg.Node_RangeTableSample:
		c.refuse("TABLESAMPLE")
		return nil
	}
	c.refuse("an item of FROM of this form")
	return nil
}

// join converts L JOIN R.
func (c *converter) join(j *pg.JoinExpr) TableExpr {
	c.needs("JOIN")
	out := &Join{At: At{-1}, Natural: j.GetIsNatural(), L: c.source(j.GetLarg()), R: c.source(j.GetRarg())}
	if out.L != nil {
		out.Offset = out.L.Pos()
	}
	for _, name := range c.strings(j.GetUsingClause()) {
		out.Using = append(out.Using, Name{Name: foldName(name), Offset: out.Offset})
	}
	out.On = c.optional(j.GetQuals())
	out.Alias = c.columnAlias(j.GetAlias())
	switch j.GetJointype() {
	case pg.JoinType_JOIN_LEFT:
		out.Kind = "left"
	case pg.JoinType_JOIN_RIGHT:
		out.Kind = "right"
	case pg.JoinType_JOIN_FULL:
		out.Kind = "full"
	default:
		out.Kind = "inner"
		if out.On == nil && !out.Natural && len(out.Using) == 0 {
			out.Kind = "cross"
		}
	}
	if j.GetJoinUsingAlias() != nil {
		c.refuse("an alias of JOIN … USING")
	}
	return out
}

// tableFunction converts a function in FROM.
func (c *converter) tableFunction(f *pg.RangeFunction) TableExpr {
	c.needs("a function in FROM")
	if len(f.GetFunctions()) != 1 || f.GetIsRowsfrom() {
		c.refuse("ROWS FROM")
		return nil
	}
	var fn *pg.Node
	if items := f.GetFunctions()[0].GetList().GetItems(); len(items) > 0 {
		fn = items[0]
	}
	call, ok := c.expr(fn).(*Call)
	if !ok {
		c.refuse("an expression of this form in FROM")
		return nil
	}
	if len(f.GetColdeflist()) > 0 {
		return c.recordFunction(f, call)
	}
	out := &TableFunction{call.At, call, c.columnAlias(f.GetAlias()), f.GetLateral(), f.GetOrdinality(), nil}
	if n, ok := c.searched(fn.GetFuncCall()); ok {
		out.Table = &n
	}
	return out
}

// columnAlias converts the alias of an item of FROM with its column names.
func (c *converter) columnAlias(a *pg.Alias) Alias {
	out := Alias{Name: c.name(a.GetAliasname())}
	for _, name := range c.strings(a.GetColnames()) {
		out.Columns = append(out.Columns, foldName(name))
	}
	return out
}

// alias converts the alias of the target of a write.
func (c *converter) alias(a *pg.Alias) string {
	if len(a.GetColnames()) > 0 {
		c.refuse("column names of an alias")
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
	case pg.SubLinkType_ARRAY_SUBLINK:
		q.Kind = "array"
	default:
		return c.unsupported(s.GetLocation(), "a subquery of this form")
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
