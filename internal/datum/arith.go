package datum

import (
	"math"
	"math/bits"

	"kalamdb/internal/fault"
)

// op is an arithmetic operator as it is written.
type op byte

// Add returns a + b: numbers, and dates, times and intervals that can be added.
// Integers give the wider of their kinds, an integer and a decimal a decimal,
// anything with a float a DOUBLE. The caller has dealt with NULL.
func Add(a, b Value) (Value, error) { return calculate('+', a, b) }

// Sub returns a - b, by the rules of Add. Two dates give days as INT, two
// instants an INTERVAL of days and a time.
func Sub(a, b Value) (Value, error) { return calculate('-', a, b) }

// Mul returns a * b, by the rules of Add; an interval may be multiplied by a
// number.
func Mul(a, b Value) (Value, error) { return calculate('*', a, b) }

// Div returns a / b. Integers are cut towards zero, decimals get at least 16
// significant digits, an interval may be divided by a number.
func Div(a, b Value) (Value, error) { return calculate('/', a, b) }

// Mod returns the rest of a / b with the sign of a, for integers and decimals.
func Mod(a, b Value) (Value, error) { return calculate('%', a, b) }

func calculate(o op, a, b Value) (Value, error) {
	switch {
	case a.kind.IsInteger() && b.kind.IsInteger():
		return integers(o, a, b)
	case !a.kind.IsNumeric() || !b.kind.IsNumeric():
		return temporals(o, a, b)
	case a.kind.isFloat() || b.kind.isFloat():
		return floats(o, a, b)
	}
	return decimals(o, a, b)
}

func noOperator(o op, a, b Value) error {
	return fault.New(fault.TypeMismatch, "operator %c does not exist for %s and %s", o, a.kind, b.kind)
}

func overflow(o op, a, b Value, kind Kind) error {
	return fault.New(fault.OutOfRange, "%s %c %s is out of range for %s", shorten(a.String()), o, shorten(b.String()), kind)
}

func divisionByZero() error { return fault.New(fault.DivisionByZero, "division by zero") }

func integers(o op, a, b Value) (Value, error) {
	kind := max(a.kind, b.kind)
	var n int64
	ok := true
	switch o {
	case '+':
		n, ok = add64(a.n, b.n)
	case '-':
		n, ok = sub64(a.n, b.n)
	case '*':
		n, ok = mul64(a.n, b.n)
	default:
		switch {
		case b.n == 0:
			return Value{}, divisionByZero()
		case b.n == -1 && o == '%':
			n = 0
		case b.n == -1:
			n, ok = sub64(0, a.n)
		case o == '/':
			n = a.n / b.n
		default:
			n = a.n % b.n
		}
	}
	if !ok || !kind.holds(n) {
		return Value{}, overflow(o, a, b, kind)
	}
	return NewInt(kind, n), nil
}

// holds reports whether n fits an integer kind.
func (k Kind) holds(n int64) bool {
	switch k {
	case SmallInt:
		return n == int64(int16(n))
	case Int:
		return n == int64(int32(n))
	}
	return true
}

func add64(a, b int64) (sum int64, ok bool) {
	sum = a + b
	return sum, (sum > a) == (b > 0) || b == 0
}

func sub64(a, b int64) (diff int64, ok bool) {
	diff = a - b
	return diff, (diff < a) == (b > 0) || b == 0
}

func mul64(a, b int64) (product int64, ok bool) {
	hi, lo := bits.Mul64(magnitude(a), magnitude(b))
	if hi != 0 {
		return 0, false
	}
	if (a < 0) != (b < 0) {
		return -int64(lo), lo <= 1<<63
	}
	return int64(lo), lo <= math.MaxInt64
}

// double returns a number as float64.
func (v Value) double() float64 {
	switch {
	case v.kind.isFloat():
		return v.Float()
	case v.kind == Decimal:
		return v.dec().float()
	}
	return float64(v.n)
}

func floats(o op, a, b Value) (Value, error) {
	x, y := a.double(), b.double()
	var f float64
	switch o {
	case '+':
		f = x + y
	case '-':
		f = x - y
	case '*':
		f = x * y
		if f == 0 && x != 0 && y != 0 {
			return Value{}, underflow(o, a, b)
		}
	case '/':
		if y == 0 && !math.IsNaN(x) {
			return Value{}, divisionByZero()
		}
		f = x / y
		if f == 0 && x != 0 && !math.IsInf(y, 0) {
			return Value{}, underflow(o, a, b)
		}
	default:
		return Value{}, noOperator(o, a, b)
	}
	if math.IsInf(f, 0) && !math.IsInf(x, 0) && !math.IsInf(y, 0) {
		return Value{}, overflow(o, a, b, Double)
	}
	return NewDouble(f), nil
}

func underflow(o op, a, b Value) error {
	return fault.New(fault.OutOfRange, "%s %c %s is too close to zero for %s", a, o, b, Double)
}

// Neg returns -v for a number or an interval.
func Neg(v Value) (Value, error) {
	switch {
	case v.kind.IsInteger():
		n, ok := sub64(0, v.n)
		if !ok || !v.kind.holds(n) {
			return Value{}, fault.New(fault.OutOfRange, "-(%d) is out of range for %s", v.n, v.kind)
		}
		return NewInt(v.kind, n), nil
	case v.kind.isFloat():
		v.n ^= math.MinInt64 // the sign bit
		return v, nil
	case v.kind == Decimal:
		d := v.dec()
		d.neg = !d.neg && !d.mag.isZero()
		return d.value(), nil
	case v.kind == Interval:
		months, days, micros := v.Interval()
		if months == math.MinInt32 || days == math.MinInt32 || micros == math.MinInt64 {
			return Value{}, fault.New(fault.OutOfRange, "-(%s) is out of range for INTERVAL", v)
		}
		return NewInterval(-months, -days, -micros), nil
	}
	return Value{}, fault.New(fault.TypeMismatch, "operator - does not exist for %s", v.kind)
}
