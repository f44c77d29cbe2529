package exec

import (
	"math/big"
	"strconv"

	"kalamdb/internal/datum"
	"kalamdb/internal/sql/plan"
)

// The spread of exact numbers is computed from exact sums: DuckDB adds up the
// numbers and their squares, our code divides.

// exactDigits is up to how many digits a number has a square that DuckDB
// computes.
const exactDigits = 18

// squareSplit parts a square so that its halves can be added up: 10 to the 19.
const squareSplit = "10000000000000000000"

// spread writes a variance or a standard deviation that is a DECIMAL.
func (w *aggregating) spread(argument plan.Expr) (term, error) {
	t := w.x.t
	exact := t.Kind.IsInteger() || t.Kind == datum.Decimal && t.Precision > 0 && t.Precision <= exactDigits
	if w.a.Distinct || !exact {
		// x and -x are two numbers with one square.
		return w.gathered(argument)
	}
	whole := "CAST(" + w.x.text + " AS HUGEINT)"
	if t.Kind == datum.Decimal && t.Scale > 0 {
		// DuckDB multiplies decimals of more than 18 digits in 128 bits.
		wide := castText(w.x, datum.DecimalType(datum.MaxPrecision-exactDigits, t.Scale))
		whole = "CAST(" + wide + " * CAST(" + powerOfTen(int(t.Scale)).String() + " AS DECIMAL(" + strconv.Itoa(int(t.Scale)+1) + ",0)) AS HUGEINT)"
	}
	total := func(text string) term {
		t := datum.DecimalType(datum.MaxPrecision, 0)
		return term{text: "CAST(sum(" + text + ")" + w.after + " AS DECIMAL(38,0))", t: t}
	}
	square := "(" + whole + " * " + whole + ")"
	args := []term{
		{text: "count(" + w.x.text + ")" + w.after, t: bigintType},
		total(whole),
		total(square + " // " + squareSplit),
		total(square + " % " + squareSplit),
	}
	op, scale := w.a.Op, int(t.Scale)
	if t.Kind != datum.Decimal {
		scale = 0
	}
	build := func() func([]datum.Value) (datum.Value, error) {
		return func(row []datum.Value) (datum.Value, error) {
			if row[0].Int() == 0 {
				return datum.Value{}, nil
			}
			squares := unscaled(row[2])
			squares.Mul(squares, powerOfTen(len(squareSplit)-1))
			squares.Add(squares, unscaled(row[3]))
			m := moments{n: row[0].Int(), scale: scale, sum: unscaled(row[1]), squares: squares}
			return m.spread(op)
		}
	}
	return w.g.calls(w.a.Type, args, false, op.String()+" "+strconv.Itoa(scale), build), nil
}

func powerOfTen(n int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
}

// unscaled is the coefficient of a number that is no float.
func unscaled(v datum.Value) *big.Int {
	if v.Kind() != datum.Decimal {
		return big.NewInt(v.Int())
	}
	high, low := v.Decimal128()
	n := new(big.Int).Lsh(big.NewInt(high), 64)
	return n.Add(n, new(big.Int).SetUint64(low))
}

// moments are the exact sums of n numbers of a scale, and of their squares, which
// have twice the scale.
type moments struct {
	n            int64
	scale        int
	sum, squares *big.Int
}

// momentsOf adds up the first values of rows.
func momentsOf(rows [][]datum.Value) moments {
	m := moments{n: int64(len(rows)), sum: new(big.Int), squares: new(big.Int)}
	for _, row := range rows {
		if row[0].Kind() == datum.Decimal {
			m.scale = max(m.scale, int(row[0].Scale()))
		}
	}
	for _, row := range rows {
		x := unscaled(row[0])
		have := 0
		if row[0].Kind() == datum.Decimal {
			have = int(row[0].Scale())
		}
		x.Mul(x, powerOfTen(m.scale-have))
		m.sum.Add(m.sum, x)
		m.squares.Add(m.squares, x.Mul(x, x))
	}
	return m
}

// spread computes one of the four aggregates, with as many digits as PostgreSQL
// gives.
func (m moments) spread(op plan.AggregateOp) (datum.Value, error) {
	sample := op == plan.StddevSamp || op == plan.VarSamp
	if sample && m.n < 2 {
		return datum.Value{}, nil
	}
	n := big.NewInt(m.n)
	above := new(big.Int).Mul(n, m.squares)
	above.Sub(above, new(big.Int).Mul(m.sum, m.sum))
	if above.Sign() <= 0 {
		return datum.ParseDecimal("0")
	}
	below := new(big.Int).Mul(n, n)
	if sample {
		below.Sub(below, n)
	}
	digits := quotientScale(above, 2*m.scale, below)
	// Half a unit more, so that the division below rounds.
	shift := digits - 2*m.scale
	above.Mul(above, powerOfTen(shift))
	above.Lsh(above, 1).Add(above, below)
	out := above.Quo(above, below.Lsh(below, 1))
	if op == plan.StddevSamp || op == plan.StddevPop {
		out.Mul(out, powerOfTen(digits+2))
		out.Sqrt(out)
		out.Add(out, big.NewInt(5)).Quo(out, big.NewInt(10))
	}
	return datum.ParseDecimal(new(big.Rat).SetFrac(out, powerOfTen(digits)).FloatString(digits))
}

// quotientScale is how many fraction digits PostgreSQL gives a quotient: 16
// significant ones at least, counted in steps of four. a has a scale, b none.
func quotientScale(a *big.Int, scale int, b *big.Int) int {
	weightA, firstA := leading(a, scale)
	weightB, firstB := leading(b, 0)
	weight := weightA - weightB
	if firstA <= firstB {
		weight--
	}
	return max(16-4*weight, scale, 0)
}

// leading returns the place of the first digit of a positive number to the base
// of 10000, and the digit.
func leading(n *big.Int, scale int) (weight int, digit int64) {
	top := len(n.String()) - 1 - scale
	if weight = top / 4; top < 0 && top%4 != 0 {
		weight--
	}
	if down := weight*4 + scale; down >= 0 {
		return weight, new(big.Int).Quo(n, powerOfTen(down)).Int64()
	}
	return weight, new(big.Int).Mul(n, powerOfTen(-weight*4-scale)).Int64()
}
