package plan

import (
	"cmp"
	"slices"
	"strings"

	"kalamdb/internal/datum"
)

const (
	// maxRouteOptions is how many options Routes gives at most, and maxRoutes how
	// many routes one of them has.
	maxRouteOptions, maxRoutes = 16, 256
	// maxRoutePrefix is where the prefix of a Route is cut, in bytes.
	maxRoutePrefix = 64
)

// RouteKind says what a Route asks of its column.
type RouteKind uint8

// The kinds of routes, the sharpest first.
const (
	RouteEqual  RouteKind = iota // the column equals Low
	RoutePrefix                  // it is a text that begins with Prefix
	RouteRange                   // it lies between Low and High
	RouteNull                    // it is NULL
)

// Route is a simple condition on one column: an index over many of them finds
// those that a row meets without looking at the others.
type Route struct {
	Column int
	Kind   RouteKind
	// Low and High are the ends of a range, NULL for none; the Open ones do not
	// belong to it.
	Low, High         datum.Value
	LowOpen, HighOpen bool
	Prefix            string
}

// Meets reports whether a value of the column is one that the route asks for.
func (r *Route) Meets(v datum.Value) bool {
	switch {
	case r.Kind == RouteNull || v.IsNull():
		return r.Kind == RouteNull && v.IsNull()
	case r.Kind == RouteEqual:
		return datum.Equal(v, r.Low)
	case r.Kind == RoutePrefix:
		return strings.HasPrefix(v.Text(), r.Prefix)
	}
	return r.Above(v) && r.Below(v)
}

// Above reports whether a value lies above the low end of a range.
func (r *Route) Above(v datum.Value) bool {
	if r.Low.IsNull() {
		return true
	}
	c := datum.Compare(v, r.Low)
	return c > 0 || c == 0 && !r.LowOpen
}

// Below reports whether a value lies below the high end of a range.
func (r *Route) Below(v datum.Value) bool {
	if r.High.IsNull() {
		return true
	}
	c := datum.Compare(v, r.High)
	return c < 0 || c == 0 && !r.HighOpen
}

// empty reports whether no value meets the route.
func (r *Route) empty() bool {
	if r.Kind != RouteRange || r.Low.IsNull() || r.High.IsNull() {
		return false
	}
	c := datum.Compare(r.Low, r.High)
	return c > 0 || c == 0 && (r.LowOpen || r.HighOpen)
}

// weight says how many rows a route is likely to let pass, as far as its kind
// tells.
func (r *Route) weight() int {
	switch r.Kind {
	case RouteEqual:
		if r.Low.Kind() == datum.Bool {
			return 1000
		}
		return 2
	case RoutePrefix:
		return 100
	case RouteRange:
		if r.Low.IsNull() || r.High.IsNull() {
			return 1000
		}
		return 200
	}
	return 500
}

// RouteWeight says how many rows the routes of an option are likely to let pass;
// the lower the better.
func RouteWeight(option []Route) int {
	sum := 0
	for i := range option {
		sum += option[i].weight()
	}
	return sum
}

// Excludes reports whether an option says that a filter does not select a row.
func Excludes(option []Route, row []datum.Value) bool {
	return !slices.ContainsFunc(option, func(r Route) bool { return r.Meets(row[r.Column]) })
}

// Routes returns options, each of which holds alone: every row that a settled
// filter selects meets at least one route of the option. An option without
// routes says that the filter selects nothing. No option means that nothing is
// known.
func Routes(filter Expr) [][]Route { return routeOptions(filter, true) }

// routeOptions returns what follows from an expression being TRUE, or FALSE.
func routeOptions(filter Expr, want bool) [][]Route {
	switch e := filter.(type) {
	case *Const:
		if e.Value.IsNull() || e.Value.Kind() == datum.Bool && e.Value.Bool() != want {
			return [][]Route{{}}
		}
	case *Col:
		if e.T.Kind == datum.Bool {
			return oneRoute(Route{Column: e.Position, Low: datum.NewBool(want)})
		}
	case *Not:
		return routeOptions(e.X, !want)
	case *IsNull:
		if col, ok := e.X.(*Col); ok && e.Not != want {
			return oneRoute(Route{Column: col.Position, Kind: RouteNull})
		}
	case *IsTruth:
		if e.Not != want {
			return routeOptions(e.X, e.Want)
		}
	case *In:
		if e.Not != want {
			return listRoutes(e)
		}
	case *Logic:
		if e.Or != want {
			return allRoutes(e.Args, want)
		}
		return anyRoutes(e.Args, want)
	case *Call:
		return callRoutes(e, want)
	}
	return nil
}

