package datum

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strings"
)

// ErrCorrupt is in the chain of every error of the decoders of this room.
var ErrCorrupt = errors.New("corrupt value bytes")

var errShortKey = corrupt("a key ends early")

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrCorrupt}, args...)...)
}

// DecodeKey reads the key bytes of one value of type t, or NULL, and returns
// what follows them. A decimal gets the scale of t, or a greater one when its
// digits need it.
func DecodeKey(src []byte, t Type) (v Value, rest []byte, err error) {
	if len(src) == 0 {
		return Value{}, nil, errShortKey
	}
	tag := src[0]
	rest = src[1:]
	if tag == keyNull {
		return Value{}, rest, nil
	}
	if !tagFits(tag, t.Kind) {
		return Value{}, nil, corrupt("key tag 0x%02x is not of type %s", tag, t.Kind)
	}
	switch t.Kind {
	case Bool:
		return NewBool(tag == keyTrue), rest, nil
	case SmallInt, Int, BigInt, Date, Time, Timestamp, DateTime:
		return decodeKeyInt(src, t.Kind)
	case Float, Double:
		return decodeKeyFloat(rest, t.Kind)
	case Decimal:
		return decodeKeyDecimal(rest, t.Scale)
	case Text, JSON, File, Bytes:
		s, rest, err := decodeKeyString(rest)
		return Value{kind: t.Kind, s: s}, rest, err
	case UUID:
		if len(rest) < 16 {
			return Value{}, nil, errShortKey
		}
		return Value{kind: UUID, s: string(rest[:16])}, rest[16:], nil
	case Interval:
		return decodeKeyInterval(rest)
	case Array:
		return decodeKeyArray(rest, t)
	}
	return decodeKeyEmbedding(rest)
}

// tagFits reports whether a key that begins with tag can be of kind k.
func tagFits(tag byte, k Kind) bool {
	switch k {
	case Bool:
		return tag == keyFalse || tag == keyTrue
	case SmallInt, Int, BigInt, Date, Time, Timestamp, DateTime:
		return tag >= keyIntLeast && tag <= keyIntMost
	case Float, Double:
		return tag == keyFloat
	case Decimal:
		return tag == keyDecimal
	case Text, JSON, File:
		return tag == keyString
	case Bytes:
		return tag == keyBytes
	case UUID:
		return tag == keyUUID
	case Interval:
		return tag == keyInterval
	case Embedding:
		return tag == keyEmbedding
	case Array:
		return tag == keyArray
	}
	return false
}

// keyIntLength returns the number of bytes behind the tag of an integer.
func keyIntLength(tag byte) int {
	if tag >= keyIntZero {
		return int(tag - keyIntZero)
	}
	return int(keyIntZero - 1 - tag)
}

func decodeKeyInt(src []byte, kind Kind) (Value, []byte, error) {
	tag, length := src[0], keyIntLength(src[0])
	if len(src) <= length {
		return Value{}, nil, errShortKey
	}
	var bare uint64
	if tag < keyIntZero {
		bare = ^uint64(0)
	}
	for _, b := range src[1 : 1+length] {
		bare = bare<<8 | uint64(b)
	}
	n := int64(bare)
	// Only the shortest form is a key, and the sign must be that of the tag.
	short := bare
	if tag < keyIntZero {
		short = ^bare
	}
	if (n < 0) != (tag < keyIntZero) || (bits.Len64(short)+7)/8 != length || !kind.CanHold(n) {
		return Value{}, nil, corrupt("integer %d of key tag 0x%02x is not a %s", n, tag, kind)
	}
	return NewInt(kind, n), src[1+length:], nil
}

// CanHold reports whether n can be the number of an integer or temporal kind.
func (k Kind) CanHold(n int64) bool {
	switch k {
	case Date:
		return Int.holds(n)
	case Time:
		return n >= 0 && n <= microsPerDay
	}
	return k.holds(n)
}

