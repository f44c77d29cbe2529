package exec

import (
	"encoding/base64"
	"math"
	"slices"
	"strconv"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/sql/plan"
)

// What DuckDB cannot aggregate as we do is gathered: it joins the rows of a
// group to one text, in the order that is asked for, and our code takes that
// apart and computes the value.

// gatherMark stands between the rows of a gathered text.
const gatherMark = " "

// gathers reports whether an aggregate is always gathered.
func gathers(op plan.AggregateOp) bool {
	switch op {
	case plan.StringAgg, plan.JSONAgg, plan.JSONObjectAgg, plan.ArrayAgg, plan.PercentileCont, plan.PercentileDisc, plan.Mode, plan.BitAnd, plan.BitOr, plan.BitXor:
		return true
	}
	return false
}

// keepsNull reports whether an aggregate takes rows whose first argument is NULL.
func keepsNull(op plan.AggregateOp) bool {
	return op == plan.JSONAgg || op == plan.JSONObjectAgg || op == plan.ArrayAgg
}

// ordersItself reports whether ORDER BY names the values and not a sequence.
func ordersItself(op plan.AggregateOp) bool {
	return op == plan.PercentileCont || op == plan.PercentileDisc || op == plan.Mode
}

// gathered writes an aggregate that our code computes.
func (w *aggregating) gathered(argument plan.Expr) (term, error) {
	a := w.a
	var list []plan.Expr
	if argument != nil {
		list = append(list, argument)
	}
	list = append(list, a.Args...)
	order := a.Order
	if ordersItself(a.Op) {
		list = append([]plan.Expr{a.Order[0].X}, list...)
		order = nil
	}
	row, err := w.g.encoded(w.b, list, keepsNull(a.Op))
	if err != nil {
		return term{}, err
	}
	sorted, err := w.order(order)
	if err != nil {
		return term{}, err
	}
	text := "string_agg(" + w.add(row).text + ", '" + gatherMark + "' " + sorted + ")" + w.after
	fold := folding{a: *a, env: w.g.env}
	return w.g.callOn(term{text: text, t: datum.Type{Kind: datum.Text}}, a.Type, "gather "+a.String()+foldKey(a), fold.value), nil
}

// foldKey tells apart what the text of an aggregate leaves out.
func foldKey(a *plan.Aggregate) string {
	key := ""
	for _, x := range a.Args {
		key += " " + x.String()
	}
	for _, o := range a.Order {
		key += " " + o.String()
	}
	return key
}

// encoded writes the values of a row as one text, NULL for a row that is not
// taken.
func (g *generator) encoded(b *block, list []plan.Expr, nulls bool) (term, error) {
	return g.callingAll(b, list, datum.Type{Kind: datum.Text}, "row "+strconv.FormatBool(nulls), func(values []datum.Value) (datum.Value, error) {
		if !nulls && values[0].IsNull() {
			return datum.Value{}, nil
		}
		var bytes []byte
		for _, v := range values {
			bytes = datum.AppendValue(bytes, v)
		}
		return datum.NewText(base64.RawStdEncoding.EncodeToString(bytes)), nil
	})
}

// folding computes an aggregate of gathered rows.
type folding struct {
	a   plan.Aggregate
	env *Env
}

func (f *folding) value(v datum.Value) (datum.Value, error) {
	var rows [][]datum.Value
	if !v.IsNull() {
		for text := range strings.SplitSeq(v.Text(), gatherMark) {
			row, err := rowOf(text)
			if err != nil {
				return v, err
			}
			rows = append(rows, row)
		}
	}
	if f.a.Distinct {
		rows = distinctRows(rows)
	}
	if len(rows) == 0 {
		if f.a.Op == plan.Count {
			return datum.NewInt(datum.BigInt, 0), nil
		}
		return datum.Value{}, nil
	}
	out, err := f.fold(rows)
	if err != nil {
		return out, err
	}
	if out.Size() > plan.MaxBuilt {
		return datum.Value{}, fault.New(fault.LimitExceeded, "%s built more than %d bytes", strings.ToUpper(f.a.Op.String()), plan.MaxBuilt)
	}
	return asColumn(out, f.a.Type)
}

func rowOf(text string) ([]datum.Value, error) {
	bytes, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	var row []datum.Value
	for rest := string(bytes); rest != ""; {
		var v datum.Value
		if v, rest, err = datum.DecodeValueString(rest); err != nil {
			return nil, err
		}
		row = append(row, v)
	}
	return row, nil
}

// distinctRows keeps the first of rows with an equal first value.
func distinctRows(rows [][]datum.Value) [][]datum.Value {
	seen := map[string]bool{}
	return slices.DeleteFunc(rows, func(row []datum.Value) bool {
		key := string(datum.AppendHash(nil, row[0]))
		known := seen[key]
		seen[key] = true
		return known
	})
}