func oneRoute(r Route) [][]Route {
	if r.empty() {
		return [][]Route{{}}
	}
	return [][]Route{{r}}
}

// callRoutes reads a comparison, LIKE or starts_with.
func callRoutes(e *Call, want bool) [][]Route {
	switch {
	case len(e.Args) < 2:
		return nil
	case e.Fn.Code != NoCode:
		return comparisonRoutes(e, want)
	case e.Fn.Name == "is not distinct from" && want, e.Fn.Name == "is distinct from" && !want:
		if col, c, _ := columnAndConst(e); col != nil && c.IsNull() {
			return oneRoute(Route{Column: col.Position, Kind: RouteNull})
		} else if col != nil {
			return oneRoute(Route{Column: col.Position, Low: c})
		}
	case e.Fn.Name == "like" && e.Fn.Operator && want:
		return likeRoutes(e)
	case e.Fn.Name == "starts_with" && want:
		col, ok1 := e.Args[0].(*Col)
		c, ok2 := e.Args[1].(*Const)
		if ok1 && ok2 && col.T.Kind == datum.Text && c.Value.Kind() == datum.Text {
			return prefixRoute(col, c.Value.Text())
		}
	}
	return nil
}

// columnAndConst takes a call of a column and a constant apart; turned says that
// the constant stands on the left.
func columnAndConst(e *Call) (col *Col, c datum.Value, turned bool) {
	for i := range 2 {
		x, ok1 := e.Args[i].(*Col)
		y, ok2 := e.Args[1-i].(*Const)
		if ok1 && ok2 {
			return x, y.Value, i == 1
		}
	}
	return nil, datum.NullValue, false
}

// opposite has the comparison that is TRUE where another is FALSE.
var opposite = map[Code]Code{Eq: Ne, Ne: Eq, Lt: Ge, Le: Gt, Gt: Le, Ge: Lt}

func comparisonRoutes(e *Call, want bool) [][]Route {
	col, c, turned := columnAndConst(e)
	if col == nil {
		return nil
	}
	if c.IsNull() {
		return [][]Route{{}} // neither TRUE nor FALSE
	}
	code := e.Fn.Code
	if turned && code != Ne {
		code = mirrored[code]
	}
	if !want {
		code = opposite[code]
	}
	r := Route{Column: col.Position, Kind: RouteRange}
	switch code {
	case Eq:
		r.Kind, r.Low = RouteEqual, c
	case Lt, Le:
		r.High, r.HighOpen = c, code == Lt
	case Gt, Ge:
		r.Low, r.LowOpen = c, code == Gt
	default:
		return nil
	}
	return oneRoute(r)
}

