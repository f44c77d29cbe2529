package plan

import (
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// showRoutes prints a filter and a line for each of its options.
func showRoutes(t *schema.Table, text string) string {
	e, err := parse.ParseExpr(text)
	if err != nil {
		return show(err)
	}
	x, err := BindFilter(e, t)
	if err != nil {
		return show(err)
	}
	out := x.String() + "\n"
	for _, option := range Routes(x) {
		parts := make([]string, len(option))
		for i := range option {
			parts[i] = showRoute(t, &option[i])
		}
		if len(option) == 0 {
			parts = []string{"never"}
		}
		out += "  " + strings.Join(parts, " | ") + "\n"
	}
	return out
}

func showRoute(t *schema.Table, r *Route) string {
	name := t.Columns[r.Column].Name
	switch r.Kind {
	case RouteEqual:
		return name + "=" + r.Low.String()
	case RoutePrefix:
		return name + "^" + r.Prefix
	case RouteNull:
		return name + " null"
	}
	low, high := "(", ")"
	if !r.LowOpen && !r.Low.IsNull() {
		low = "["
	}
	if !r.HighOpen && !r.High.IsNull() {
		high = "]"
	}
	end := func(v datum.Value) string {
		if v.IsNull() {
			return ""
		}
		return v.String()
	}
	return name + low + end(r.Low) + "," + end(r.High) + high
}
