package datum

import (
	"encoding/binary"
	"math"
)

// The first byte of value bytes is the kind and, above it, one flag.
const (
	kindMask  = 0x1F
	valueFlag = 0x20 // BOOLEAN: true. DECIMAL: the coefficient has 16 bytes.
)

var errShortValue = corrupt("a value ends early")

// AppendValue appends the compact bytes of v. They are self-delimiting and keep
// no order. Integers of all widths are variable-length numbers behind their
// kind, so a widened column reads old bytes as its old kind.
func AppendValue(dst []byte, v Value) []byte {
	tag := byte(v.kind)
	switch v.kind {
	case Bool:
		if v.n != 0 {
			tag |= valueFlag
		}
		return append(dst, tag)
	case SmallInt, Int, BigInt, Date, Time, Timestamp, DateTime:
		return binary.AppendVarint(append(dst, tag), v.n)
	case Float:
		return binary.LittleEndian.AppendUint32(append(dst, tag), math.Float32bits(float32(v.Float())))
	case Double:
		return binary.LittleEndian.AppendUint64(append(dst, tag), uint64(v.n))
	case Decimal:
		if v.s != "" {
			dst = append(dst, tag|valueFlag, v.scale)
			return append(dst, v.s...)
		}
		return binary.AppendVarint(append(dst, tag, v.scale), v.n)
	case Text, JSON, File, Bytes:
		dst = binary.AppendUvarint(append(dst, tag), uint64(len(v.s)))
		return append(dst, v.s...)
	case UUID:
		return append(append(dst, tag), v.s...)
	case Embedding:
		dst = binary.AppendUvarint(append(dst, tag), uint64(v.Dim()))
		return append(dst, v.s...)
	case Array:
		return appendArrayValue(dst, tag, v)
	case Interval:
		dst = binary.AppendVarint(append(dst, tag), int64(v.months))
		dst = binary.AppendVarint(dst, int64(v.days()))
		return binary.AppendVarint(dst, v.n)
	}
	return append(dst, byte(Null))
}

// DecodeValue reads the bytes of one value and returns what follows them. The
// value shares no memory with src.
func DecodeValue(src []byte) (v Value, rest []byte, err error) { return decodeValue(src) }

// DecodeValueString is DecodeValue over a string. Texts and bytes go on sharing
// src, so a row that was read into one string costs no memory more.
func DecodeValueString(src string) (v Value, rest string, err error) { return decodeValue(src) }

func decodeValue[S []byte | string](src S) (v Value, rest S, err error) {
	head, payload, rest, err := splitValue(src)
	if err != nil {
		return Value{}, rest, err
	}
	v.kind = Kind(head & kindMask)
	switch v.kind {
	case Bool:
		v.n = int64(head & valueFlag / valueFlag)
	case SmallInt, Int, BigInt, Date, Time, Timestamp, DateTime:
		v.n, _ = takeVarint(payload)
		if !v.kind.CanHold(v.n) {
			return Value{}, rest, corrupt("number %d is out of range for %s", v.n, v.kind)
		}
	case Float:
		bits := uint32(littleEndian(payload))
		f := float64(math.Float32frombits(bits))
		if math.Float32bits(float32(f)) != bits { // a NaN that widening changes
			return Value{}, rest, corrupt("0x%08x is not a FLOAT", bits)
		}
		v.n = int64(math.Float64bits(f))
	case Double:
		v.n = int64(littleEndian(payload))
	case Decimal:
		return decodeDecimalValue(head, payload, rest)
	case Text, JSON, File, Bytes, UUID, Embedding:
		v.s = string(payload)
	case Array:
		v, err = decodeArray(payload)
		return v, rest, err
	case Interval:
		months, n := takeVarint(payload)
		days, m := takeVarint(payload[n:])
		micros, _ := takeVarint(payload[n+m:])
		var ok bool
		if v, ok = (span{months, days, micros}).value(); !ok {
			return Value{}, rest, corrupt("an interval of %d months and %d days", months, days)
		}
	}
	return v, rest, nil
}