// likeRoutes reads the text before the first wildcard of a pattern.
func likeRoutes(e *Call) [][]Route {
	col, ok1 := e.Args[0].(*Col)
	c, ok2 := e.Args[1].(*Const)
	if !ok1 || !ok2 || col.T.Kind != datum.Text || c.Value.Kind() != datum.Text {
		return nil
	}
	key := likeKey{pattern: c.Value.Text(), escape: `\`}
	if len(e.Args) > 2 {
		escape, ok := e.Args[2].(*Const)
		if !ok || escape.Value.Kind() != datum.Text {
			return nil
		}
		key.escape = escape.Value.Text()
	}
	p, err := compileLike(key)
	if err != nil || !p.anchoredStart || len(p.parts) == 0 {
		return nil
	}
	first := p.parts[0]
	if first.plain && len(p.parts) == 1 && p.anchoredEnd {
		return oneRoute(Route{Column: col.Position, Low: datum.NewText(first.text)})
	}
	n := slices.Index(first.any, true)
	if n < 0 {
		n = len(first.runes)
	}
	return prefixRoute(col, string(first.runes[:n]))
}

func prefixRoute(col *Col, prefix string) [][]Route {
	if prefix == "" {
		return nil
	}
	return oneRoute(Route{Column: col.Position, Kind: RoutePrefix, Prefix: prefix[:min(len(prefix), maxRoutePrefix)]})
}

// listRoutes reads IN: its elements, or the range they lie in when they are
// many.
func listRoutes(e *In) [][]Route {
	col, ok := e.X.(*Col)
	if !ok {
		return nil
	}
	values := make([]datum.Value, 0, len(e.List))
	for _, x := range e.List {
		c, ok := x.(*Const)
		if !ok {
			return nil
		}
		if !c.Value.IsNull() {
			values = append(values, c.Value)
		}
	}
	if len(values) > maxRoutes {
		return oneRoute(Route{Column: col.Position, Kind: RouteRange,
			Low: slices.MinFunc(values, datum.Compare), High: slices.MaxFunc(values, datum.Compare)})
	}
	option := make([]Route, len(values))
	for i, v := range values {
		option[i] = Route{Column: col.Position, Low: v}
	}
	return [][]Route{option}
}

// allRoutes gathers what each of several conditions says that hold together. The
// ranges of a column become one.
func allRoutes(args []Expr, want bool) [][]Route {
	var out [][]Route
	for _, x := range args {
		for _, option := range routeOptions(x, want) {
			if len(option) == 1 && option[0].Kind == RouteRange {
				at := slices.IndexFunc(out, func(o []Route) bool {
					return len(o) == 1 && o[0].Kind == RouteRange && o[0].Column == option[0].Column
				})
				if at >= 0 {
					out[at] = oneRoute(overlap(out[at][0], option[0]))[0]
					continue
				}
			}
			out = append(out, option)
		}
	}
	slices.SortStableFunc(out, func(a, b []Route) int { return cmp.Compare(RouteWeight(a), RouteWeight(b)) })
	return out[:min(len(out), maxRouteOptions)]
}

// overlap returns the values that lie in two ranges.
func overlap(a, b Route) Route {
	if c := datum.Compare(b.Low, a.Low); a.Low.IsNull() || !b.Low.IsNull() && (c > 0 || c == 0 && b.LowOpen) {
		a.Low, a.LowOpen = b.Low, b.LowOpen
	}
	if c := datum.Compare(b.High, a.High); a.High.IsNull() || !b.High.IsNull() && (c < 0 || c == 0 && b.HighOpen) {
		a.High, a.HighOpen = b.High, b.HighOpen
	}
	return a
}

// anyRoutes joins what conditions say of which one holds: for each column that
// all of them speak of one option, and one of the sharpest of each.
func anyRoutes(args []Expr, want bool) [][]Route {
	arms := make([][][]Route, len(args))
	for i, x := range args {
		if arms[i] = routeOptions(x, want); len(arms[i]) == 0 {
			return nil
		}
	}
	var out [][]Route
	add := func(choose func(options [][]Route) []Route) {
		joined := []Route{}
		for _, options := range arms {
			chosen := choose(options)
			if chosen == nil || len(joined)+len(chosen) > maxRoutes {
				return
			}
			joined = append(joined, chosen...)
		}
		out = append(out, joined)
	}
	add(func(options [][]Route) []Route { return slices.MinFunc(options, lighter) })
	for _, option := range arms[0] {
		if column := soleColumn(option); column >= 0 && len(out) < maxRouteOptions && !slices.ContainsFunc(out, func(o []Route) bool { return soleColumn(o) == column }) {
			add(func(options [][]Route) []Route {
				for _, o := range options {
					if len(o) == 0 || soleColumn(o) == column {
						return o
					}
				}
				return nil
			})
		}
	}
	return out
}

func lighter(a, b []Route) int { return cmp.Compare(RouteWeight(a), RouteWeight(b)) }

// soleColumn returns the one column that an option speaks of, or -1.
func soleColumn(option []Route) int {
	if len(option) == 0 || slices.ContainsFunc(option, func(r Route) bool { return r.Column != option[0].Column }) {
		return -1
	}
	return option[0].Column
}
