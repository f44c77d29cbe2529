package parse

import (
	"math"
	"math/big"
	"strconv"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// numberValue returns the value of a numeric literal with an optional minus:
// the narrowest of INT, BIGINT and DECIMAL for integers, DECIMAL with a point,
// DOUBLE with an exponent.
func numberValue(text string) (datum.Value, error) {
	if n, scale, ok := smallNumber(text); ok {
		if scale < 0 {
			return integerValue(n), nil
		}
		return datum.NewDecimal128(n>>63, uint64(n), uint8(scale))
	}
	text = strings.ReplaceAll(text, "_", "")
	digits := strings.TrimPrefix(text, "-")
	if len(digits) > 2 && digits[0] == '0' && strings.IndexByte("xob", digits[1]|0x20) >= 0 {
		n, ok := new(big.Int).SetString(text, 0)
		if !ok {
			return datum.Value{}, fault.New(fault.Syntax, "invalid number %q", text)
		}
		if n.IsInt64() {
			return integerValue(n.Int64()), nil
		}
		return datum.ParseDecimal(n.String())
	}
	if strings.ContainsAny(text, "eE") {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsInf(f, 0) {
			return datum.Value{}, fault.New(fault.OutOfRange, "%s is out of the range of DOUBLE", text)
		}
		return datum.NewDouble(f), nil
	}
	point := strings.IndexByte(digits, '.')
	if point < 0 {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return integerValue(n), nil
		}
	}
	sign := text[:len(text)-len(digits)]
	switch point {
	case 0:
		return datum.ParseDecimal(sign + "0" + digits)
	case len(digits) - 1:
		return datum.ParseDecimal(text[:len(text)-1])
	}
	return datum.ParseDecimal(text)
}

// integerValue returns the narrowest of INT and BIGINT.
func integerValue(n int64) datum.Value {
	if n >= math.MinInt32 && n <= math.MaxInt32 {
		return datum.NewInt(datum.Int, n)
	}
	return datum.NewInt(datum.BigInt, n)
}

// smallNumber reads up to 18 digits with an optional minus and an optional
// point: the digits as a whole number, and how many stand behind the point, -1
// without one.
func smallNumber(text string) (n int64, scale int, ok bool) {
	digits := text
	if digits != "" && digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > 18 {
		return 0, 0, false
	}
	scale = -1
	for i := range len(digits) {
		c := digits[i] - '0'
		switch {
		case c <= 9:
			n = n*10 + int64(c)
		case digits[i] == '.' && scale < 0 && len(digits) > 1:
			scale = len(digits) - i - 1
		default:
			return 0, 0, false
		}
	}
	if len(digits) < len(text) {
		n = -n
	}
	return n, scale, true
}

// smallInteger reads up to 18 decimal digits with an optional minus.
func smallInteger(text string) (n int64, ok bool) {
	n, scale, ok := smallNumber(text)
	return n, ok && scale < 0
}
