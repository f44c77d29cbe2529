package datum

import (
	"encoding/binary"
	"math/bits"
	"strings"
)

// The first byte of a key. It is on disk and never changes its meaning. 0x00
// and 0xFF are never used, so callers may bound ranges with them.
const (
	keyFalse     byte = 0x02
	keyTrue      byte = 0x03
	keyIntLeast  byte = 0x10 // a negative number of 8 bytes
	keyIntZero   byte = 0x19 // 0; 0x18 is -1
	keyIntMost   byte = 0x21 // a positive number of 8 bytes
	keyFloat     byte = 0x28
	keyDecimal   byte = 0x29
	keyString    byte = 0x30
	keyBytes     byte = 0x31
	keyUUID      byte = 0x32
	keyInterval  byte = 0x3C
	keyEmbedding byte = 0x40
	keyArray     byte = 0x44
	keyNull      byte = 0xF8
)

// Inside a string 0x00 is written 0x00 0xFF; 0x00 0x01 ends it.
const (
	keyEscaped byte = 0xFF
	keyEnd     byte = 0x01
)

// AppendKey appends the key bytes of v. They are self-delimiting, and their
// order is the order of Compare inside one type; NULL comes last. All integer
// and temporal kinds share one form, as do FLOAT and DOUBLE, and the strings; a
// decimal is written by its value, whatever its scale.
func AppendKey(dst []byte, v Value) []byte {
	switch v.kind {
	case Bool:
		return append(dst, keyFalse+byte(v.n))
	case SmallInt, Int, BigInt, Date, Time, Timestamp, DateTime:
		return appendKeyInt(dst, v.n)
	case Float, Double:
		return binary.BigEndian.AppendUint64(append(dst, keyFloat), orderedFloat(v.Float()))
	case Decimal:
		return appendKeyDecimal(append(dst, keyDecimal), v.dec())
	case Text, JSON, File:
		return appendKeyString(append(dst, keyString), v.s)
	case Bytes:
		return appendKeyString(append(dst, keyBytes), v.s)
	case UUID:
		return append(append(dst, keyUUID), v.s...)
	case Interval:
		days, clock := v.length()
		dst = binary.BigEndian.AppendUint64(append(dst, keyInterval), uint64(days)^1<<63)
		return binary.BigEndian.AppendUint64(dst, uint64(clock))
	case Embedding:
		dst = append(dst, keyEmbedding)
		for i := range v.Dim() {
			dst = binary.BigEndian.AppendUint32(append(dst, 1), orderedFloat32(v.embeddingAt(i)))
		}
		return append(dst, 0)
	case Array:
		return appendKeyArray(dst, v)
	}
	return append(dst, keyNull)
}

// appendKeyInt writes the fewest bytes that hold n; their number is in the tag.
func appendKeyInt(dst []byte, n int64) []byte {
	bare := uint64(n)
	tag := int(keyIntZero)
	var length int
	if n < 0 {
		length = (bits.Len64(^bare) + 7) / 8
		tag -= 1 + length
	} else {
		length = (bits.Len64(bare) + 7) / 8
		tag += length
	}
	dst = append(dst, byte(tag))
	for shift := 8 * (length - 1); shift >= 0; shift -= 8 {
		dst = append(dst, byte(bare>>uint(shift)))
	}
	return dst
}

func appendKeyString(dst []byte, s string) []byte {
	for {
		i := strings.IndexByte(s, 0)
		if i < 0 {
			dst = append(dst, s...)
			return append(dst, 0, keyEnd)
		}
		dst = append(dst, s[:i]...)
		dst = append(dst, 0, keyEscaped)
		s = s[i+1:]
	}
}

// The exponent byte of a decimal key: keyExpZero stands for zero, numbers above
// it are positive, below it negative.
const (
	keyExpZero = 0x80
	// keyExpBias makes the exponent of the smallest decimal, 10^-38, 1.
	keyExpBias = maxScale
)

// appendKeyDecimal writes 0.d1d2d3… * 10^exponent: the exponent, then two
// digits to a byte without trailing zeros, then an end. A negative number has
// all bytes inverted.
func appendKeyDecimal(dst []byte, d dec) []byte {
	if d.mag.isZero() {
		return append(dst, keyExpZero)
	}
	digits := d.mag.digits()
	exp := byte(digits - int(d.scale) + keyExpBias)
	var flip byte
	if d.neg {
		flip = 0xFF
		dst = append(dst, keyExpZero-exp)
	} else {
		dst = append(dst, keyExpZero+exp)
	}
	m := d.mag
	if digits%2 == 1 {
		m, _ = m.mul64(10) // below 10^39, which fits
		digits++
	}
	var pairs [(MaxPrecision + 2) / 2]byte
	n := digits / 2
	for i := n - 1; i >= 0; i-- {
		var pair uint64
		m, pair = m.divMod64(100)
		pairs[i] = byte(pair) + 1
	}
	for n > 1 && pairs[n-1] == 1 {
		n--
	}
	for _, pair := range pairs[:n] {
		dst = append(dst, pair^flip)
	}
	return append(dst, flip)
}
