package exec

import (
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/sql/exec/internal/duck"
	"kalamdb/internal/sql/plan"
)

var doubleType = datum.Type{Kind: datum.Double}

// aggregating writes one aggregate.
type aggregating struct {
	*inner
	a *plan.Aggregate
	// after stands behind each aggregate: FILTER, and OVER for a window.
	after string
	raw   term // the argument
	x     term // the column that holds it
}

// aggregate writes an aggregate over the columns of in; over is the window, or
// "".
func (in *inner) aggregate(a *plan.Aggregate, over string) (term, error) {
	w := &aggregating{inner: in, a: a}
	argument := a.X
	if a.Filter != nil {
		f, err := in.truth(a.Filter)
		if err != nil {
			return term{}, err
		}
		w.after = " FILTER (WHERE " + f.text + ")"
		if argument != nil && in.g.fails(argument) {
			// Rows that the filter leaves out are not looked at.
			argument = &plan.Case{Whens: []plan.When{{If: a.Filter, Then: argument}}, T: argument.Type()}
		}
	}
	w.after += over
	if argument != nil {
		x, ok, err := in.g.operand(in.b, argument)
		if err != nil {
			return term{}, err
		}
		if !ok && a.Op == plan.Count && !a.Distinct {
			x, err = in.g.call(in.b, argument) // its digits do not count
			ok = err == nil
		}
		if !ok {
			if err != nil {
				return term{}, err
			}
			return w.gathered(argument)
		}
		w.raw, w.x = x, in.add(x)
	}
	return w.write(argument)
}

// plainAggregates are those that DuckDB computes as we want them, over numbers
// as DOUBLE.
var plainAggregates = map[plan.AggregateOp]string{
	plan.StddevSamp: "stddev_samp", plan.StddevPop: "stddev_pop", plan.VarSamp: "var_samp", plan.VarPop: "var_pop",
	plan.Corr: "corr", plan.CovarPop: "covar_pop", plan.CovarSamp: "covar_samp",
	plan.RegrAvgX: "regr_avgx", plan.RegrAvgY: "regr_avgy", plan.RegrCount: "regr_count", plan.RegrIntercept: "regr_intercept",
	plan.RegrR2: "regr_r2", plan.RegrSlope: "regr_slope", plan.RegrSXX: "regr_sxx", plan.RegrSXY: "regr_sxy", plan.RegrSYY: "regr_syy",
}

func (w *aggregating) write(argument plan.Expr) (term, error) {
	a := w.a
	switch a.Op {
	case plan.CountRows:
		return term{text: "count(*)" + w.after, t: bigintType}, nil
	case plan.Count:
		return term{text: "count(" + w.distinct() + w.keyed().text + ")" + w.after, t: bigintType}, nil
	case plan.Sum:
		return w.sum(argument)
	case plan.Avg:
		return w.average(argument)
	case plan.Min, plan.Max:
		return w.extreme(), nil
	case plan.BoolAnd, plan.BoolOr:
		return w.simple(a.Op.String(), w.x.t), nil
	case plan.AnyValue:
		return w.simple("any_value", w.x.t), nil
	case plan.BitAnd, plan.BitOr, plan.BitXor:
		if w.x.t.Kind.IsInteger() {
			return w.simple(a.Op.String(), w.x.t), nil
		}
	case plan.ApproxCountDistinct:
		return term{text: "approx_count_distinct(" + w.keyed().text + ")" + w.after, t: bigintType}, nil
	}
	if name := plainAggregates[a.Op]; name != "" {
		if a.Type.Kind == datum.Decimal {
			return w.spread(argument)
		}
		return w.statistic(name)
	}
	if gathers(a.Op) {
		return w.gathered(argument)
	}
	return term{}, fault.New(fault.NotImplemented, "the aggregate %s is not supported yet", strings.ToUpper(a.Op.String()))
}

func (w *aggregating) distinct() string {
	if w.a.Distinct {
		return "DISTINCT "
	}
	return ""
}

// keyed is the argument as it is compared.
func (w *aggregating) keyed() term {
	if w.x.natural() {
		return w.x
	}
	return w.add(w.g.keyOf(w.raw))
}

func (w *aggregating) simple(name string, t datum.Type) term {
	return term{text: name + "(" + w.distinct() + w.x.text + ")" + w.after, t: t}
}

