package exec

import (
	"strconv"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/sql/plan"
)

// inner is a SELECT that computes what an aggregation or a window works on,
// so that these see plain columns only.
type inner struct {
	g     *generator
	b     *block
	alias string
	list  []string
}

func (g *generator) inner(b *block) *inner {
	if b.cut() {
		b = g.derive(b)
	}
	return &inner{g: g, b: b, alias: g.name("q")}
}

// add makes a term a column of the SELECT.
func (in *inner) add(x term) term {
	name := "k" + strconv.Itoa(len(in.list))
	in.list = append(in.list, x.text+" AS "+name)
	x.text, x.plain = in.alias+"."+name, true
	return x
}

// value adds an expression.
func (in *inner) value(e plan.Expr) (term, error) {
	x, err := in.g.value(in.b, e)
	if err != nil {
		return x, err
	}
	return in.add(x), nil
}

// key adds what an expression is grouped, partitioned or sorted by.
func (in *inner) key(e plan.Expr) (term, error) {
	x, err := in.g.key(in.b, e)
	if err != nil {
		return x, err
	}
	return in.add(x), nil
}

// truth adds a condition.
func (in *inner) truth(e plan.Expr) (term, error) { return in.value(e) }

// order adds the keys of a sort and writes it over them.
func (in *inner) order(items []plan.OrderItem) (string, error) {
	var parts []string
	for _, o := range items {
		x, err := in.key(o.X)
		if err != nil {
			return "", err
		}
		parts = append(parts, x.text+direction(o))
	}
	if len(parts) == 0 {
		return "", nil
	}
	return "ORDER BY " + strings.Join(parts, ", "), nil
}

// from writes the SELECT.
func (in *inner) from() string {
	in.b.order = nil
	return "(" + in.b.query(in.list) + ") AS " + in.alias
}

// aggregation gathers rows into groups.
func (g *generator) aggregation(n *plan.Aggregation) (*block, error) {
	b, err := g.node(n.Input)
	if err != nil {
		return nil, err
	}
	in := g.inner(b)
	alias := "t" + strconv.Itoa(n.Rel)
	out := &block{}
	var list []string
	give := func(x term) {
		c := "c" + strconv.Itoa(len(list))
		list = append(list, x.text+" AS "+c)
		x.text, x.plain = alias+"."+c, true
		out.cols = append(out.cols, column{place{n.Rel, len(out.cols)}, x})
	}
	keys := make([]string, len(n.Groups))
	for i, e := range n.Groups {
		x, key, err := in.group(e)
		if err != nil {
			return nil, err
		}
		keys[i] = key.text
		if x.text != key.text {
			x.text = "any_value(" + x.text + ")"
			if n.Sets != nil {
				x.text = "CASE WHEN GROUPING(" + key.text + ") = 0 THEN " + x.text + " END"
			}
		}
		give(x)
	}
	for i := range n.Aggregates {
		x, err := in.aggregate(&n.Aggregates[i], "")
		if err != nil {
			return nil, err
		}
		give(x)
	}
	for _, set := range n.Groupings {
		give(term{text: "CAST(GROUPING(" + strings.Join(picked(keys, set), ", ") + ") AS BIGINT)", t: bigintType})
	}
	if len(list) == 0 {
		list = append(list, "1 AS c0")
	}
	out.from = "(SELECT " + strings.Join(list, ", ") + " FROM " + in.from() + groupBy(n, keys) + ") AS " + alias
	return out, nil
}

func picked(keys []string, set []int) []string {
	out := make([]string, len(set))
	for i, at := range set {
		out[i] = keys[at]
	}
	return out
}

func groupBy(n *plan.Aggregation, keys []string) string {
	switch {
	case n.Sets != nil:
		sets := make([]string, len(n.Sets))
		for i, set := range n.Sets {
			sets[i] = "(" + strings.Join(picked(keys, set), ", ") + ")"
		}
		return " GROUP BY GROUPING SETS (" + strings.Join(sets, ", ") + ")"
	case len(keys) > 0:
		return " GROUP BY " + strings.Join(keys, ", ")
	case len(n.Aggregates) == 0:
		return " LIMIT 1" // one group of nothing: see nobody
	}
	return ""
}

// group adds the value and the key of a group; they are one where DuckDB
// compares as we do.
func (in *inner) group(e plan.Expr) (x, key term, err error) {
	g := in.g
	v, ok, err := g.native(in.b, e)
	if err != nil {
		return x, key, err
	}
	exact := ok || e.Type().Kind != datum.Decimal || g.settled(e)
	if !ok {
		if v, err = g.call(in.b, e); err != nil {
			return x, key, err
		}
	}
	if exact && v.natural() {
		x = in.add(v)
		return x, x, nil
	}
	k := g.keyOf(v)
	if !exact || !v.natural() && !ok {
		if k, err = g.calling(in.b, e, bytesType, "key ", keyBytes); err != nil {
			return x, key, err
		}
	}
	return in.add(v), in.add(k), nil
}