func (f *folding) fold(rows [][]datum.Value) (datum.Value, error) {
	switch f.a.Op {
	case plan.StringAgg:
		return joinTexts(rows), nil
	case plan.JSONAgg:
		return f.json("json_build_array", rows)
	case plan.JSONObjectAgg:
		return f.json("json_build_object", rows)
	case plan.ArrayAgg:
		return arrayOf(f.a.Type.Elem, rows), nil
	case plan.PercentileCont, plan.PercentileDisc, plan.Mode:
		return f.ordered(rows)
	case plan.BitAnd, plan.BitOr, plan.BitXor:
		return foldBits(f.a.Op, rows), nil
	case plan.StddevSamp, plan.StddevPop, plan.VarSamp, plan.VarPop:
		return momentsOf(rows).spread(f.a.Op)
	}
	one := aggregate{op: f.a.Op, kind: rows[0][0].Kind(), to: f.a.Type}
	row := func(row []datum.Value, _ *Env) (datum.Value, error) { return row[0], nil }
	one.x = row
	var s state
	b := &budget{max: math.MaxInt64}
	for _, r := range rows {
		if err := one.add(&s, r, nil, b); err != nil {
			return datum.Value{}, err
		}
	}
	return one.result(&s)
}

// arrayOf gathers the first values of rows.
func arrayOf(element datum.Kind, rows [][]datum.Value) datum.Value {
	items := make([]datum.Value, len(rows))
	for i, row := range rows {
		items[i] = row[0]
	}
	return datum.NewArray(element, items)
}

// joinTexts puts each row's separator before it, but for the first.
func joinTexts(rows [][]datum.Value) datum.Value {
	var s strings.Builder
	for i, row := range rows {
		if i > 0 && len(row) > 1 {
			s.WriteString(row[1].Text())
		}
		s.WriteString(row[0].Text())
	}
	return datum.NewText(s.String())
}

func foldBits(op plan.AggregateOp, rows [][]datum.Value) datum.Value {
	n := rows[0][0].Int()
	for _, row := range rows[1:] {
		switch m := row[0].Int(); op {
		case plan.BitAnd:
			n &= m
		case plan.BitOr:
			n |= m
		default:
			n ^= m
		}
	}
	return datum.NewInt(rows[0][0].Kind(), n)
}

// json lets a function of the catalogue build the document.
func (f *folding) json(name string, rows [][]datum.Value) (datum.Value, error) {
	var values []datum.Value
	for _, row := range rows {
		if name == "json_build_object" && row[0].IsNull() {
			return datum.Value{}, fault.New(fault.InvalidValue, "a key of a JSON object cannot be NULL")
		}
		values = append(values, row...)
	}
	for _, fn := range plan.Functions() {
		if fn.Name == name {
			return fn.Invoke(f.env, values)
		}
	}
	return datum.Value{}, fault.New(fault.Internal, "the catalogue has no %s", name)
}

// ordered computes the aggregates WITHIN GROUP. The rows hold the value first,
// then the fraction.
func (f *folding) ordered(rows [][]datum.Value) (datum.Value, error) {
	o := f.a.Order[0]
	slices.SortStableFunc(rows, func(a, b []datum.Value) int {
		if o.Desc {
			return datum.Compare(b[0], a[0])
		}
		return datum.Compare(a[0], b[0])
	})
	if f.a.Op == plan.Mode {
		return mode(rows), nil
	}
	if rows[0][1].IsNull() {
		return datum.Value{}, nil
	}
	fraction, err := datum.Cast(rows[0][1], doubleType)
	if err != nil {
		return fraction, err
	}
	p := fraction.Float()
	if !(p >= 0 && p <= 1) {
		return datum.Value{}, fault.New(fault.OutOfRange, "a percentile is a fraction from 0 to 1, not %s", rows[0][1])
	}
	if f.a.Op == plan.PercentileDisc {
		return rows[max(int(math.Ceil(p*float64(len(rows))))-1, 0)][0], nil
	}
	return between(rows, p)
}

// between interpolates between the two values around a fraction of the rows.
func between(rows [][]datum.Value, p float64) (datum.Value, error) {
	at := p * float64(len(rows)-1)
	low := int(math.Floor(at))
	a := rows[low][0]
	if float64(low) == at {
		return a, nil
	}
	b := rows[low+1][0]
	if a.Kind() == datum.Interval {
		gap, err := datum.Sub(b, a)
		if err != nil {
			return gap, err
		}
		part, err := datum.Mul(gap, datum.NewDouble(at-float64(low)))
		if err != nil {
			return part, err
		}
		return datum.Add(a, part)
	}
	x, err := datum.Cast(a, doubleType)
	if err != nil {
		return x, err
	}
	y, err := datum.Cast(b, doubleType)
	return datum.NewDouble(x.Float() + (y.Float()-x.Float())*(at-float64(low))), err
}

// mode is the value that most of the sorted rows have, the first of several.
func mode(rows [][]datum.Value) datum.Value {
	best, most := rows[0][0], 0
	for i := 0; i < len(rows); {
		j := i
		for j < len(rows) && datum.Equal(rows[i][0], rows[j][0]) {
			j++
		}
		if j-i > most {
			best, most = rows[i][0], j-i
		}
		i = j
	}
	return best
}