// sum adds up. A sum of BIGINT is taken in 128 bits and refused by us; a float
// one is refused when only the sum is infinite.
func (w *aggregating) sum(argument plan.Expr) (term, error) {
	switch {
	case w.x.t.Kind == datum.BigInt:
		return w.g.callOn(w.wideSum(), bigintType, "sum", func(v datum.Value) (datum.Value, error) {
			if v.IsNull() {
				return v, nil
			}
			n, err := datum.Cast(v, bigintType)
			if err != nil {
				return n, sumOutOfRange()
			}
			return n, nil
		}), nil
	case w.x.t.Kind.IsInteger():
		return term{text: "CAST(" + w.simple("sum", bigintType).text + " AS BIGINT)", t: bigintType}, nil
	case isFloat(w.x.t.Kind):
		return w.floatSum(false), nil
	case w.x.t.Kind == datum.Decimal && w.x.t.Precision > 0:
		return w.simple("sum", datum.DecimalType(datum.MaxPrecision, w.x.t.Scale)), nil
	}
	return w.gathered(argument)
}

// wideSum is the sum of integers as a decimal of 38 digits.
func (w *aggregating) wideSum() term {
	t := datum.DecimalType(datum.MaxPrecision, 0)
	return term{text: "CAST(" + w.simple("sum", t).text + " AS " + duck.Physical(t) + ")", t: t}
}

// floatSum is the sum, or the mean, of floats.
func (w *aggregating) floatSum(mean bool) term {
	x := "CAST(" + w.x.text + " AS DOUBLE)"
	args := []term{
		{text: "sum(" + w.distinct() + x + ")" + w.after, t: doubleType},
		{text: "count(" + w.distinct() + w.x.text + ")" + w.after, t: bigintType},
		{text: "bool_or(isinf(" + x + "))" + w.after, t: boolType},
	}
	build := func() func([]datum.Value) (datum.Value, error) {
		return func(row []datum.Value) (datum.Value, error) {
			if row[0].IsNull() {
				return row[0], nil
			}
			s := state{f: row[0].Float(), infinite: row[2].Bool()}
			if mean {
				s.f /= float64(row[1].Int())
			}
			return s.double(s.f)
		}
	}
	return w.g.calls(doubleType, args, false, map[bool]string{false: "sum", true: "mean"}[mean], build)
}

// average divides by our own division.
func (w *aggregating) average(argument plan.Expr) (term, error) {
	count := term{text: "count(" + w.distinct() + w.x.text + ")" + w.after, t: bigintType}
	var total term
	kind := w.x.t.Kind
	switch {
	case kind.IsInteger():
		total = w.wideSum()
	case isFloat(kind):
		return w.floatSum(true), nil
	case kind == datum.Decimal && w.x.t.Precision > 0:
		total = w.simple("sum", datum.DecimalType(datum.MaxPrecision, w.x.t.Scale))
	default:
		return w.gathered(argument)
	}
	to := w.a.Type
	build := func() func([]datum.Value) (datum.Value, error) {
		return func(row []datum.Value) (datum.Value, error) {
			if row[0].IsNull() {
				return row[0], nil
			}
			if kind.IsInteger() {
				sum, err := datum.Cast(row[0], doubleType)
				return datum.NewDouble(sum.Float() / float64(row[1].Int())), err
			}
			v, err := datum.Div(row[0], row[1])
			if err != nil {
				return v, err
			}
			return asColumn(v, to)
		}
	}
	return w.g.calls(to, []term{total, count}, false, "mean", build), nil
}

// extreme is the least or the greatest value.
func (w *aggregating) extreme() term {
	name := w.a.Op.String()
	if w.x.natural() {
		return term{text: name + "(" + w.x.text + ")" + w.after, t: w.x.t}
	}
	return term{text: "arg_" + name + "(" + w.x.text + ", " + w.keyed().text + ")" + w.after, t: w.x.t}
}

// statistic is an aggregate over one or two numbers as DOUBLE.
func (w *aggregating) statistic(name string) (term, error) {
	args := []string{}
	for _, e := range append([]plan.Expr{w.a.X}, w.a.Args...) {
		x, err := w.g.value(w.b, e)
		if err != nil {
			return x, err
		}
		if x, err = w.g.bring(x, doubleType); err != nil {
			return x, err
		}
		args = append(args, w.add(x).text)
	}
	to := doubleType
	text := name + "(" + w.distinct() + strings.Join(args, ", ") + ")" + w.after
	if w.a.Op == plan.RegrCount {
		to, text = bigintType, "CAST("+text+" AS BIGINT)"
	}
	return w.g.bring(term{text: text, t: to}, w.a.Type)
}

func sumOutOfRange() error {
	return fault.New(fault.OutOfRange, "the sum is out of range for BIGINT; SUM(CAST(… AS DECIMAL)) takes more")
}
