package datum

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"kalamdb/internal/fault"
)

// parseText reads text as a value of type to, as CAST does.
func parseText(text string, to Type) (Value, error) {
	switch to.Kind {
	case Text, File:
		return Value{kind: to.Kind, s: text}, nil
	case JSON:
		return NewJSON(text)
	case Bool:
		return parseBool(text)
	case SmallInt, Int, BigInt:
		return parseInt(text, to)
	case Float, Double:
		return parseFloat(text, to)
	case Decimal:
		if to.Precision == 0 {
			return ParseDecimal(text)
		}
		return NewDecimal(text, to.Precision, to.Scale)
	case Bytes:
		return parseBytes(text)
	case UUID:
		return ParseUUID(text)
	case Date:
		return ParseDate(text)
	case Time:
		return ParseTime(text)
	case Timestamp, DateTime:
		return parseStamp(to.Kind, text)
	case Interval:
		return ParseInterval(text)
	case Embedding:
		return parseEmbedding(text, to)
	case Array:
		return parseArray(text, to)
	}
	return Value{}, noCast(Type{Kind: Text}, to)
}

// parseBool reads true, yes, on, 1, their opposites, and the beginnings of
// these words that are not ambiguous.
func parseBool(text string) (Value, error) {
	s := strings.ToLower(trim(shorten(text)))
	starts := func(word string, least int) bool { return len(s) >= least && strings.HasPrefix(word, s) }
	switch {
	case starts("true", 1), starts("yes", 1), starts("on", 2), s == "1":
		return NewBool(true), nil
	case starts("false", 1), starts("no", 1), starts("off", 2), s == "0":
		return NewBool(false), nil
	}
	return Value{}, invalid(Type{Kind: Bool}, text)
}

func parseInt(text string, to Type) (Value, error) {
	s := trim(text)
	n, err := strconv.ParseInt(s, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange) || err == nil && !to.Kind.holds(n):
		return Value{}, outOfRange(to, s)
	case err != nil:
		return Value{}, invalid(to, text)
	}
	return NewInt(to.Kind, n), nil
}

func parseFloat(text string, to Type) (Value, error) {
	s := trim(text)
	switch strings.ToLower(s) {
	case "nan":
		return NewDouble(math.NaN()).as(to.Kind), nil
	case "inf", "+inf", "infinity", "+infinity":
		return NewDouble(math.Inf(1)).as(to.Kind), nil
	case "-inf", "-infinity":
		return NewDouble(math.Inf(-1)).as(to.Kind), nil
	}
	n, ok := scanNumber(s)
	if !ok {
		return Value{}, invalid(to, text)
	}
	width := 64
	if to.Kind == Float {
		width = 32
	}
	f, err := strconv.ParseFloat(s, width)
	if err != nil || f == 0 && !n.isZero() {
		return Value{}, outOfRange(to, s)
	}
	return NewDouble(f).as(to.Kind), nil
}

// isZero reports whether all digits are 0.
func (n number) isZero() bool {
	return strings.Trim(n.whole, "0") == "" && strings.Trim(n.fraction, "0") == ""
}

// parseBytes reads \x and pairs of hexadecimal digits, or text in which \\ is a
// backslash and \ooo an octal byte.
func parseBytes(text string) (Value, error) {
	if strings.HasPrefix(text, `\x`) {
		return hexBytes(text[2:], text)
	}
	if strings.IndexByte(text, '\\') < 0 {
		return NewBytesString(text), nil
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			out = append(out, text[i])
			continue
		}
		octal := text[i+1:]
		switch {
		case octal != "" && octal[0] == '\\':
			out = append(out, '\\')
			i++
		case len(octal) >= 3 && octal[0]-'0' <= 3 && octal[1]-'0' <= 7 && octal[2]-'0' <= 7:
			out = append(out, (octal[0]-'0')<<6|(octal[1]-'0')<<3|octal[2]-'0')
			i += 3
		default:
			return Value{}, invalid(Type{Kind: Bytes}, text)
		}
	}
	return NewBytes(out), nil
}

// ParseBytesHex reads the digits of a literal X'0AFF'.
func ParseBytesHex(digits string) (Value, error) { return hexBytes(digits, digits) }

// hexBytes reads pairs of digits, with blanks between pairs; text is for the
// error.
func hexBytes(digits, text string) (Value, error) {
	out := make([]byte, 0, len(digits)/2)
	for i := 0; i < len(digits); i++ {
		if strings.IndexByte(" \t\n\r", digits[i]) >= 0 {
			continue
		}
		high, ok1 := hexDigit(digits[i])
		if i++; !ok1 || i == len(digits) {
			return Value{}, invalid(Type{Kind: Bytes}, text)
		}
		low, ok2 := hexDigit(digits[i])
		if !ok2 {
			return Value{}, invalid(Type{Kind: Bytes}, text)
		}
		out = append(out, high<<4|low)
	}
	return NewBytes(out), nil
}

// ParseUUID reads 32 hexadecimal digits in braces or not, with a hyphen after
// any group of four or not.
func ParseUUID(text string) (Value, error) {
	s := trim(text)
	if len(s) > 1 && s[0] == '{' && s[len(s)-1] == '}' {
		s = s[1 : len(s)-1]
	}
	var u [16]byte
	for i := range u {
		if len(s) < 2 {
			return Value{}, invalid(Type{Kind: UUID}, text)
		}
		high, ok1 := hexDigit(s[0])
		low, ok2 := hexDigit(s[1])
		if !ok1 || !ok2 {
			return Value{}, invalid(Type{Kind: UUID}, text)
		}
		u[i] = high<<4 | low
		s = s[2:]
		if i%2 == 1 && i < 15 && s != "" && s[0] == '-' {
			s = s[1:]
		}
	}
	if s != "" {
		return Value{}, invalid(Type{Kind: UUID}, text)
	}
	return NewUUID(u), nil
}

// parseEmbedding reads a JSON array of exactly as many finite numbers as the
// type says; a dimension of 0 takes any.
func parseEmbedding(text string, to Type) (Value, error) {
	out := make([]float32, 0, min(max(int(to.Dim), 16), len(text)/2+1))
	ok := eachElement(text, func(element string) bool {
		c := jsonChecker{text: element}
		if !c.number() || c.at != len(element) || len(out) > MaxDim {
			return false
		}
		f, err := strconv.ParseFloat(element, 32)
		out = append(out, float32(f))
		return err == nil
	})
	if !ok || len(out) == 0 || len(out) > MaxDim {
		return Value{}, invalid(to, text)
	}
	v := NewEmbedding(out)
	return v, checkDim(v, to)
}

// embeddingOf makes an embedding of an array of finite numbers.
func embeddingOf(v Value, to Type) (Value, error) {
	var out []float32
	for _, item := range v.Elements() {
		x, err := Cast(item, Type{Kind: Float})
		if err != nil || x.IsNull() || len(out) == MaxDim || math.IsNaN(x.Float()) || math.IsInf(x.Float(), 0) {
			return Value{}, invalid(to, v.String())
		}
		out = append(out, float32(x.Float()))
	}
	if len(out) == 0 {
		return Value{}, invalid(to, v.String())
	}
	e := NewEmbedding(out)
	return e, checkDim(e, to)
}

func checkDim(v Value, to Type) error {
	if to.Dim == 0 || v.Dim() == int(to.Dim) {
		return nil
	}
	return fault.New(fault.InvalidValue, "%s needs %d numbers, not %d", to, to.Dim, v.Dim())
}
