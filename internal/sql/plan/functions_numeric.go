package plan

import (
	"math"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// prefixOperators are the mathematical functions with a sign of their own.
func prefixOperators() []Function {
	root := func(name string, f func(*Env, value) (value, error), doc string) Function {
		return Function{Name: name, Operator: true, Doc: doc, args: []pattern{doubleArg}, result: doubleType, call1: f}
	}
	return []Function{
		unary("@", numberArg, datum.Abs, "The absolute value."),
		root("|/", within("sqrt", func(x float64) bool { return x >= 0 }, math.Sqrt), "The square root."),
		root("||/", float1(math.Cbrt), "The cube root."),
	}
}

// degreeFunctions are the trigonometric functions of angles in degrees. They are
// exact where the result is a simple fraction.
func degreeFunctions() []Function {
	unit := func(x float64) bool { return x >= -1 && x <= 1 }
	bounded := func(x float64) bool { return !math.IsInf(x, 0) }
	return []Function{
		mathFunction("sind", within("sind", bounded, sind), "The sine of an angle in degrees."),
		mathFunction("cosd", within("cosd", bounded, func(x float64) float64 { return sind(math.Mod(x, 360) + 90) }), "The cosine of an angle in degrees."),
		mathFunction("tand", within("tand", bounded, tand), "The tangent of an angle in degrees."),
		mathFunction("cotd", reaching("cotd", bounded, func(x float64) float64 { return 1 / tand(x) }), "The cotangent of an angle in degrees."),
		mathFunction("asind", within("asind", unit, asind), "The inverse sine in degrees."),
		mathFunction("acosd", within("acosd", unit, func(x float64) float64 { return 90 - asind(x) }), "The inverse cosine in degrees."),
		mathFunction("atand", float1(atand), "The inverse tangent in degrees."),
		{Name: "atan2d", Doc: "The angle of the point (second, first) in degrees.", args: []pattern{doubleArg, doubleArg}, result: doubleType,
			call2: func(_ *Env, y, x value) (value, error) {
				return datum.NewDouble(math.Atan2(y.Float(), x.Float()) / math.Atan(1) * 45), nil
			}},
	}
}

// sind folds the angle into 0 to 90 degrees, and computes from the nearer of 0
// and 90 relative to 30 and 60, whose values are known.
func sind(x float64) float64 {
	x = math.Mod(x, 360)
	sign := 1.0
	if x < 0 {
		x, sign = -x, -sign
	}
	if x > 180 {
		x, sign = 360-x, -sign
	}
	if x > 90 {
		x = 180 - x
	}
	if x <= 30 {
		return sign * (math.Sin(radian(x)) / math.Sin(radian(30))) / 2
	}
	// 1 - cos vanishes at 0, so that 60 degrees give one half exactly.
	rest := 90 - x
	return sign * (1 - (1-math.Cos(radian(rest)))/(1-math.Cos(radian(60)))/2)
}

// radian rounds the same way for every angle, so that equal ones divide to 1.
func radian(degrees float64) float64 { return degrees * (math.Pi / 180) }

func tand(x float64) float64 {
	quarter := sind(45) / sind(math.Mod(45, 360)+90)
	if r := sind(math.Mod(x, 360)) / sind(math.Mod(x, 360)+90) / quarter; r != 0 {
		return r
	}
	return 0
}

func asind(x float64) float64 {
	switch {
	case x < 0:
		return -asind(-x)
	case x <= 0.5:
		return math.Asin(x) / math.Asin(0.5) * 30
	}
	return 90 - math.Acos(x)/math.Acos(0.5)*60
}

func atand(x float64) float64 { return math.Atan(x) / math.Atan(1) * 45 }

// digitFunctions look at the digits of a DECIMAL, and sort numbers into buckets.
func digitFunctions() []Function {
	return []Function{
		{Name: "scale", Doc: "How many fraction digits a DECIMAL has.", args: []pattern{decimalArg}, result: intType,
			call1: func(_ *Env, v value) (value, error) { return integer(int(v.Scale())) }},
		{Name: "min_scale", Doc: "How many fraction digits a DECIMAL needs.", args: []pattern{decimalArg}, result: intType,
			call1: func(_ *Env, v value) (value, error) { return integer(neededScale(v)) }},
		{Name: "trim_scale", Doc: "The DECIMAL without zeros at the end of its fraction.", args: []pattern{decimalArg}, typed: typeOfFirst, shows: "same",
			call1: func(_ *Env, v value) (value, error) { return datum.Truncate(v, neededScale(v)) }},
		{Name: "width_bucket", Doc: "Which of so many parts of the range from the second to the third argument the first lies in: 0 before it, one more than there are behind it.", args: []pattern{decimalArg, decimalArg, decimalArg, intArg}, result: intType,
			calls: func(_ *Env, a []value) (value, error) { return decimalBucket(a[0], a[1], a[2], a[3].Int()) }},
		{Name: "width_bucket", Doc: "The same for DOUBLE.", args: []pattern{doubleArg, doubleArg, doubleArg, intArg}, result: intType,
			calls: func(_ *Env, a []value) (value, error) {
				return bucket(a[0].Float(), a[1].Float(), a[2].Float(), a[3].Int())
			}},
	}
}

func neededScale(v value) int {
	text := v.DecimalString()
	dot := strings.IndexByte(text, '.')
	if dot < 0 {
		return 0
	}
	return len(strings.TrimRight(text, "0")) - dot - 1
}

func checkBuckets(n int64) error {
	if n <= 0 || n >= math.MaxInt32 {
		return fault.New(fault.InvalidValue, "the number of buckets must be from 1 to %d, not %d", math.MaxInt32-1, n)
	}
	return nil
}

func bucket(x, low, high float64, n int64) (value, error) {
	if err := checkBuckets(n); err != nil {
		return value{}, err
	}
	if math.IsNaN(x) || math.IsNaN(low) || math.IsNaN(high) || math.IsInf(low, 0) || math.IsInf(high, 0) || low == high {
		return value{}, fault.New(fault.InvalidValue, "width_bucket needs two different bounds that are finite")
	}
	if high < low {
		x, low, high = -x, -low, -high
	}
	switch {
	case x < low:
		return integer(0)
	case x >= high:
		return integer(int(n) + 1)
	}
	return integer(int(min(math.Floor((x-low)/(high-low)*float64(n)), float64(n-1))) + 1)
}

// decimalBucket computes without rounding: floor((x-low)*n/(high-low)) + 1.
func decimalBucket(x, low, high value, n int64) (value, error) {
	if err := checkBuckets(n); err != nil {
		return value{}, err
	}
	order := datum.Compare(low, high)
	if order == 0 {
		return value{}, fault.New(fault.InvalidValue, "width_bucket needs two different bounds")
	}
	switch {
	case datum.Compare(x, low)*order > 0:
		return integer(0)
	case datum.Compare(x, high)*order <= 0:
		return integer(int(n) + 1)
	}
	above, err := datum.Sub(x, low)
	if err != nil {
		return value{}, err
	}
	width, err := datum.Sub(high, low)
	if err != nil {
		return value{}, err
	}
	scaled, err := datum.Mul(above, datum.NewInt(datum.BigInt, n))
	if err != nil {
		return value{}, err
	}
	q, err := wholeQuotient(scaled, width)
	if err != nil {
		return value{}, err
	}
	k, err := datum.Cast(q, bigintType)
	if err != nil {
		return value{}, err
	}
	return integer(int(min(k.Int(), n-1)) + 1)
}

// countingFunctions count arguments that are NULL, or are not.
func countingFunctions() []Function {
	count := func(name, doc string, null bool) Function {
		return Function{Name: name, Doc: doc, NullOK: true, args: []pattern{anyArg}, variadic: true, result: intType,
			calls: func(_ *Env, args []value) (value, error) {
				n := 0
				for _, v := range args {
					if v.IsNull() == null {
						n++
					}
				}
				return integer(n)
			}}
	}
	return []Function{
		count("num_nulls", "How many arguments are NULL.", true),
		count("num_nonnulls", "How many arguments are not NULL.", false),
	}
}
