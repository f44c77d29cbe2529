package datum

import (
	"math"
	"strconv"
	"unicode/utf8"

	"kalamdb/internal/fault"
)

// Cast returns v as an explicit CAST to a type gives it. NULL stays NULL. A
// DECIMAL type of precision 0 keeps the scale, an EMBEDDING type of dimension 0
// any dimension. Faults are TYPE_MISMATCH when there is no such cast,
// INVALID_VALUE for malformed text and OUT_OF_RANGE.
func Cast(v Value, to Type) (Value, error) {
	switch {
	case v.kind == Null:
		return v, nil
	case v.kind == Array && to.Kind == Array:
		return castArray(v, to, Cast)
	case v.kind == to.Kind && v.kind != Decimal && v.kind != Embedding:
		return v, nil
	case v.kind == Text:
		return parseText(v.s, to)
	case to.Kind == Text:
		return NewText(v.String()), nil
	case v.kind == JSON:
		return castJSON(v, to)
	}
	switch to.Kind {
	case Bool:
		if v.kind.IsInteger() {
			return NewBool(v.n != 0), nil
		}
	case SmallInt, Int, BigInt:
		if v.kind == Bool {
			return NewInt(to.Kind, v.n), nil
		}
		if v.kind.IsNumeric() {
			return castInt(v, to)
		}
	case Float, Double:
		if v.kind.IsNumeric() {
			return castFloat(v, to)
		}
	case Decimal:
		if v.kind.IsNumeric() {
			return castDecimal(v, to, true)
		}
	case JSON:
		if v.kind == File || v.kind == Embedding {
			return NewJSON(v.String())
		}
	case UUID:
		if v.kind == Bytes && len(v.s) == 16 {
			return v.as(UUID), nil
		}
	case Embedding:
		if v.kind == Embedding {
			return v, checkDim(v, to)
		}
		if v.kind == Array {
			return embeddingOf(v, to)
		}
	case Date, Time, Timestamp, DateTime, Interval:
		return castTemporal(v, to)
	}
	return Value{}, noCast(v.Type(), to)
}

func castInt(v Value, to Type) (Value, error) {
	n, ok := v.n, true
	switch {
	case v.kind == Decimal:
		n, ok = v.dec().int(true)
	case v.kind.isFloat():
		f := math.RoundToEven(v.Float())
		ok = f >= -1<<63 && f < 1<<63
		n = int64(f)
	}
	if !ok || !to.Kind.holds(n) {
		return Value{}, outOfRange(to, v.String())
	}
	return NewInt(to.Kind, n), nil
}

func castFloat(v Value, to Type) (Value, error) {
	if to.Kind == Double {
		return NewDouble(v.double()), nil
	}
	var f float32
	switch {
	case v.kind == Decimal:
		wide, _ := strconv.ParseFloat(v.DecimalString(), 32)
		f = float32(wide)
	case v.kind.IsInteger():
		f = float32(v.n)
	default:
		wide := v.Float()
		f = float32(wide)
		if math.IsInf(float64(f), 0) && !math.IsInf(wide, 0) || f == 0 && wide != 0 {
			return Value{}, outOfRange(to, v.String())
		}
	}
	return NewFloat(f), nil
}

// castDecimal gives a number the precision and scale of a type. Floats count
// with the digits that they hold for certain: 15, or 6 for FLOAT.
func castDecimal(v Value, to Type, round bool) (Value, error) {
	var d dec
	if v.kind.isFloat() {
		f := v.Float()
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return Value{}, outOfRange(to, v.String())
		}
		digits := 14
		if v.kind == Float {
			digits = 5
		}
		var buf [32]byte
		n, _ := scanNumber(string(strconv.AppendFloat(buf[:0], f, 'e', digits, 64)))
		var ok bool
		if to.Precision == 0 {
			d, ok = n.natural()
			d = d.normal()
		} else {
			d, ok = n.dec(int(to.Scale))
		}
		if !ok {
			return Value{}, outOfRange(to, v.String())
		}
	} else {
		d = v.dec()
	}
	if to.Precision == 0 {
		return d.value(), nil
	}
	out, ok := d.rescale(to.Scale, round)
	if !ok || !out.fits(to.Precision) {
		return Value{}, outOfRange(to, v.String())
	}
	return out.value(), nil
}

// castJSON turns a JSON number or boolean into an SQL one.
func castJSON(v Value, to Type) (Value, error) {
	text := trim(v.s)
	isBool := text == "true" || text == "false"
	isNumber := text != "" && (text[0] == '-' || text[0]-'0' <= 9)
	switch {
	case to.Kind == File:
		return NewFile(v.s), nil
	case to.Kind == Embedding:
		return parseEmbedding(v.s, to)
	case to.Kind == Bool && isBool:
		return NewBool(text == "true"), nil
	case to.Kind.isFloat() && isNumber:
		return parseFloat(text, to)
	case to.Kind.IsNumeric() && isNumber:
		d, err := ParseDecimal(text)
		if err != nil {
			return Value{}, outOfRange(to, text)
		}
		return Cast(d, to)
	case to.Kind == Bool, to.Kind.IsNumeric():
		return Value{}, fault.New(fault.InvalidValue, "cannot cast JSON %s to %s", shorten(text), to.name())
	}
	return Value{}, noCast(v.Type(), to)
}