func decodeKeyFloat(src []byte, kind Kind) (Value, []byte, error) {
	if len(src) < 8 {
		return Value{}, nil, errShortKey
	}
	b := binary.BigEndian.Uint64(src)
	f := floatFromOrdered(b)
	if orderedFloat(f) != b || kind == Float && f == f && float64(float32(f)) != f {
		return Value{}, nil, corrupt("0x%016x is not a %s", b, kind)
	}
	return NewDouble(f).as(kind), src[8:], nil
}

// as returns v with another kind that has the same inner form.
func (v Value) as(kind Kind) Value {
	v.kind = kind
	return v
}

// decodeKeyDecimal reads what follows the tag of a decimal.
func decodeKeyDecimal(src []byte, scale uint8) (Value, []byte, error) {
	if len(src) == 0 {
		return Value{}, nil, errShortKey
	}
	exp := int(src[0]) - keyExpZero
	src = src[1:]
	if exp == 0 {
		return dec{scale: min(scale, maxScale)}.value(), src, nil
	}
	d := dec{neg: exp < 0}
	var flip byte
	if d.neg {
		exp, flip = -exp, 0xFF
	}
	exp -= keyExpBias
	n := 0
	for ; n < len(src) && src[n] != flip; n++ {
		pair := src[n] ^ flip
		if pair > 100 || n == MaxPrecision/2 || n == 0 && pair <= 10 {
			return Value{}, nil, corrupt("decimal key with digit byte 0x%02x", src[n])
		}
		d.mag, _ = d.mag.mul64(100)
		d.mag, _ = d.mag.add(u128{0, uint64(pair - 1)})
	}
	switch {
	case n == len(src):
		return Value{}, nil, errShortKey
	case n == 0 || src[n-1]^flip == 1:
		return Value{}, nil, corrupt("decimal key with superfluous digits")
	}
	if !d.setFraction(2*n - exp) {
		return Value{}, nil, corrupt("decimal key with exponent %d", exp)
	}
	if scale > d.scale && scale <= maxScale {
		if wide, ok := d.rescale(scale, false); ok {
			d = wide
		}
	}
	return d.value(), src[n+1:], nil
}

// setFraction divides d, a whole number, by 10^fraction, and drops the zeros at
// the end of its fraction; it reports whether the result is a decimal.
func (d *dec) setFraction(fraction int) bool {
	for fraction > 0 {
		q, r := d.mag.divMod64(10)
		if r != 0 {
			break
		}
		d.mag = q
		fraction--
	}
	switch {
	case fraction > maxScale || fraction < -MaxPrecision:
		return false
	case fraction < 0:
		var ok bool
		if d.mag, ok = d.mag.mul(pow10[-fraction]); !ok {
			return false
		}
	default:
		d.scale = uint8(fraction)
	}
	return d.fits(MaxPrecision)
}

// keyStringEnd returns where the end mark of an escaped string begins.
func keyStringEnd(src []byte) (int, error) {
	for i := 0; ; i += 2 {
		zero := bytes.IndexByte(src[i:], 0)
		if zero < 0 || i+zero+1 >= len(src) {
			return 0, errShortKey
		}
		i += zero
		switch src[i+1] {
		case keyEnd:
			return i, nil
		case keyEscaped:
		default:
			return 0, corrupt("key string with 0x00 0x%02x", src[i+1])
		}
	}
}

func decodeKeyString(src []byte) (string, []byte, error) {
	end, err := keyStringEnd(src)
	if err != nil {
		return "", nil, err
	}
	body, rest := src[:end], src[end+2:]
	zero := bytes.IndexByte(body, 0)
	if zero < 0 {
		return string(body), rest, nil
	}
	var b strings.Builder
	b.Grow(len(body))
	for ; zero >= 0; zero = bytes.IndexByte(body, 0) {
		b.Write(body[:zero+1])
		body = body[zero+2:]
	}
	b.Write(body)
	return b.String(), rest, nil
}

