package exec

import (
	"math/big"
	"strconv"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/sql/exec/internal/duck"
	"kalamdb/internal/sql/plan"
)

// windowing adds the columns of window functions.
func (g *generator) windowing(n *plan.Windowing) (*block, error) {
	b, err := g.node(n.Input)
	if err != nil {
		return nil, err
	}
	in := g.inner(b)
	out := &block{}
	for _, c := range in.b.cols {
		c.term = in.add(c.term)
		out.cols = append(out.cols, c)
	}
	for i := range n.Calls {
		x, err := in.window(&n.Calls[i])
		if err != nil {
			return nil, err
		}
		out.cols = append(out.cols, column{place{n.Rel, i}, x})
	}
	out.from = in.from()
	return g.derive(out), nil
}

// window writes one call.
func (in *inner) window(w *plan.WindowCall) (term, error) {
	over, err := in.over(w)
	if err != nil {
		return term{}, err
	}
	if w.Aggregate != nil {
		return in.aggregate(w.Aggregate, over)
	}
	switch w.Name {
	case "row_number", "rank", "dense_rank":
		return in.g.bring(term{text: w.Name + "()" + over, t: bigintType}, w.T)
	case "percent_rank", "cume_dist":
		return in.g.bring(term{text: w.Name + "()" + over, t: doubleType}, w.T)
	case "ntile":
		x, err := in.number(w.Args[0], "the number of buckets of NTILE", 1)
		if err != nil {
			return x, err
		}
		return in.g.bring(term{text: "CAST(ntile(" + x.text + ")" + over + " AS " + duck.Physical(w.T) + ")", t: w.T}, w.T)
	case "lag", "lead":
		return in.neighbour(w, over)
	case "first_value", "last_value":
		x, err := in.value(w.Args[0])
		x.text = w.Name + "(" + x.text + ")" + over
		return x, err
	case "nth_value":
		x, err := in.value(w.Args[0])
		if err != nil {
			return x, err
		}
		n, err := in.number(w.Args[1], "the second argument of NTH_VALUE", 1)
		x.text = "nth_value(" + x.text + ", " + n.text + ")" + over
		return x, err
	}
	return term{}, fault.New(fault.NotImplemented, "window function %s is not supported yet", strings.ToUpper(w.Name))
}

// number adds a whole number that must not be below least.
func (in *inner) number(e plan.Expr, what string, least int64) (term, error) {
	return in.calledNumber(e, func(v datum.Value) (datum.Value, error) {
		if v.IsNull() {
			return v, nil
		}
		if v.Int() < least {
			return v, fault.New(fault.InvalidValue, "%s must be at least %d, not %d", what, least, v.Int())
		}
		return datum.NewInt(datum.BigInt, v.Int()), nil
	}, what)
}

func (in *inner) calledNumber(e plan.Expr, f func(datum.Value) (datum.Value, error), what string) (term, error) {
	x, err := in.g.calling(in.b, e, bigintType, what+" ", f)
	if err != nil {
		return x, err
	}
	return in.add(x), nil
}

// neighbour is the value of another row of the partition, or a default.
func (in *inner) neighbour(w *plan.WindowCall, over string) (term, error) {
	x, err := in.g.value(in.b, w.Args[0])
	if err != nil {
		return x, err
	}
	args := ""
	if len(w.Args) > 1 {
		n, err := in.g.value(in.b, w.Args[1])
		if err != nil {
			return x, err
		}
		args = ", " + castText(in.add(n), bigintType)
	}
	if len(w.Args) > 2 {
		other, err := in.g.value(in.b, w.Args[2])
		if err != nil {
			return x, err
		}
		if x, err = in.g.bring(x, w.T); err != nil {
			return x, err
		}
		if other, err = in.g.bring(other, w.T); err != nil {
			return x, err
		}
		args += ", " + in.add(other).text
	}
	x = in.add(x)
	x.text = w.Name + "(" + x.text + args + ")" + over
	return x, nil
}

// over writes the window of a call.
func (in *inner) over(w *plan.WindowCall) (string, error) {
	var parts []string
	for i, e := range w.Partition {
		x, err := in.key(e)
		if err != nil {
			return "", err
		}
		parts = append(parts, []string{"PARTITION BY ", ", "}[min(i, 1)]+x.text)
	}
	text := strings.Join(parts, "")
	order, err := in.windowOrder(w)
	if err != nil {
		return "", err
	}
	frame, err := in.frame(w)
	if err != nil {
		return "", err
	}
	return " OVER (" + strings.TrimSpace(text+" "+order+" "+frame) + ")", nil
}

func (in *inner) frame(w *plan.WindowCall) (string, error) {
	f := &w.Frame
	if f.Mode == "" {
		return "", nil
	}
	start, err := in.bound(w, &f.Start, "start")
	if err != nil {
		return "", err
	}
	end, err := in.bound(w, &f.End, "end")
	if err != nil {
		return "", err
	}
	text := strings.ToUpper(f.Mode) + " BETWEEN " + start + " AND " + end
	if f.Exclude != "" {
		text += " EXCLUDE " + strings.ToUpper(f.Exclude)
	}
	return text, nil
}