func castTemporal(v Value, to Type) (Value, error) {
	ok := true
	var out Value
	switch {
	case v.kind.isInstant() && to.Kind == Date:
		days, _ := v.instant()
		out = NewInt(Date, days)
	case v.kind == Date && (to.Kind == Timestamp || to.Kind == DateTime):
		out, ok = newStamp(to.Kind, v.n, 0)
	case v.kind.isInstant() && v.kind != Date && to.Kind == Time:
		_, clock := v.instant()
		out = NewInt(Time, clock)
	case v.kind.isInstant() && (to.Kind == Timestamp || to.Kind == DateTime):
		out = v.as(to.Kind)
	case v.kind == Time && to.Kind == Interval:
		out = NewInterval(0, 0, v.n)
	case v.kind == Interval && to.Kind == Time:
		_, clock := floorDiv(v.n, microsPerDay)
		out = NewInt(Time, clock)
	default:
		return Value{}, noCast(v.Type(), to)
	}
	if !ok {
		return Value{}, outOfRange(to, v.String())
	}
	return out, nil
}

// Assign returns v as it is written to a column of type to: what an assignment
// casts by itself, and with these rules of our own. A number written to a
// temporal column is its raw unit, a decimal is cut to a smaller scale, text is
// parsed as CAST does, 16 raw bytes are a UUID.
func Assign(v Value, to Type) (Value, error) {
	switch {
	case v.kind == Null:
		return v, nil
	case to.Kind.IsString() && v.kind.IsString():
		return assignString(v, to)
	case v.kind == Array && to.Kind == Array:
		return castArray(v, to, Assign)
	case v.kind == to.Kind && v.kind != Decimal && v.kind != Embedding, v.kind == Text, to.Kind == Text:
		return Cast(v, to)
	case v.kind.IsNumeric() && to.Kind.IsTemporal():
		n, err := castInt(v, Type{Kind: BigInt})
		if err != nil {
			return Value{}, outOfRange(to, v.String())
		}
		return rawTemporal(to.Kind, n.n)
	case v.kind.IsNumeric() && to.Kind == Decimal:
		return castDecimal(v, to, v.kind.isFloat())
	case v.kind == Bool, to.Kind == Bool, v.kind == JSON, to.Kind == JSON, to.Kind == File:
		return Value{}, fault.New(fault.TypeMismatch, "cannot write %s to %s without a CAST", v.kind, to.name())
	}
	return Cast(v, to)
}

func assignString(v Value, to Type) (Value, error) {
	if !utf8.ValidString(v.s) {
		return Value{}, fault.New(fault.InvalidValue, "invalid value for %s: %s (not UTF-8)", to.Kind, quote(v.s))
	}
	if to.Kind == JSON && v.kind != JSON {
		return NewJSON(v.s)
	}
	return v.as(to.Kind), nil
}

// CommonType returns the type that two values become where one is needed: CASE,
// COALESCE, IN, UNION. ok is false when there is none. Of numbers it is the
// first of SMALLINT, INT, BIGINT, DECIMAL, FLOAT, DOUBLE that holds both; of
// points in time DATE, TIMESTAMP, DATETIME; of strings TEXT.
func CommonType(a, b Type) (t Type, ok bool) {
	switch {
	case a == b, b.Kind == Null:
		return a, true
	case a.Kind == Null:
		return b, true
	case a.Kind.IsNumeric() && b.Kind.IsNumeric():
		return commonNumber(a, b), true
	case a.Kind.IsString() && b.Kind.IsString():
		return Type{Kind: Text}, true
	case a.Kind.isInstant() && b.Kind.isInstant():
		return Type{Kind: max(a.Kind, b.Kind)}, true
	case (a.Kind == Time || a.Kind == Interval) && (b.Kind == Time || b.Kind == Interval):
		return Type{Kind: Interval}, true
	case a.Kind == Array && b.Kind == Array:
		element, ok := CommonType(a.Element(), b.Element())
		if !ok {
			return Type{}, false
		}
		return ArrayType(element), true
	}
	return Type{}, false
}

func commonNumber(a, b Type) Type {
	switch {
	case a.Kind == Double || b.Kind == Double:
		return Type{Kind: Double}
	case a.Kind == Float || b.Kind == Float:
		return Type{Kind: Float}
	case a.Kind != Decimal && b.Kind != Decimal:
		return Type{Kind: max(a.Kind, b.Kind)}
	case a.Kind == Decimal && a.Precision == 0 || b.Kind == Decimal && b.Precision == 0:
		return Type{Kind: Decimal} // each value keeps its scale
	}
	whole1, scale1 := a.digits()
	whole2, scale2 := b.digits()
	whole, scale := max(whole1, whole2), max(scale1, scale2)
	if whole+scale > MaxPrecision {
		// Whole digits come first, but a few of the fraction are kept.
		scale = max(MaxPrecision-whole, min(scale, 6))
	}
	return DecimalType(uint8(min(whole+scale, MaxPrecision)), uint8(scale))
}

// digits returns how many digits a number type has before and after the point.
func (t Type) digits() (whole, scale int) {
	switch t.Kind {
	case SmallInt:
		return 5, 0
	case Int:
		return 10, 0
	case BigInt:
		return 19, 0
	}
	if t.Precision == 0 {
		return MaxPrecision - DefaultScale, DefaultScale
	}
	return int(t.Precision - t.Scale), int(t.Scale)
}
