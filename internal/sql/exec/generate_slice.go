package exec

import (
	"strconv"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/sql/plan"
)

// slice is OFFSET and LIMIT.
func (g *generator) slice(n *plan.Slice) (*block, error) {
	b, err := g.node(n.Input)
	if err != nil {
		return nil, err
	}
	if b.cut() {
		b = g.derive(b)
	}
	if n.Count != nil && !plan.Fixed(n.Count) || n.Offset != nil && !plan.Fixed(n.Offset) {
		return g.sliceByRow(b, n)
	}
	if b.limit, err = g.count(n.Count, "LIMIT"); err != nil {
		return nil, err
	}
	b.offset, err = g.count(n.Offset, "OFFSET")
	return b, err
}

// count writes LIMIT or OFFSET, whose value is known before the statement runs.
func (g *generator) count(x plan.Expr, clause string) (string, error) {
	if x == nil {
		return "", nil
	}
	v, err := g.fixedOf(x)
	if err != nil || v.IsNull() {
		return "", err
	}
	if err := plan.CheckCount(v.Int(), clause); err != nil {
		return "", err
	}
	// DuckDB wants it in the text where the query reads rows around it.
	return strconv.FormatInt(v.Int(), 10), nil
}

// sliceByRow counts the rows off by their numbers, for DuckDB takes no LIMIT that
// depends on rows around the query.
func (g *generator) sliceByRow(b *block, n *plan.Slice) (*block, error) {
	if b.with != "" {
		b = g.derive(b)
	}
	order := ""
	for i, o := range b.order {
		order += []string{"ORDER BY ", ", "}[min(i, 1)] + o.String()
	}
	number := term{text: "row_number() OVER (" + order + ")", t: bigintType}
	b.cols = append(b.cols[:len(b.cols):len(b.cols)], column{place{-1, 0}, number})
	out := g.derive(b)
	last := len(out.cols) - 1
	at := out.cols[last].text
	out.cols = out.cols[:last]
	if n.Offset != nil {
		skip, err := g.countOf(n.Offset, "OFFSET")
		if err != nil {
			return nil, err
		}
		at = "(" + at + " - coalesce(" + skip + ", 0))"
		out.where = append(out.where, at+" > 0")
	}
	if n.Count != nil {
		most, err := g.countOf(n.Count, "LIMIT")
		if err != nil {
			return nil, err
		}
		out.where = append(out.where, "coalesce("+at+" <= "+most+", TRUE)")
	}
	return out, nil
}

// countOf writes the value of LIMIT or OFFSET over the rows around the query.
func (g *generator) countOf(x plan.Expr, clause string) (string, error) {
	check := func(v datum.Value) (datum.Value, error) {
		if v.IsNull() {
			return v, nil
		}
		return datum.NewInt(datum.BigInt, v.Int()), plan.CheckCount(v.Int(), clause)
	}
	called, err := g.calling(nil, x, bigintType, strings.ToLower(clause)+" ", check)
	return called.text, err
}
