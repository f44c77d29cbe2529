package datum

import (
	"encoding/hex"
	"math"
	"strconv"
	"strings"
)

// String returns the text of v as CAST to TEXT gives it, and NULL for NULL.
func (v Value) String() string {
	switch v.kind {
	case Null:
		return "NULL"
	case Text, JSON, File:
		return v.s
	}
	var buf [64]byte
	return string(AppendText(buf[:0], v))
}

// AppendText appends the text of v as CAST to TEXT gives it; nothing for NULL.
func AppendText(dst []byte, v Value) []byte {
	switch v.kind {
	case Bool:
		return strconv.AppendBool(dst, v.n != 0)
	case SmallInt, Int, BigInt:
		return strconv.AppendInt(dst, v.n, 10)
	case Float:
		return appendFloat(dst, v.Float(), 32)
	case Double:
		return appendFloat(dst, v.Float(), 64)
	case Decimal:
		return v.dec().append(dst)
	case Text, JSON, File:
		return append(dst, v.s...)
	case Bytes:
		dst = append(dst, `\x`...)
		return hex.AppendEncode(dst, []byte(v.s))
	case UUID:
		return appendUUID(dst, v.s)
	case Date:
		return appendDate(dst, v.n)
	case Time:
		return appendClock(dst, v.n)
	case Timestamp:
		return appendInstant(dst, v.n, "")
	case DateTime:
		return appendInstant(dst, v.n, "+00")
	case Embedding:
		return appendEmbedding(dst, v)
	case Interval:
		return appendInterval(dst, v)
	case Array:
		return appendArrayText(dst, v)
	}
	return dst
}

// appendFloat appends the fewest digits that read back equal at the given
// width, always with a fraction or an exponent.
func appendFloat(dst []byte, f float64, width int) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, "NaN"...)
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	}
	start := len(dst)
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		dst = strconv.AppendFloat(dst, f, 'e', -1, width)
		return tidyExponent(dst, start)
	}
	dst = strconv.AppendFloat(dst, f, 'f', -1, width)
	for _, c := range dst[start:] {
		if c == '.' {
			return dst
		}
	}
	return append(dst, ".0"...)
}

// tidyExponent turns e+21 into e21 and e-07 into e-7.
func tidyExponent(dst []byte, start int) []byte {
	for i := start; i < len(dst); i++ {
		if dst[i] != 'e' {
			continue
		}
		exp := dst[i+1:]
		out := dst[:i+1]
		if exp[0] == '-' {
			out = append(out, '-')
		}
		exp = exp[1:]
		if exp[0] == '0' {
			exp = exp[1:]
		}
		return append(out, exp...)
	}
	return dst
}

func appendUUID(dst []byte, s string) []byte {
	const digits = "0123456789abcdef"
	for i := range len(s) {
		switch i {
		case 4, 6, 8, 10:
			dst = append(dst, '-')
		}
		dst = append(dst, digits[s[i]>>4], digits[s[i]&15])
	}
	return dst
}

// appendPadded appends n, which is not negative, with at least width digits.
func appendPadded(dst []byte, n int64, width int) []byte {
	for limit := int64(10); width > 1; width-- {
		if n < limit {
			for range width - 1 {
				dst = append(dst, '0')
			}
			break
		}
		limit *= 10
	}
	return strconv.AppendInt(dst, n, 10)
}

func appendDate(dst []byte, days int64) []byte {
	year, month, day := civilFromDays(days)
	dst = appendCivil(dst, year, month, day)
	if year <= 0 {
		dst = append(dst, " BC"...)
	}
	return dst
}

func appendCivil(dst []byte, year, month, day int64) []byte {
	if year <= 0 {
		year = 1 - year
	}
	dst = appendPadded(dst, year, 4)
	dst = append(dst, '-')
	dst = appendPadded(dst, month, 2)
	dst = append(dst, '-')
	return appendPadded(dst, day, 2)
}

// appendClock appends hh:mm:ss with the fraction there is. Hours may exceed 24.
func appendClock(dst []byte, micros int64) []byte {
	if micros < 0 {
		// Only raw bytes can carry this; the sign keeps it visible.
		dst = append(dst, '-')
	}
	n := magnitude(micros)
	dst = appendPadded(dst, int64(n/microsPerHour), 2)
	dst = append(dst, ':')
	dst = appendPadded(dst, int64(n/microsPerMinute%60), 2)
	dst = append(dst, ':')
	dst = appendPadded(dst, int64(n/microsPerSecond%60), 2)
	return appendFraction(dst, n%microsPerSecond)
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

func appendFraction(dst []byte, micros uint64) []byte {
	if micros == 0 {
		return dst
	}
	dst = append(dst, '.')
	dst = appendPadded(dst, int64(micros), 6)
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst
}

func appendInstant(dst []byte, micros int64, zone string) []byte {
	days, clock := floorDiv(micros, microsPerDay)
	year, month, day := civilFromDays(days)
	dst = appendCivil(dst, year, month, day)
	dst = append(dst, ' ')
	dst = appendClock(dst, clock)
	dst = append(dst, zone...)
	if year <= 0 {
		dst = append(dst, " BC"...)
	}
	return dst
}

func appendEmbedding(dst []byte, v Value) []byte {
	dst = append(dst, '[')
	for i := range v.Dim() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendFloat(dst, float64(v.embeddingAt(i)), 32)
	}
	return append(dst, ']')
}

// appendInterval appends the parts there are, such as 1 year 2 mons -3 days
// +04:05:06. A part after a negative one shows its sign.
func appendInterval(dst []byte, v Value) []byte {
	start := len(dst)
	negative := false
	part := func(n int64, unit string) {
		if n == 0 {
			return
		}
		if len(dst) > start {
			dst = append(dst, ' ')
			if negative && n > 0 {
				dst = append(dst, '+')
			}
		}
		negative = n < 0
		dst = strconv.AppendInt(dst, n, 10)
		dst = append(dst, unit...)
		if n != 1 {
			dst = append(dst, 's')
		}
	}
	part(int64(v.months/monthsPerYear), " year")
	part(int64(v.months%monthsPerYear), " mon")
	part(int64(v.days()), " day")
	if v.n == 0 && len(dst) > start {
		return dst
	}
	if len(dst) > start {
		dst = append(dst, ' ')
		if negative && v.n > 0 {
			dst = append(dst, '+')
		}
	}
	return appendClock(dst, v.n)
}

// List prints values for a sentence.
func List(values []Value) string {
	texts := make([]string, len(values))
	for i := range values {
		texts[i] = values[i].String()
	}
	return strings.Join(texts, ", ")
}