func decodeDecimalValue[S []byte | string](head byte, payload, rest S) (Value, S, error) {
	d := dec{scale: payload[0]}
	if head&valueFlag != 0 {
		s := string(payload[1:])
		d = wideDec(be64(s), be64(s[8:]), d.scale)
	} else {
		n, _ := takeVarint(payload[1:])
		d = intDec(n, d.scale)
	}
	if d.scale > maxScale || !d.fits(MaxPrecision) {
		return Value{}, rest, corrupt("a decimal of more than %d digits", MaxPrecision)
	}
	v := d.value()
	if (v.s != "") != (head&valueFlag != 0) {
		return Value{}, rest, corrupt("a decimal not in its shortest form")
	}
	return v, rest, nil
}

// SkipValue returns what follows the bytes of one value, without building it.
func SkipValue(src []byte) (rest []byte, err error) {
	_, _, rest, err = splitValue(src)
	return rest, err
}

// SkipValueString is SkipValue over a string.
func SkipValueString(src string) (rest string, err error) {
	_, _, rest, err = splitValue(src)
	return rest, err
}

// splitValue finds the end of the first value: its first byte, the bytes that
// belong to it (without a length before them) and what follows.
func splitValue[S []byte | string](src S) (head byte, payload, rest S, err error) {
	var none S
	if len(src) == 0 {
		return 0, none, none, errShortValue
	}
	head, src = src[0], src[1:]
	kind := Kind(head & kindMask)
	if kind >= kindEnd || head&^kindMask != 0 && (head&^kindMask != valueFlag || kind != Bool && kind != Decimal) {
		return 0, none, none, corrupt("unknown value tag 0x%02x", head)
	}
	length := 0
	switch kind {
	case SmallInt, Int, BigInt, Date, Time, Timestamp, DateTime:
		length = varintLength(src)
	case Float:
		length = 4
	case Double:
		length = 8
	case UUID:
		length = 16
	case Decimal:
		switch {
		case head&valueFlag != 0:
			length = 17
		case len(src) > 0:
			length = 1 + varintLength(src[1:])
		default:
			length = 1
		}
	case Interval:
		for range 3 {
			if length <= len(src) {
				length += varintLength(src[length:])
			}
		}
	case Array:
		var ok bool
		if length, ok = arrayLength(src); !ok {
			return 0, none, none, errShortValue
		}
	case Text, JSON, File, Bytes, Embedding:
		count, n := takeUvarint(src)
		if kind == Embedding {
			if count > MaxDim {
				return 0, none, none, corrupt("an embedding of dimension %d", count)
			}
			count *= 4
		}
		if n == 0 || count > uint64(len(src)-n) {
			return 0, none, none, errShortValue
		}
		src = src[n:]
		length = int(count)
	}
	if length > len(src) {
		return 0, none, none, errShortValue
	}
	return head, src[:length], src[length:], nil
}

// noVarint is the length of a number that does not end: more than any source.
const noVarint = 1 << 30

func varintLength[S []byte | string](src S) int {
	if _, n := takeUvarint(src); n > 0 {
		return n
	}
	return noVarint
}

// takeUvarint reads a variable-length number of at most 64 bits; n is its
// length, 0 when it does not end, is longer, or is not in its shortest form.
func takeUvarint[S []byte | string](src S) (x uint64, n int) {
	for i := range min(len(src), binary.MaxVarintLen64) {
		b := src[i]
		if b < 0x80 {
			if i == binary.MaxVarintLen64-1 && b > 1 || i > 0 && b == 0 {
				return 0, 0
			}
			return x | uint64(b)<<(7*i), i + 1
		}
		x |= uint64(b&0x7f) << (7 * i)
	}
	return 0, 0
}

func takeVarint[S []byte | string](src S) (x int64, n int) {
	u, n := takeUvarint(src)
	return int64(u>>1) ^ -int64(u&1), n
}

func littleEndian[S []byte | string](src S) (n uint64) {
	for i := len(src) - 1; i >= 0; i-- {
		n = n<<8 | uint64(src[i])
	}
	return n
}
