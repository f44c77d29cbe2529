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
	if n, ok := smallInteger(text); ok {
		return integerValue(n), nil
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
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return integerValue(n), nil
	}
	sign := text[:len(text)-len(digits)]
	if strings.HasPrefix(digits, ".") {
		digits = "0" + digits
	}
	return datum.ParseDecimal(sign + strings.TrimSuffix(digits, "."))
}

// integerValue returns the narrowest of INT and BIGINT.
func integerValue(n int64) datum.Value {
	if n >= math.MinInt32 && n <= math.MaxInt32 {
		return datum.NewInt(datum.Int, n)
	}
	return datum.NewInt(datum.BigInt, n)
}

// smallInteger reads up to 18 decimal digits with an optional minus.
func smallInteger(text string) (n int64, ok bool) {
	digits := text
	if digits != "" && digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > 18 {
		return 0, false
	}
	for i := range len(digits) {
		c := digits[i] - '0'
		if c > 9 {
			return 0, false
		}
		n = n*10 + int64(c)
	}
	if len(digits) < len(text) {
		n = -n
	}
	return n, true
}