// decodeKeyInterval returns an interval of the same length, not of the same
// parts: the key holds no more.
func decodeKeyInterval(src []byte) (Value, []byte, error) {
	if len(src) < 16 {
		return Value{}, nil, errShortKey
	}
	days := int64(binary.BigEndian.Uint64(src) ^ 1<<63)
	micros := int64(binary.BigEndian.Uint64(src[8:]))
	if micros < 0 || micros >= microsPerDay || days > 1<<40 || days < -1<<40 {
		return Value{}, nil, corrupt("interval key of %d days and %d µs", days, micros)
	}
	s := span{0, days, micros}
	if !Int.holds(days) {
		s.months = min(max(days/daysPerMonth, math.MinInt32), math.MaxInt32)
		s.days = min(max(days-s.months*daysPerMonth, math.MinInt32), math.MaxInt32)
		left := days - s.months*daysPerMonth - s.days
		if left < 0 { // the product alone might leave 64 bits
			left, micros = left+1, micros-microsPerDay
		}
		product, ok := mul64(left, microsPerDay)
		total, ok2 := add64(product, micros)
		if !ok || !ok2 {
			return Value{}, nil, corrupt("interval key of %d days and %d µs", days, micros)
		}
		s.micros = total
	}
	v, _ := s.value()
	return v, src[16:], nil
}

func decodeKeyEmbedding(src []byte) (Value, []byte, error) {
	rest, err := skipKeyEmbedding(src)
	if err != nil {
		return Value{}, nil, err
	}
	n := (len(src) - len(rest)) / 5
	out := make([]float32, n)
	for i := range out {
		b := binary.BigEndian.Uint32(src[5*i+1:])
		out[i] = float32FromOrdered(b)
		if orderedFloat32(out[i]) != b {
			return Value{}, nil, corrupt("0x%08x is not an element of an embedding", b)
		}
	}
	return NewEmbedding(out), rest, nil
}

func skipKeyEmbedding(src []byte) ([]byte, error) {
	for n := 0; len(src) > 0; n++ {
		switch {
		case src[0] == 0:
			return src[1:], nil
		case src[0] != 1 || n == MaxDim:
			return nil, corrupt("malformed embedding key")
		case len(src) < 5:
			return nil, errShortKey
		}
		src = src[5:]
	}
	return nil, errShortKey
}

// SkipKey returns what follows the key bytes of one value of any type. It finds
// their end without checking that they decode.
func SkipKey(src []byte) (rest []byte, err error) {
	if len(src) == 0 {
		return nil, errShortKey
	}
	tag := src[0]
	src = src[1:]
	length := 0
	switch {
	case tag == keyNull || tag == keyFalse || tag == keyTrue:
	case tag >= keyIntLeast && tag <= keyIntMost:
		length = keyIntLength(tag)
	case tag == keyFloat:
		length = 8
	case tag == keyUUID || tag == keyInterval:
		length = 16
	case tag == keyString || tag == keyBytes:
		end, err := keyStringEnd(src)
		if err != nil {
			return nil, err
		}
		length = end + 2
	case tag == keyDecimal:
		if length, err = keyDecimalLength(src); err != nil {
			return nil, err
		}
	case tag == keyEmbedding:
		return skipKeyEmbedding(src)
	case tag == keyArray:
		return skipKeyArray(src)
	default:
		return nil, corrupt("unknown key tag 0x%02x", tag)
	}
	if len(src) < length {
		return nil, errShortKey
	}
	return src[length:], nil
}

// keyDecimalLength returns the number of bytes behind the tag of a decimal.
func keyDecimalLength(src []byte) (int, error) {
	if len(src) == 0 {
		return 0, errShortKey
	}
	if src[0] == keyExpZero {
		return 1, nil
	}
	var end byte
	if src[0] < keyExpZero {
		end = 0xFF
	}
	i := bytes.IndexByte(src[1:], end)
	if i < 0 {
		return 0, errShortKey
	}
	return i + 2, nil
}

// HoldsNullKey reports whether one of the values whose key bytes follow one
// another is NULL.
func HoldsNullKey(src []byte) bool {
	for len(src) > 0 {
		if src[0] == keyNull {
			return true
		}
		rest, err := SkipKey(src)
		if err != nil {
			return false
		}
		src = rest
	}
	return false
}
