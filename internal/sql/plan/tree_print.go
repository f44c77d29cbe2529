package plan

import (
	"fmt"
	"strconv"
	"strings"
)

// String prints the tree for EXPLAIN and tests, one step a line, what a step
// reads below it.
func (a *Analytic) String() string {
	p := printer{}
	for _, o := range a.Outputs {
		p.line("output: ", o.Name, " ", o.Type.String(), " = ", o.X.String())
	}
	p.node(a.Root)
	return p.text.String()
}

// printer prints nodes.
type printer struct {
	text  strings.Builder
	depth int
}

func (p *printer) line(parts ...string) {
	p.text.WriteString(strings.Repeat("  ", p.depth))
	for _, s := range parts {
		p.text.WriteString(s)
	}
	p.text.WriteByte('\n')
}

// node prints a node and what is below it, the queries of its expressions first.
func (p *printer) node(n Node) {
	p.head(n)
	p.depth++
	defer func() { p.depth-- }()
	visit(n, func(x Expr) {
		Walk(x, func(x Expr) bool {
			if q, ok := x.(*Subquery); ok {
				p.line(subqueryNames[q.Kind], " query:")
				p.depth++
				p.node(q.Root)
				p.depth--
			}
			return true
		})
	})
	if w, ok := n.(*With); ok {
		p.queries(w)
		p.node(w.Input)
		return
	}
	for _, in := range Inputs(n) {
		p.node(in)
	}
}

func (p *printer) queries(w *With) {
	for _, q := range w.Queries {
		how := ""
		switch {
		case q.Step != nil && q.All:
			how = " recursive all"
		case q.Step != nil:
			how = " recursive"
		}
		if q.Materialized {
			how += " materialized"
		}
		if q.Inlined {
			how += " not materialized"
		}
		p.line("query ", q.Name, "#", strconv.Itoa(q.Number), how, ": ", refList(q.Columns))
		p.depth++
		p.node(q.Root)
		if q.Step != nil {
			p.line("repeated: ", refList(q.StepColumns))
			p.node(q.Step)
		}
		p.depth--
	}
}

func refList(columns []Ref) string {
	text := make([]string, len(columns))
	for i := range columns {
		text[i] = columns[i].String()
	}
	return strings.Join(text, ", ")
}

var joinNames = [...]string{InnerJoin: "inner", LeftJoin: "left", RightJoin: "right", FullJoin: "full"}

var setNames = [...]string{Union: "union", Intersect: "intersect", Except: "except"}

// head prints what one node does.
func (p *printer) head(n Node) {
	switch n := n.(type) {
	case *One:
		p.line("one row")
	case *Scan:
		p.scan(n)
	case *Values:
		p.line("values@", strconv.Itoa(n.Rel), " ", columnList(n.Columns))
		for _, row := range n.Rows {
			p.line("  row: ", list(row))
		}
	case *TableCall:
		p.line(n.Fn.Name, "@", strconv.Itoa(n.Rel), "(", list(n.Args), ") ", columnList(n.Columns))
	case *Recall:
		p.line("recall@", strconv.Itoa(n.Rel), " ", n.Query.Name, "#", strconv.Itoa(n.Query.Number), " ", columnList(n.Columns))
	case *Filter:
		p.line("filter: ", n.X.String())
	case *Project:
		p.line("project@", strconv.Itoa(n.Rel))
		for _, o := range n.Outputs {
			p.line("  ", o.Name, " ", o.Type.String(), " = ", o.X.String())
		}
	case *Join:
		p.join(n)
	case *Aggregation:
		p.aggregation(n)
	case *Windowing:
		p.line("window@", strconv.Itoa(n.Rel))
		for i := range n.Calls {
			p.line("  ", n.Calls[i].String(), " ", n.Calls[i].T.String())
		}
	case *Sort:
		p.line("sort: ", orderText(n.Order))
	case *Slice:
		p.slice(n)
	case *Unique:
		on := ""
		if n.On != nil {
			on = " on " + list(n.On)
		}
		p.line("distinct", on)
	case *SetOp:
		all := ""
		if n.All {
			all = " all"
		}
		p.line(setNames[n.Op], all, "@", strconv.Itoa(n.Rel), " ", columnList(n.Columns), " of (", refList(n.L), ") and (", refList(n.R), ")")
	case *With:
		p.line("with")
	default:
		p.line(fmt.Sprintf("%T", n))
	}
}

func (p *printer) scan(n *Scan) {
	var names []string
	for _, c := range n.Needed {
		names = append(names, n.Table.Columns[c].Name)
	}
	p.line(n.Access.describe(n.Table), " @", strconv.Itoa(n.Rel), " read: ", orElse(strings.Join(names, ", "), "nothing"))
	if n.Filter != nil {
		p.line("  where: ", n.Filter.String())
	}
}

func (p *printer) join(n *Join) {
	text := joinNames[n.Kind] + " join"
	if n.Lateral {
		text += " lateral"
	}
	if n.On != nil {
		text += " on " + n.On.String()
	}
	p.line(text)
}

func (p *printer) aggregation(n *Aggregation) {
	p.line("group@", strconv.Itoa(n.Rel), ": ", orElse(list(n.Groups), "all rows"))
	for _, a := range n.Aggregates {
		p.line("  aggregate: ", a.String(), " ", a.Type.String())
	}
	if n.Sets != nil {
		p.line("  sets: ", n.showSets(n.Sets))
	}
	if n.Groupings != nil {
		p.line("  grouping: ", n.showSets(n.Groupings))
	}
}

// showSets prints sets of groups.
func (n *Aggregation) showSets(sets [][]int) string {
	text := make([]string, len(sets))
	for i, set := range sets {
		var groups []Expr
		for _, g := range set {
			groups = append(groups, n.Groups[g])
		}
		text[i] = "(" + list(groups) + ")"
	}
	return strings.Join(text, " ")
}

func (p *printer) slice(n *Slice) {
	var parts []string
	if n.Count != nil {
		parts = append(parts, "limit: "+n.Count.String())
	}
	if n.Offset != nil {
		parts = append(parts, "offset: "+n.Offset.String())
	}
	p.line(strings.Join(parts, " "))
}

func columnList(columns []RelColumn) string {
	text := make([]string, len(columns))
	for i, c := range columns {
		text[i] = c.Name + " " + c.Type.String()
	}
	return "(" + strings.Join(text, ", ") + ")"
}
