package plan

import (
	"math"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// comparison makes an operator over two comparable values.
func comparison(name string, code Code, holds func(order int) bool, doc string) Function {
	return Function{
		Name: name, Operator: true, Code: code, Doc: doc, args: []pattern{anyArg, anyArg}, result: boolType,
		call2: func(_ *Env, a, b value) (value, error) { return datum.NewBool(holds(datum.Compare(a, b))), nil },
	}
}

func comparisonOperators() []Function {
	return []Function{
		comparison("=", Eq, func(o int) bool { return o == 0 }, "Equal. Numbers of all types are compared exactly, text byte by byte, DATE with TIMESTAMP and DATETIME as moments."),
		comparison("<>", Ne, func(o int) bool { return o != 0 }, "Not equal; also written !=."),
		comparison("<", Lt, func(o int) bool { return o < 0 }, "Less than."),
		comparison("<=", Le, func(o int) bool { return o <= 0 }, "Less than or equal."),
		comparison(">", Gt, func(o int) bool { return o > 0 }, "Greater than."),
		comparison(">=", Ge, func(o int) bool { return o >= 0 }, "Greater than or equal."),
		{
			Name: "is distinct from", Operator: true, Doc: "Not equal, where NULL is a value like others.", NullOK: true,
			args: []pattern{anyArg, anyArg}, result: boolType,
			call2: func(_ *Env, a, b value) (value, error) { return datum.NewBool(datum.Compare(a, b) != 0), nil },
		},
		{
			Name: "is not distinct from", Operator: true, Doc: "Equal, where NULL is a value like others.", NullOK: true,
			args: []pattern{anyArg, anyArg}, result: boolType,
			call2: func(_ *Env, a, b value) (value, error) { return datum.NewBool(datum.Compare(a, b) == 0), nil },
		},
	}
}

// comparisonFunctions are those that choose among their arguments.
func comparisonFunctions() []Function {
	same := []pattern{sameArg}
	return []Function{
		{Name: "coalesce", Aliases: []string{"nvl", "ifnull"}, Form: FormSpecial, Doc: "The first argument that is not NULL; later ones are not evaluated.", NullOK: true, args: same, variadic: true, shows: "same"},
		{Name: "nullif", Form: FormSpecial, Doc: "NULL if both arguments are equal, else the first.", NullOK: true, args: []pattern{sameArg, sameArg}, shows: "the first",
			typed: typeOfFirst,
			call2: func(_ *Env, a, b value) (value, error) {
				if !a.IsNull() && !b.IsNull() && datum.Equal(a, b) {
					return value{}, nil
				}
				return a, nil
			}},
		{Name: "greatest", Doc: "The greatest argument that is not NULL.", NullOK: true, args: same, variadic: true, typed: typeOfFirst, shows: "same", calls: extreme(1)},
		{Name: "least", Doc: "The least argument that is not NULL.", NullOK: true, args: same, variadic: true, typed: typeOfFirst, shows: "same", calls: extreme(-1)},
	}
}

func typeOfFirst(args []Expr) datum.Type { return args[0].Type() }

func extreme(sign int) func(*Env, []value) (value, error) {
	return func(_ *Env, args []value) (value, error) {
		var best value
		for _, v := range args {
			if !v.IsNull() && (best.IsNull() || datum.Compare(v, best)*sign > 0) {
				best = v
			}
		}
		return best, nil
	}
}

// pure2 drops the Env of a function of two values.
func pure2(f func(a, b value) (value, error)) func(*Env, value, value) (value, error) {
	return func(_ *Env, a, b value) (value, error) { return f(a, b) }
}

// pure1 drops the Env of a function of one value.
func pure1(f func(value) (value, error)) func(*Env, value) (value, error) {
	return func(_ *Env, a value) (value, error) { return f(a) }
}

// infix makes an operator of fixed result type.
func infix(name string, left, right pattern, result datum.Type, f func(a, b value) (value, error), doc string) Function {
	return Function{Name: name, Operator: true, Doc: doc, args: []pattern{left, right}, result: result, call2: pure2(f)}
}

// numeric makes an operator over numbers, whose result follows its operands.
func numeric(name string, f func(a, b value) (value, error), typed func([]Expr) datum.Type, doc string) Function {
	return Function{Name: name, Operator: true, Doc: doc, args: []pattern{numberArg, numberArg}, typed: typed, shows: "number", call2: pure2(f)}
}

func arithmeticOperators() []Function {
	const widened = "Integers give the wider of their types, an integer and a DECIMAL a DECIMAL, anything with FLOAT or DOUBLE a DOUBLE."
	return []Function{
		numeric("+", datum.Add, sumType, "Sum. "+widened+" Overflow is OUT_OF_RANGE."),
		infix("+", timestampArg, intervalArg, timestampType, datum.Add, "Moves a moment."),
		infix("+", datetimeArg, intervalArg, datetimeType, datum.Add, "Moves a moment."),
		infix("+", timeArg, intervalArg, timeType, datum.Add, "Moves a time of day, round the clock."),
		infix("+", dateArg, intArg, dateType, addDays, "Moves a date by days."),
		infix("+", dateArg, timeArg, timestampType, datum.Add, "Joins a date and a time."),
		infix("+", intervalArg, intervalArg, intervalType, datum.Add, "Sum of intervals."),
		infix("+", intervalArg, timestampArg, timestampType, datum.Add, "Moves a moment."),
		infix("+", intervalArg, datetimeArg, datetimeType, datum.Add, "Moves a moment."),
		infix("+", intervalArg, timeArg, timeType, datum.Add, "Moves a time of day, round the clock."),
		infix("+", intArg, dateArg, dateType, func(a, b value) (value, error) { return addDays(b, a) }, "Moves a date by days."),

		numeric("-", datum.Sub, sumType, "Difference."),
		infix("-", dateArg, intArg, dateType, subDays, "Moves a date back by days."),
		infix("-", dateArg, dateArg, intType, datum.Sub, "Days between two dates."),
		infix("-", timestampArg, timestampArg, intervalType, datum.Sub, "Time between two moments."),
		infix("-", datetimeArg, datetimeArg, intervalType, datum.Sub, "Time between two moments."),
		infix("-", timeArg, timeArg, intervalType, datum.Sub, "Time between two times of day."),
		infix("-", timestampArg, intervalArg, timestampType, datum.Sub, "Moves a moment back."),
		infix("-", datetimeArg, intervalArg, datetimeType, datum.Sub, "Moves a moment back."),
		infix("-", timeArg, intervalArg, timeType, datum.Sub, "Moves a time of day back, round the clock."),
		infix("-", intervalArg, intervalArg, intervalType, datum.Sub, "Difference of intervals."),
		unary("-", numberArg, datum.Neg, "The negative number."),
		unary("-", intervalArg, datum.Neg, "The negative interval."),
		unary("+", numberArg, func(v value) (value, error) { return v, nil }, "The number itself."),

		numeric("*", datum.Mul, productType, "Product."),
		infix("*", intervalArg, doubleArg, intervalType, datum.Mul, "Multiplies an interval."),
		infix("*", doubleArg, intervalArg, intervalType, datum.Mul, "Multiplies an interval."),
		numeric("/", datum.Div, quotientType, "Quotient. Integers are cut towards zero; division by zero is DIVISION_BY_ZERO."),
		infix("/", intervalArg, doubleArg, intervalType, datum.Div, "Divides an interval."),
		numeric("%", remainder, sumType, "Rest of a division, with the sign of the dividend."),
		infix("^", doubleArg, doubleArg, doubleType, power, "Power."),
	}
}

func unary(name string, arg pattern, f func(value) (value, error), doc string) Function {
	return Function{Name: name, Operator: true, Doc: doc, args: []pattern{arg}, typed: typeOfFirst, shows: "same", call1: pure1(f)}
}

// sumType is the type of a sum, a difference or a rest.
func sumType(args []Expr) datum.Type {
	return numericResult(args[0].Type(), args[1].Type(), func(a, b uint8) uint8 { return max(a, b) })
}

func productType(args []Expr) datum.Type {
	return numericResult(args[0].Type(), args[1].Type(), func(a, b uint8) uint8 { return min(a+b, datum.MaxPrecision) })
}

// divisionScale is how many fraction digits a quotient of decimals shows.
const divisionScale = 16

func quotientType(args []Expr) datum.Type {
	return numericResult(args[0].Type(), args[1].Type(), func(a, b uint8) uint8 { return max(a, b, divisionScale) })
}

// numericResult is the type arithmetic gives; scale is asked when it is DECIMAL.
func numericResult(a, b datum.Type, scale func(a, b uint8) uint8) datum.Type {
	switch {
	case a.Kind.IsInteger() && b.Kind.IsInteger():
		return datum.Type{Kind: max(a.Kind, b.Kind)}
	case isFloat(a.Kind) || isFloat(b.Kind):
		return doubleType
	case unbounded(a) || unbounded(b):
		return datum.Type{Kind: datum.Decimal}
	}
	return datum.DecimalType(datum.MaxPrecision, scale(a.Scale, b.Scale))
}

// unbounded reports whether a type is a DECIMAL whose values have each their own
// scale.
func unbounded(t datum.Type) bool { return t.Kind == datum.Decimal && t.Precision == 0 }

func isFloat(k datum.Kind) bool { return k == datum.Float || k == datum.Double }

// addDays moves a date; the number of days may be of any integer type.
func addDays(date, days value) (value, error) { return moveDate(date, days, datum.Add) }

func subDays(date, days value) (value, error) { return moveDate(date, days, datum.Sub) }

func moveDate(date, days value, move func(a, b value) (value, error)) (value, error) {
	if n := days.Int(); n != int64(int32(n)) {
		return value{}, fault.New(fault.OutOfRange, "%d days are out of range for DATE", n)
	}
	return move(date, datum.NewInt(datum.Int, days.Int()))
}

// remainder is Mod for every number, floats included.
func remainder(a, b value) (value, error) {
	if !isFloat(a.Kind()) && !isFloat(b.Kind()) {
		return datum.Mod(a, b)
	}
	x, y, err := doubles(a, b)
	if err != nil {
		return value{}, err
	}
	if y == 0 {
		return value{}, fault.New(fault.DivisionByZero, "division by zero")
	}
	return datum.NewDouble(math.Mod(x, y)), nil
}

func doubles(a, b value) (x, y float64, err error) {
	if x, err = toFloat(a); err != nil {
		return 0, 0, err
	}
	y, err = toFloat(b)
	return x, y, err
}

// toFloat reads any number as a float64.
func toFloat(v value) (float64, error) {
	if isFloat(v.Kind()) {
		return v.Float(), nil
	}
	d, err := datum.Cast(v, doubleType)
	return d.Float(), err
}

func bitOperators() []Function {
	bits := func(name string, f func(a, b int64) int64, doc string) Function {
		return Function{Name: name, Operator: true, Doc: doc, args: []pattern{intArg, intArg}, typed: sumType, shows: "integer",
			call2: func(_ *Env, a, b value) (value, error) {
				return datum.NewInt(max(a.Kind(), b.Kind()), f(a.Int(), b.Int())), nil
			}}
	}
	// As in PostgreSQL a SMALLINT is shifted as an INT and cut.
	shift := func(name string, f func(n int64, by uint, kind datum.Kind) int64, doc string) Function {
		return Function{Name: name, Operator: true, Doc: doc, args: []pattern{intArg, intArg}, typed: typeOfFirst, shows: "the left",
			call2: func(_ *Env, a, b value) (value, error) {
				by := uint(b.Int()) & (max(widthOf(a.Kind()), 32) - 1)
				return datum.NewInt(a.Kind(), f(a.Int(), by, a.Kind())), nil
			}}
	}
	return []Function{
		bits("&", func(a, b int64) int64 { return a & b }, "Bitwise and."),
		bits("|", func(a, b int64) int64 { return a | b }, "Bitwise or."),
		{Name: "~", Operator: true, Doc: "Bitwise not.", args: []pattern{intArg}, typed: typeOfFirst, shows: "same",
			call1: func(_ *Env, v value) (value, error) { return datum.NewInt(v.Kind(), ^v.Int()), nil }},
		bits("#", func(a, b int64) int64 { return a ^ b }, "Bitwise exclusive or."),
		shift("<<", func(n int64, by uint, kind datum.Kind) int64 { return narrow(n<<by, kind) }, "Bits moved left; the distance counts modulo the width."),
		shift(">>", func(n int64, by uint, _ datum.Kind) int64 { return n >> by }, "Bits moved right; the sign is kept."),
	}
}

func widthOf(k datum.Kind) uint {
	switch k {
	case datum.SmallInt:
		return 16
	case datum.Int:
		return 32
	}
	return 64
}

// narrow cuts n to the width of an integer kind.
func narrow(n int64, k datum.Kind) int64 {
	switch k {
	case datum.SmallInt:
		return int64(int16(n))
	case datum.Int:
		return int64(int32(n))
	}
	return n
}
