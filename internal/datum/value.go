package datum

import (
	"encoding/binary"
	"math"
	"strings"
)

// Value is one SQL value. It is immutable, may be copied and shared freely, and
// must be compared with Compare or Equal, never with ==. The zero Value is NULL.
type Value struct {
	// s holds strings and bytes, the 16 bytes of a UUID, the floats of an
	// embedding (little endian), the value bytes of an array's elements one after
	// the other, the 16 bytes of a decimal coefficient beyond 64 bits (big endian
	// two's complement), and the four bytes of an interval's days when there are
	// any.
	s string
	// n holds integers, temporals, the bits of a float64, a decimal coefficient
	// that fits, the microseconds of an interval, and the length of an array.
	n int64
	// months belongs to intervals.
	months int32
	kind   Kind
	// scale belongs to decimals; of an array it is the kind of the elements.
	scale uint8
}

// NullValue is NULL, the zero Value.
var NullValue = Value{}

// NewBool returns a BOOLEAN.
func NewBool(b bool) Value {
	if b {
		return Value{kind: Bool, n: 1}
	}
	return Value{kind: Bool}
}

// NewInt returns a value of an integer kind, a DATE (days since 1970-01-01), a
// TIME (microseconds since midnight), or a TIMESTAMP or DATETIME (microseconds
// since 1970-01-01). The caller has checked that n fits the kind.
func NewInt(kind Kind, n int64) Value { return Value{kind: kind, n: n} }

// NewFloat returns a FLOAT.
func NewFloat(f float32) Value { return Value{kind: Float, n: int64(math.Float64bits(float64(f)))} }

// NewDouble returns a DOUBLE.
func NewDouble(f float64) Value { return Value{kind: Double, n: int64(math.Float64bits(f))} }

// NewText returns a TEXT.
func NewText(s string) Value { return Value{kind: Text, s: s} }

// NewBytes returns BYTES holding a copy of b.
func NewBytes(b []byte) Value { return Value{kind: Bytes, s: string(b)} }

// NewBytesString returns BYTES holding s, without a copy.
func NewBytesString(s string) Value { return Value{kind: Bytes, s: s} }

// NewJSON returns a JSON value that keeps text as it is, or a fault when text
// is not valid JSON.
func NewJSON(text string) (Value, error) {
	if err := checkJSON(text); err != nil {
		return Value{}, err
	}
	return Value{kind: JSON, s: text}, nil
}

// NewUUID returns a UUID.
func NewUUID(u [16]byte) Value { return Value{kind: UUID, s: string(u[:])} }

// NewEmbedding returns an EMBEDDING holding a copy of v. The caller keeps to
// MaxDim.
func NewEmbedding(v []float32) Value {
	b := make([]byte, 0, 4*len(v))
	for _, f := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
	}
	return Value{kind: Embedding, s: string(b)}
}

// NewFile returns a FILE holding the JSON text of a file reference.
func NewFile(ref string) Value { return Value{kind: File, s: ref} }

// NewInterval returns an INTERVAL of months, days and microseconds, which are
// kept apart because neither months nor days have a fixed length.
func NewInterval(months, days int32, micros int64) Value {
	v := Value{kind: Interval, months: months, n: micros}
	if days != 0 {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(days))
		v.s = string(b[:])
	}
	return v
}

// Kind returns the kind of v; it is Null for NULL of any type.
func (v Value) Kind() Kind { return v.kind }

// IsNull reports whether v is NULL.
func (v Value) IsNull() bool { return v.kind == Null }

// Type returns the type of v: a decimal has the greatest precision and its own
// scale, an embedding its dimension, an array the kind of its elements.
func (v Value) Type() Type {
	switch v.kind {
	case Decimal:
		return DecimalType(MaxPrecision, v.scale)
	case Embedding:
		return Type{Kind: Embedding, Dim: uint16(len(v.s) / 4)}
	case Array:
		return Type{Kind: Array, Elem: v.ElementKind()}
	}
	return Type{Kind: v.kind}
}

// Bool returns the truth of a BOOLEAN.
func (v Value) Bool() bool { return v.kind == Bool && v.n != 0 }

// Int returns the number of an integer kind or the raw unit of a temporal one.
func (v Value) Int() int64 { return v.n }

// Float returns the number of a FLOAT or DOUBLE.
func (v Value) Float() float64 { return math.Float64frombits(uint64(v.n)) }

// Text returns the text of TEXT, JSON and FILE.
func (v Value) Text() string { return v.s }

// Bytes returns the bytes of BYTES as an immutable string.
func (v Value) Bytes() string { return v.s }

// UUID returns the 16 bytes of a UUID.
func (v Value) UUID() (u [16]byte) {
	copy(u[:], v.s)
	return u
}

// Embedding returns a fresh copy of the numbers of an EMBEDDING.
func (v Value) Embedding() []float32 {
	return v.AppendEmbedding(make([]float32, 0, v.Dim()))
}

// AppendEmbedding appends the numbers of an EMBEDDING to dst.
func (v Value) AppendEmbedding(dst []float32) []float32 {
	for i := range v.Dim() {
		dst = append(dst, v.embeddingAt(i))
	}
	return dst
}

// Dim returns the dimension of an EMBEDDING.
func (v Value) Dim() int { return len(v.s) / 4 }

func (v Value) embeddingAt(i int) float32 {
	b := v.s[4*i : 4*i+4]
	return math.Float32frombits(uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24)
}

// Size returns the bytes that a value holds beside its fixed part: those of
// texts, byte strings, embeddings and arrays.
func (v Value) Size() int { return len(v.s) }

// Clone returns v with memory of its own, for who keeps a value of which the text
// shares memory that goes.
func (v Value) Clone() Value {
	v.s = strings.Clone(v.s)
	return v
}

// valueBytes is about the fixed part of a value in memory.
const valueBytes = 32

// RowSize returns about how many bytes the values of a row take in memory.
func RowSize(row []Value) int64 {
	n := len(row) * valueBytes
	for i := range row {
		n += row[i].Size()
	}
	return int64(n)
}

// Interval returns the parts of an INTERVAL.
func (v Value) Interval() (months, days int32, micros int64) {
	return v.months, v.days(), v.n
}

func (v Value) days() int32 {
	if len(v.s) != 4 {
		return 0
	}
	return int32(uint32(v.s[0])<<24 | uint32(v.s[1])<<16 | uint32(v.s[2])<<8 | uint32(v.s[3]))
}

// Scale returns the number of fraction digits of a DECIMAL.
func (v Value) Scale() uint8 { return v.scale }
