package datum

import (
	"encoding/binary"
	"math"
)

// The first byte of hash bytes.
const (
	hashNull byte = iota
	hashBool
	hashInt
	hashDecimal
	hashFloat
	hashString
	hashBytes
	hashUUID
	hashInstant
	hashTime
	hashInterval
	hashEmbedding
	hashArray
)

// AppendHash appends bytes that are equal exactly when Equal says the values
// are, whatever their kinds: 1, 1.0 and DECIMAL 1.00 give the same. They are
// self-delimiting, so the bytes of several values may follow each other. They
// live in memory only and keep no order.
func AppendHash(dst []byte, v Value) []byte {
	switch v.kind {
	case Bool:
		return append(dst, hashBool, byte(v.n))
	case SmallInt, Int, BigInt:
		return appendHashInt(dst, v.n)
	case Float, Double:
		return appendHashFloat(dst, v.Float())
	case Decimal:
		return appendHashDecimal(dst, v.dec())
	case Text, JSON, File:
		return appendHashString(dst, hashString, v.s)
	case Bytes:
		return appendHashString(dst, hashBytes, v.s)
	case UUID:
		return append(append(dst, hashUUID), v.s...)
	case Date, Timestamp, DateTime:
		days, clock := v.instant()
		return appendHashPair(dst, hashInstant, days, clock)
	case Time:
		return binary.AppendVarint(append(dst, hashTime), v.n)
	case Interval:
		days, clock := v.length()
		return appendHashPair(dst, hashInterval, days, clock)
	case Embedding:
		dst = binary.AppendUvarint(append(dst, hashEmbedding), uint64(v.Dim()))
		for i := range v.Dim() {
			dst = binary.BigEndian.AppendUint32(dst, uint32(orderedFloat32(v.embeddingAt(i))))
		}
		return dst
	case Array:
		return appendHashArray(dst, v)
	}
	return append(dst, hashNull)
}

func appendHashInt(dst []byte, n int64) []byte {
	return binary.AppendVarint(append(dst, hashInt), n)
}

func appendHashString(dst []byte, tag byte, s string) []byte {
	dst = binary.AppendUvarint(append(dst, tag), uint64(len(s)))
	return append(dst, s...)
}

func appendHashPair(dst []byte, tag byte, days, micros int64) []byte {
	return binary.AppendVarint(binary.AppendVarint(append(dst, tag), days), micros)
}

func appendHashFloat(dst []byte, f float64) []byte {
	if n := int64(f); f >= -1<<63 && f < 1<<63 && float64(n) == f {
		return appendHashInt(dst, n)
	}
	if d, ok := floatDec(f); ok {
		return appendHashDecimal(dst, d)
	}
	return binary.BigEndian.AppendUint64(append(dst, hashFloat), orderedFloat(f))
}

func appendHashDecimal(dst []byte, d dec) []byte {
	d = d.normal()
	if d.scale == 0 {
		if n, ok := d.int(false); ok {
			return appendHashInt(dst, n)
		}
	}
	tag := hashDecimal
	sign := d.scale << 1
	if d.neg {
		sign |= 1
	}
	dst = append(dst, tag, sign)
	dst = binary.BigEndian.AppendUint64(dst, d.mag.hi)
	return binary.BigEndian.AppendUint64(dst, d.mag.lo)
}

// orderedFloat maps a float to a number whose unsigned order is its order: -0.0
// is 0.0, and every NaN is the same greatest number.
func orderedFloat(f float64) uint64 {
	switch {
	case f == 0:
		f = 0 // -0.0 loses its sign
	case math.IsNaN(f):
		f = math.NaN()
	}
	b := math.Float64bits(f)
	if b>>63 == 1 {
		return ^b
	}
	return b | 1<<63
}

func floatFromOrdered(b uint64) float64 {
	if b>>63 == 1 {
		return math.Float64frombits(b &^ (1 << 63))
	}
	return math.Float64frombits(^b)
}

// orderedFloat32 is orderedFloat for an element of an embedding.
func orderedFloat32(f float32) uint32 {
	switch {
	case f == 0:
		f = 0
	case f != f:
		f = float32(math.NaN())
	}
	b := math.Float32bits(f)
	if b>>31 == 1 {
		return ^b
	}
	return b | 1<<31
}

func float32FromOrdered(b uint32) float32 {
	if b>>31 == 1 {
		return math.Float32frombits(b &^ (1 << 31))
	}
	return math.Float32frombits(^b)
}