// bound writes one end of a frame.
func (in *inner) bound(w *plan.WindowCall, e *plan.WindowBound, which string) (string, error) {
	if e.X == nil {
		return strings.ToUpper(e.Kind), nil
	}
	if !plan.Fixed(e.X) {
		return "", fault.New(fault.NotImplemented, "the distance of a frame must be the same for the whole statement")
	}
	v, err := in.g.fixedOf(e.X)
	if err != nil {
		return "", err
	}
	if v.IsNull() || negativeDistance(v) {
		return "", fault.New(fault.InvalidValue, "the distance of the %s of a frame must be neither NULL nor negative", which)
	}
	if w.Frame.Mode == "range" {
		switch t := w.Order[0].X.Type(); {
		case measured(w):
			if v, err = spanOf(t.Kind, v); err != nil {
				return "", err
			}
			x := in.g.param(v)
			return castText(x, spanType) + " " + strings.ToUpper(e.Kind), nil
		case !natural(t):
			return "", fault.New(fault.NotImplemented, "a frame of RANGE with a distance over %s is not supported", t)
		}
	}
	return in.g.param(v).text + " " + strings.ToUpper(e.Kind), nil
}

// spanType holds the length of every TIME and INTERVAL, in microseconds.
var spanType = datum.DecimalType(30, 0)

// measured reports whether a frame counts a distance over TIME or INTERVAL, which
// DuckDB does otherwise than we: it gets their lengths.
func measured(w *plan.WindowCall) bool {
	f := &w.Frame
	if f.Mode != "range" || f.Start.X == nil && f.End.X == nil {
		return false
	}
	kind := w.Order[0].X.Type().Kind
	return kind == datum.Time || kind == datum.Interval
}

// spanOf is the length of a TIME or INTERVAL. Of a distance over TIME only the
// hours and what is below count, and they do not go round the clock.
func spanOf(kind datum.Kind, v datum.Value) (datum.Value, error) {
	if v.Kind() == datum.Time {
		return datum.Cast(datum.NewInt(datum.BigInt, v.Int()), spanType)
	}
	months, days, micros := v.Interval()
	if kind == datum.Time {
		months, days = 0, 0
	}
	length := big.NewInt(int64(months)*30 + int64(days))
	length.Mul(length, big.NewInt(24*60*60*1e6)).Add(length, big.NewInt(micros))
	return datum.NewDecimal(length.String(), spanType.Precision, 0)
}

// windowOrder writes ORDER BY of a window.
func (in *inner) windowOrder(w *plan.WindowCall) (string, error) {
	if !measured(w) {
		return in.order(w.Order)
	}
	o := w.Order[0]
	kind := o.X.Type().Kind
	x, err := in.g.calling(in.b, o.X, spanType, "span ", func(v datum.Value) (datum.Value, error) {
		if v.IsNull() {
			return v, nil
		}
		return spanOf(kind, v)
	})
	if err != nil {
		return "", err
	}
	return "ORDER BY " + in.add(x).text + direction(o), nil
}

func negativeDistance(v datum.Value) bool {
	switch k := v.Kind(); {
	case k == datum.Interval:
		return datum.Compare(v, datum.NewInterval(0, 0, 0)) < 0
	case k.IsNumeric():
		return datum.Compare(v, datum.NewInt(datum.Int, 0)) < 0
	}
	return false
}

// tableCall gives the rows of a function in FROM. With arguments that are known
// it is a scan; else our code gathers the rows for each row around, and DuckDB
// takes them apart.
func (g *generator) tableCall(n *plan.TableCall) (*block, error) {
	types := make([]datum.Type, len(n.Columns))
	for i, c := range n.Columns {
		types[i] = c.Type
	}
	alias := "t" + strconv.Itoa(n.Rel)
	b := &block{}
	fixed := true
	for _, x := range n.Args {
		fixed = fixed && plan.Fixed(x)
	}
	if !fixed {
		return b, g.lateralCall(n, types, b, alias)
	}
	args := make([]datum.Value, len(n.Args))
	for i, x := range n.Args {
		v, err := g.fixedOf(x)
		if err != nil {
			return nil, err
		}
		args[i] = v
	}
	for i, t := range types {
		b.cols = append(b.cols, column{place{n.Rel, i}, term{text: alias + ".c" + strconv.Itoa(i), t: t, plain: true}})
	}
	b.from = g.addScan(duck.Scan{Types: types, Positions: upTo(len(types)), Open: openSeries(n.Fn, args, types)}, nil) + " AS " + alias
	return b, nil
}

// lateralCall writes a call whose arguments come from rows around it.
func (g *generator) lateralCall(n *plan.TableCall, types []datum.Type, b *block, alias string) error {
	text := datum.Type{Kind: datum.Text}
	gathered, err := g.callingAll(nil, n.Args, text, "rows of "+n.Fn.Signature()+" "+strconv.Itoa(len(types)), func(args []datum.Value) (datum.Value, error) {
		return gatherSeries(n.Fn, args, types)
	})
	if err != nil {
		return err
	}
	b.from = "(SELECT unnest(string_split(" + gathered.text + ", '" + gatherMark + "')) AS r) AS " + alias
	for i, t := range types {
		x := g.callOn(term{text: alias + ".r", t: text}, t, "column "+strconv.Itoa(i), func(v datum.Value) (datum.Value, error) {
			row, err := rowOf(v.Text())
			if err != nil || i >= len(row) {
				return datum.Value{}, err
			}
			return row[i], nil
		})
		b.cols = append(b.cols, column{place{n.Rel, i}, x})
	}
	return nil
}
