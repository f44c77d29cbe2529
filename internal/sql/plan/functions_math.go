package plan

import (
	"encoding/binary"
	"math"
	"math/big"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// scaled gives a DECIMAL type with the given scale to decimals, and keeps the
// type of other numbers.
func scaled(scale uint8) func(args []Expr) datum.Type {
	return func(args []Expr) datum.Type {
		if t := args[0].Type(); t.Kind != datum.Decimal {
			return t
		}
		return datum.DecimalType(datum.MaxPrecision, scale)
	}
}

// placedType is the type of ROUND and TRUNC with a number of places.
func placedType(args []Expr) datum.Type {
	t := args[0].Type()
	if t.Kind != datum.Decimal {
		return t
	}
	if c, ok := args[1].(*Const); ok && !c.Value.IsNull() {
		return datum.DecimalType(datum.MaxPrecision, uint8(min(max(c.Value.Int(), 0), datum.MaxPrecision)))
	}
	return t
}

// rounding makes the two overloads of a function to whole numbers: decimals
// stay decimals, everything else becomes a DOUBLE, as in PostgreSQL.
func rounding(name string, aliases []string, f func(value) (value, error), doc string) []Function {
	return []Function{
		{Name: name, Aliases: aliases, Doc: doc, args: []pattern{decimalArg}, typed: scaled(0), shows: "DECIMAL", call1: pure1(f)},
		{Name: name, Aliases: aliases, Doc: doc, args: []pattern{doubleArg}, result: doubleType, call1: pure1(f)},
	}
}

// placing makes the overloads of ROUND and TRUNC with places.
func placing(name string, f func(value, int) (value, error), doc string) []Function {
	call := func(_ *Env, v, places value) (value, error) {
		return f(v, int(min(max(places.Int(), -1000), 1000)))
	}
	return []Function{
		{Name: name, Doc: doc, args: []pattern{intArg, intArg}, result: wholeType, call2: func(env *Env, v, places value) (value, error) {
			d, err := datum.Cast(v, wholeType)
			if err != nil {
				return d, err
			}
			d, err = call(env, d, places)
			if err != nil {
				return d, err
			}
			return datum.Cast(d, wholeType)
		}},
		{Name: name, Doc: doc, args: []pattern{decimalArg, intArg}, typed: placedType, shows: "DECIMAL", call2: call},
		{Name: name, Doc: doc, args: []pattern{doubleArg, intArg}, result: doubleType, call2: call},
	}
}

func roundingFunctions() []Function {
	var all []Function
	all = append(all, rounding("ceil", []string{"ceiling"}, datum.Ceil, "The least whole number not below the argument.")...)
	all = append(all, rounding("floor", nil, datum.Floor, "The greatest whole number not above the argument.")...)
	all = append(all, rounding("round", nil, func(v value) (value, error) { return datum.Round(v, 0) }, "The nearest whole number; halves of a DECIMAL go away from zero, of a DOUBLE to the even number.")...)
	all = append(all, placing("round", datum.Round, "Rounded to so many fraction digits.")...)
	all = append(all, rounding("trunc", nil, func(v value) (value, error) { return datum.Truncate(v, 0) }, "The whole number towards zero.")...)
	all = append(all, placing("trunc", datum.Truncate, "Cut to so many fraction digits.")...)
	all = append(all,
		Function{Name: "abs", Doc: "The absolute value.", args: []pattern{numberArg}, typed: typeOfFirst, shows: "same", call1: pure1(datum.Abs)},
		Function{Name: "sign", Aliases: []string{"signum"}, Doc: "-1, 0 or 1.", args: []pattern{decimalArg}, result: wholeType, call1: pure1(signOfDecimal)},
		Function{Name: "sign", Aliases: []string{"signum"}, Doc: "-1, 0 or 1.", args: []pattern{doubleArg}, result: doubleType, call1: float1(signOf)},
		Function{Name: "mod", Doc: "Rest of a division, with the sign of the dividend.", args: []pattern{numberArg, numberArg}, typed: sumType, shows: "number", call2: pure2(remainder)},
		Function{Name: "div", Doc: "Quotient cut towards zero.", args: []pattern{decimalArg, decimalArg}, result: wholeType, call2: pure2(wholeQuotient)},
	)
	return all
}

func signOf(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}

func signOfDecimal(v value) (value, error) {
	zero, err := datum.NewDecimal("0", datum.MaxPrecision, 0)
	if err != nil {
		return zero, err
	}
	return datum.Cast(datum.NewInt(datum.Int, int64(datum.Compare(v, zero))), wholeType)
}

func wholeQuotient(a, b value) (value, error) {
	rest, err := datum.Mod(a, b)
	if err != nil {
		return value{}, err
	}
	whole, err := datum.Sub(a, rest)
	if err != nil {
		return value{}, err
	}
	q, err := datum.Div(whole, b)
	if err != nil {
		return value{}, err
	}
	return datum.Cast(q, wholeType)
}

// float1 lifts a function of a float64 that is defined everywhere.
func float1(f func(float64) float64) func(*Env, value) (value, error) {
	return func(_ *Env, v value) (value, error) { return finite(f(v.Float()), v.Float()) }
}

// finite refuses a result that is infinite though no argument was.
func finite(result float64, args ...float64) (value, error) {
	if math.IsInf(result, 0) {
		for _, a := range args {
			if math.IsInf(a, 0) {
				return datum.NewDouble(result), nil
			}
		}
		return value{}, fault.New(fault.OutOfRange, "the result is out of range for DOUBLE")
	}
	return datum.NewDouble(result), nil
}

// within lifts a function of a float64 that is defined where ok holds.
func within(name string, ok func(float64) bool, f func(float64) float64) func(*Env, value) (value, error) {
	return func(_ *Env, v value) (value, error) {
		x := v.Float()
		if !math.IsNaN(x) && !ok(x) {
			return value{}, fault.New(fault.OutOfRange, "%s is not defined for %s", name, v)
		}
		return finite(f(x), x)
	}
}

func always(float64) bool { return true }

// reaching is within for a function that may give infinity, as in PostgreSQL.
func reaching(name string, ok func(float64) bool, f func(float64) float64) func(*Env, value) (value, error) {
	checked := within(name, ok, func(float64) float64 { return 0 })
	return func(env *Env, v value) (value, error) {
		if _, err := checked(env, v); err != nil {
			return value{}, err
		}
		return datum.NewDouble(f(v.Float())), nil
	}
}

func mathFunction(name string, f func(*Env, value) (value, error), doc string, aliases ...string) Function {
	return Function{Name: name, Aliases: aliases, Doc: doc, args: []pattern{doubleArg}, result: doubleType, call1: f}
}

func powerFunctions() []Function {
	positive := func(x float64) bool { return x > 0 }
	return []Function{
		mathFunction("sqrt", within("sqrt", func(x float64) bool { return x >= 0 }, math.Sqrt), "The square root."),
		mathFunction("cbrt", float1(math.Cbrt), "The cube root."),
		mathFunction("exp", exponential, "e to the power of the argument."),
		mathFunction("ln", within("ln", positive, math.Log), "The natural logarithm."),
		mathFunction("log10", within("log10", positive, math.Log10), "The logarithm to base 10.", "log"),
		mathFunction("log2", within("log2", positive, math.Log2), "The logarithm to base 2."),
		{Name: "log", Doc: "The logarithm of the second argument to the base of the first.", args: []pattern{doubleArg, doubleArg}, result: doubleType, call2: pure2(logarithm)},
		{Name: "power", Aliases: []string{"pow"}, Doc: "The first argument to the power of the second.", args: []pattern{doubleArg, doubleArg}, result: doubleType, call2: pure2(power)},
	}
}

func logarithm(base, x value) (value, error) {
	b, n := base.Float(), x.Float()
	if b <= 0 || n <= 0 {
		return value{}, fault.New(fault.OutOfRange, "log is not defined for base %s and argument %s", base, x)
	}
	if b == 1 {
		return value{}, fault.New(fault.DivisionByZero, "division by zero")
	}
	return finite(math.Log(n)/math.Log(b), b, n)
}

func power(a, b value) (value, error) {
	x, y := a.Float(), b.Float()
	switch {
	case x == 0 && y < 0:
		return value{}, fault.New(fault.OutOfRange, "zero to a negative power is not defined")
	case x < 0 && y != math.Trunc(y):
		return value{}, fault.New(fault.OutOfRange, "a negative number to a power that is not whole is not defined")
	}
	return notLost(math.Pow(x, y), x, y)
}

func exponential(_ *Env, v value) (value, error) {
	return notLost(math.Exp(v.Float()), math.E, v.Float())
}

// notLost refuses a power that is so small that nothing is left of it.
func notLost(result, base, exponent float64) (value, error) {
	if result == 0 && base != 0 && !math.IsInf(base, 0) && !math.IsInf(exponent, 0) {
		return value{}, fault.New(fault.OutOfRange, "the result is too small for DOUBLE")
	}
	return finite(result, base, exponent)
}

func trigonometricFunctions() []Function {
	unit := func(x float64) bool { return x >= -1 && x <= 1 }
	bounded := func(x float64) bool { return !math.IsInf(x, 0) }
	return []Function{
		mathFunction("sin", within("sin", bounded, math.Sin), "The sine of an angle in radians."),
		mathFunction("cos", within("cos", bounded, math.Cos), "The cosine of an angle in radians."),
		mathFunction("tan", within("tan", bounded, math.Tan), "The tangent of an angle in radians."),
		mathFunction("cot", reaching("cot", bounded, func(x float64) float64 { return 1 / math.Tan(x) }), "The cotangent of an angle in radians."),
		mathFunction("asin", within("asin", unit, math.Asin), "The inverse sine in radians."),
		mathFunction("acos", within("acos", unit, math.Acos), "The inverse cosine in radians."),
		mathFunction("atan", float1(math.Atan), "The inverse tangent in radians."),
		{Name: "atan2", Doc: "The angle of the point (second, first) in radians.", args: []pattern{doubleArg, doubleArg}, result: doubleType,
			call2: func(_ *Env, y, x value) (value, error) { return datum.NewDouble(math.Atan2(y.Float(), x.Float())), nil }},
		mathFunction("sinh", reaching("sinh", always, math.Sinh), "The hyperbolic sine."),
		mathFunction("cosh", reaching("cosh", always, math.Cosh), "The hyperbolic cosine."),
		mathFunction("tanh", float1(math.Tanh), "The hyperbolic tangent."),
		mathFunction("asinh", float1(math.Asinh), "The inverse hyperbolic sine."),
		mathFunction("acosh", within("acosh", func(x float64) bool { return x >= 1 }, math.Acosh), "The inverse hyperbolic cosine."),
		mathFunction("atanh", within("atanh", func(x float64) bool { return x > -1 && x < 1 }, math.Atanh), "The inverse hyperbolic tangent."),
		mathFunction("degrees", float1(func(x float64) float64 { return x / (math.Pi / 180) }), "Radians as degrees."),
		mathFunction("radians", float1(func(x float64) float64 { return x * (math.Pi / 180) }), "Degrees as radians."),
	}
}

func numberFunctions() []Function {
	return []Function{
		{Name: "pi", Doc: "The number pi.", result: doubleType, call0: func(*Env) (value, error) { return datum.NewDouble(math.Pi), nil }},
		{Name: "random", Doc: "A number from 0 up to but not including 1.", Volatility: Volatile, result: doubleType, call0: random},
		{Name: "gcd", Doc: "The greatest common divisor.", args: []pattern{intArg, intArg}, typed: sumType, shows: "integer", call2: pure2(commonDivisor)},
		{Name: "lcm", Doc: "The least common multiple.", args: []pattern{intArg, intArg}, typed: sumType, shows: "integer", call2: pure2(commonMultiple)},
		{Name: "factorial", Doc: "The product of the whole numbers up to the argument.", args: []pattern{intArg}, result: wholeType, call1: pure1(factorial)},
		{Name: "isnan", Doc: "Whether the number is NaN.", args: []pattern{doubleArg}, result: boolType,
			call1: func(_ *Env, v value) (value, error) { return datum.NewBool(math.IsNaN(v.Float())), nil }},
	}
}

func random(env *Env) (value, error) {
	var b [8]byte
	env.fill(b[:])
	return datum.NewDouble(float64(binary.LittleEndian.Uint64(b[:])>>11) / (1 << 53)), nil
}

// euclid works on magnitudes, so that the least integer needs no exception.
func euclid(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

func integerResult(n *big.Int, kind datum.Kind) (value, error) {
	if n.IsInt64() {
		if m := n.Int64(); narrow(m, kind) == m {
			return datum.NewInt(kind, m), nil
		}
	}
	return value{}, fault.New(fault.OutOfRange, "the result %s is out of range for %s", shorten(n.String()), kind)
}

func commonDivisor(a, b value) (value, error) {
	n := new(big.Int).SetUint64(euclid(magnitude(a.Int()), magnitude(b.Int())))
	return integerResult(n, max(a.Kind(), b.Kind()))
}

func commonMultiple(a, b value) (value, error) {
	x, y := magnitude(a.Int()), magnitude(b.Int())
	if x == 0 || y == 0 {
		return datum.NewInt(max(a.Kind(), b.Kind()), 0), nil
	}
	n := new(big.Int).SetUint64(x / euclid(x, y))
	return integerResult(n.Mul(n, new(big.Int).SetUint64(y)), max(a.Kind(), b.Kind()))
}

// maxFactorial is the greatest argument whose factorial fits 38 digits.
const maxFactorial = 33

func factorial(v value) (value, error) {
	n := v.Int()
	if n < 0 || n > maxFactorial {
		return value{}, fault.New(fault.OutOfRange, "factorial is not defined for %d; it takes 0 to %d", n, maxFactorial)
	}
	return datum.NewDecimal(new(big.Int).MulRange(1, n).String(), datum.MaxPrecision, 0)
}
