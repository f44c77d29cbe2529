package datum

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"kalamdb/internal/fault"
)

// someValues are values that lie close to each other or at an edge.
func someValues() map[Kind][]Value {
	all := map[Kind][]Value{Bool: {NewBool(false), NewBool(true)}}
	for _, k := range []Kind{SmallInt, Int, BigInt, Date, Time, Timestamp, DateTime} {
		for shift := range 64 {
			for _, n := range []int64{1 << shift, 1<<shift - 1, -1 << shift, -1<<shift - 1, 0} {
				if k.CanHold(n) {
					all[k] = append(all[k], NewInt(k, n))
				}
			}
		}
	}
	for _, f := range []float64{0, math.Copysign(0, -1), 1, -1, 1.5, -1.5, 0.1, 5e-324, -5e-324, 1e300, -1e300,
		math.MaxFloat64, math.Inf(1), math.Inf(-1), math.NaN(), 1 << 53, 1<<53 + 2, 1 << 63, -1 << 63} {
		all[Double] = append(all[Double], NewDouble(f))
		all[Float] = append(all[Float], NewFloat(float32(f)))
	}
	for _, text := range []string{"0", "0.0", "1", "1.0", "1.1", "1.10", "-1", "-1.1", "10", "100", "99", "9.9", "0.9",
		"0.1", "0.01", "0.011", "-0.01", "-0.011", "123456789012345678901234567890", "9223372036854775807",
		"9223372036854775808", "-9223372036854775808", "-9223372036854775809", "18446744073709551616",
		strings.Repeat("9", 38), "-" + strings.Repeat("9", 38), "0." + strings.Repeat("9", 38), "1e-38", "-1e-38"} {
		v, err := ParseDecimal(text)
		if err != nil {
			panic(err)
		}
		all[Decimal] = append(all[Decimal], v)
	}
	for _, s := range []string{"", "\x00", "\x00\x00", "\x00\x01", "\x00\xff", "a", "a\x00", "a\x00b", "ab", "b", "\xff", "é"} {
		all[Text] = append(all[Text], NewText(s))
		all[JSON] = append(all[JSON], NewText(s).as(JSON))
		all[Bytes] = append(all[Bytes], NewBytes([]byte(s)))
	}
	all[UUID] = []Value{NewUUID([16]byte{}), NewUUID([16]byte{15: 1}), NewUUID([16]byte{0: 0xff}), NewUUID([16]byte{0: 0x80})}
	all[Interval] = []Value{NewInterval(0, 0, 0), NewInterval(1, 0, 0), NewInterval(0, 30, 0), NewInterval(0, 31, 0),
		NewInterval(0, 0, -1), NewInterval(0, -1, microsPerDay), NewInterval(math.MaxInt32, math.MaxInt32, math.MaxInt64),
		NewInterval(math.MinInt32, math.MinInt32, math.MinInt64)}
	all[Embedding] = []Value{NewEmbedding([]float32{0}), NewEmbedding([]float32{-1}), NewEmbedding([]float32{1}),
		NewEmbedding([]float32{1, 0}), NewEmbedding([]float32{1, -2}), NewEmbedding([]float32{float32(math.NaN())})}
	three := []Value{NewInt(Int, -1), NewInt(Int, 300), {}}
	for n := range 4 {
		all[Array] = append(all[Array], NewArray(Int, three[:n]), NewArray(Int, three[3-n:]))
	}
	return all
}

func TestKeyOrder(t *testing.T) {
	for _, values := range someValues() {
		values = append(values, NullValue)
		for _, a := range values {
			checkRoundTrip(t, a)
			for _, b := range values {
				checkOrder(t, a, b)
			}
		}
	}
}

// checkOrder checks that keys and hash bytes agree with Compare.
func checkOrder(t *testing.T, a, b Value) {
	t.Helper()
	c := Compare(a, b)
	if back := Compare(b, a); back != -c {
		t.Errorf("Compare(%s, %s) = %d, but %d the other way round", a, b, c, back)
	}
	if same := bytes.Equal(AppendHash(nil, a), AppendHash(nil, b)); same != (c == 0) {
		t.Errorf("hash bytes of %s and %s are equal: %v, Compare: %d", a, b, same, c)
	}
	ka, kb := AppendKey(nil, a), AppendKey(nil, b)
	sameForm := a.kind == b.kind || a.IsNull() || b.IsNull() || a.kind.IsInteger() && b.kind.IsInteger() ||
		a.kind.IsString() && b.kind.IsString() || a.kind.isFloat() && b.kind.isFloat()
	if order := bytes.Compare(ka, kb); sameForm && order != c {
		t.Errorf("%s %s and %s %s: Compare is %d, keys % x and % x are %d", a.kind, a, b.kind, b, c, ka, kb, order)
	}
	// Two values in a row are ordered by the first, whatever follows.
	if c < 0 && sameForm && bytes.Compare(AppendKey(ka, b), AppendKey(kb, a)) >= 0 {
		t.Errorf("%s and %s: a key is the beginning of another", a, b)
	}
}

func checkRoundTrip(t *testing.T, v Value) {
	t.Helper()
	key := AppendKey(nil, v)
	back, rest, err := DecodeKey(key, v.Type())
	if err != nil || len(rest) != 0 || Compare(v, back) != 0 || back.kind != v.kind {
		t.Errorf("key of %s %s read back as %s, % x, %v", v.kind, v, back, rest, err)
	}
	if rest, err := SkipKey(key); err != nil || len(rest) != 0 {
		t.Errorf("SkipKey of %s %s: % x, %v", v.kind, v, rest, err)
	}
	b := AppendValue(nil, v)
	back, rest, err = DecodeValue(b)
	if err != nil || len(rest) != 0 || back.Type() != v.Type() || back.String() != v.String() {
		t.Errorf("value bytes of %s %s read back as %s, % x, %v", v.kind, v, back, rest, err)
	}
	if !bytes.Equal(AppendValue(nil, back), b) {
		t.Errorf("value bytes of %s change when written again", v)
	}
	for i := range b {
		if _, _, err := DecodeValue(b[:i]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("the first %d value bytes of %s decode: %v", i, v, err)
		}
	}
	for i := range key {
		if _, _, err := DecodeKey(key[:i], v.Type()); !errors.Is(err, ErrCorrupt) {
			t.Errorf("the first %d key bytes of %s decode: %v", i, v, err)
		}
		if _, err := SkipKey(key[:i]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("the first %d key bytes of %s are skipped: %v", i, v, err)
		}
	}
}

// TestCompareAcross checks that all numbers of all kinds have one order.
func TestCompareAcross(t *testing.T) {
	var numbers []Value
	for kind, values := range someValues() {
		if kind.IsNumeric() {
			numbers = append(numbers, values...)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 200000 {
		a, b, c := numbers[r.IntN(len(numbers))], numbers[r.IntN(len(numbers))], numbers[r.IntN(len(numbers))]
		if Compare(a, b) <= 0 && Compare(b, c) <= 0 && Compare(a, c) > 0 {
			t.Fatalf("%s %s <= %s %s <= %s %s, but the first is above the last", a.kind, a, b.kind, b, c.kind, c)
		}
		if same := bytes.Equal(AppendHash(nil, a), AppendHash(nil, b)); same != Equal(a, b) {
			t.Fatalf("%s %s and %s %s: equal %v, hash bytes equal %v", a.kind, a, b.kind, b, Equal(a, b), same)
		}
	}
}

// randomValue makes a value of any kind out of arbitrary numbers.
func randomValue(kind, scale uint8, a, b int64, s string) Value {
	switch k := Kind(kind % uint8(kindEnd)); k {
	case Bool:
		return NewBool(a&1 == 1)
	case SmallInt:
		return NewInt(k, int64(int16(a)))
	case Int, Date:
		return NewInt(k, int64(int32(a)))
	case Time:
		_, clock := floorDiv(a, microsPerDay)
		return NewInt(k, clock)
	case BigInt, Timestamp, DateTime:
		return NewInt(k, a)
	case Float:
		return NewFloat(math.Float32frombits(uint32(a)))
	case Double:
		return NewDouble(math.Float64frombits(uint64(a)))
	case Decimal:
		d := wideDec(uint64(b), uint64(a), scale%(maxScale+1))
		if !d.fits(MaxPrecision) {
			d = intDec(a, d.scale)
		}
		return d.value()
	case Text, JSON, File, Bytes:
		return Value{kind: k, s: s}
	case UUID:
		var u [16]byte
		copy(u[:], s)
		return NewUUID(u)
	case Embedding:
		return NewEmbedding([]float32{math.Float32frombits(uint32(a)), float32(b)})
	case Interval:
		return NewInterval(int32(b), int32(b>>32), a)
	case Array:
		items := []Value{{}}
		for _, part := range strings.SplitAfter(s, "\x00") {
			items = append(items, NewText(part))
		}
		return NewArray(Text, items[uint64(a)%2:])
	}
	return NullValue
}

func FuzzKeyOrder(f *testing.F) {
	f.Add(uint8(BigInt), uint8(0), int64(1), int64(0), "", int64(-256), int64(0), "")
	f.Add(uint8(Decimal), uint8(3), int64(1234500), int64(7), "", int64(-1), int64(-8), "")
	f.Add(uint8(Double), uint8(0), int64(-1), int64(0), "", int64(math.MinInt64), int64(0), "")
	f.Add(uint8(Text), uint8(0), int64(0), int64(0), "a\x00", int64(0), int64(0), "a\x00\xff")
	f.Add(uint8(Interval), uint8(0), int64(math.MaxInt64), int64(math.MinInt64), "", int64(math.MinInt64), int64(math.MaxInt64), "")
	f.Add(uint8(Array), uint8(0), int64(1), int64(0), "a\x00b", int64(0), int64(0), "a")
	f.Add(uint8(Embedding), uint8(0), int64(0x7fc00001), int64(0), "", int64(0xffc00000), int64(1), "")
	f.Fuzz(func(t *testing.T, kind, scale uint8, a1, b1 int64, s1 string, a2, b2 int64, s2 string) {
		if len(s1) > 256 || len(s2) > 256 {
			return
		}
		a, b := randomValue(kind, scale, a1, b1, s1), randomValue(kind, scale>>1, a2, b2, s2)
		checkOrder(t, a, b)
		checkRoundTrip(t, a)
	})
}

func FuzzKeyDecode(f *testing.F) {
	for kind, values := range someValues() {
		for _, v := range values {
			f.Add(AppendKey(nil, v), uint8(kind), uint8(2))
		}
	}
	f.Add([]byte{keyDecimal, 0xff, 0x02, 0x00}, uint8(Decimal), uint8(0))
	f.Add([]byte{keyString, 0, 2}, uint8(Text), uint8(0))
	f.Fuzz(func(t *testing.T, src []byte, kind, scale uint8) {
		v, rest, err := DecodeKey(src, Type{Kind: Kind(kind), Scale: scale, Elem: Kind(scale)})
		if err != nil {
			if !errors.Is(err, ErrCorrupt) || fault.CodeOf(err) != fault.Internal {
				t.Fatalf("DecodeKey(% x): %v", src, err)
			}
			_, _ = SkipKey(src)
			return
		}
		used := src[:len(src)-len(rest)]
		if again := AppendKey(nil, v); !bytes.Equal(again, used) {
			t.Fatalf("DecodeKey(% x) = %s %s, whose key is % x", used, v.kind, v, again)
		}
		if skipped, err := SkipKey(src); err != nil || len(skipped) != len(rest) {
			t.Fatalf("SkipKey(% x) leaves %d bytes, %v; DecodeKey %d", src, len(skipped), err, len(rest))
		}
		exercise(t, v)
	})
}

func FuzzValueDecode(f *testing.F) {
	for _, values := range someValues() {
		for _, v := range values {
			f.Add(AppendValue(nil, v))
		}
	}
	f.Add([]byte{byte(Embedding), 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40})
	f.Add([]byte{byte(Text), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Add([]byte{byte(Decimal) | valueFlag, 38})
	f.Add([]byte{byte(Array), arrayForm, byte(Array), 1, 5, byte(Array), arrayForm, byte(Int), 0, 0})
	f.Fuzz(func(t *testing.T, src []byte) {
		v, rest, err := DecodeValue(src)
		v2, rest2, err2 := DecodeValueString(string(src))
		if (err == nil) != (err2 == nil) || typed(v) != typed(v2) || err == nil && string(rest) != rest2 {
			t.Fatalf("DecodeValue(% x) = %s, %v; DecodeValueString = %s, %v", src, v, err, v2, err2)
		}
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("DecodeValue(% x): %v", src, err)
			}
			return
		}
		if again := AppendValue(nil, v); !bytes.Equal(again, src[:len(src)-len(rest)]) {
			t.Fatalf("DecodeValue(% x) = %s, whose bytes are % x", src, v, again)
		}
		if skipped, err := SkipValue(src); err != nil || len(skipped) != len(rest) {
			t.Fatalf("SkipValue(% x) leaves %d bytes, %v; DecodeValue %d", src, len(skipped), err, len(rest))
		}
		checkRoundTrip(t, v)
		exercise(t, v)
	})
}

// exercise calls all that a value from the disk may meet; nothing may panic.
func exercise(t *testing.T, v Value) {
	t.Helper()
	_ = v.String()
	_ = AppendHash(nil, v)
	_, _ = AppendJSON(nil, v)
	_, _ = Neg(v)
	_, _ = Abs(v)
	_, _ = Floor(v)
	_, _ = Round(v, 1)
	for _, name := range []string{"epoch", "year", "second", "week"} {
		_, _ = Extract(name, v)
		_, _ = Trunc(name, v)
	}
	for k := range kindEnd {
		to := Type{Kind: k}
		if k == Decimal {
			to = DecimalType(20, 3)
		}
		if out, err := Cast(v, to); err == nil && !out.IsNull() && out.kind != k {
			t.Fatalf("Cast(%s %s, %s) is a %s", v.kind, v, to, out.kind)
		}
		if out, err := Assign(v, to); err == nil && !out.IsNull() && out.kind != k {
			t.Fatalf("Assign(%s %s, %s) is a %s", v.kind, v, to, out.kind)
		}
	}
}

func FuzzCast(f *testing.F) {
	for _, text := range []string{"12", "-1.5e3", "true", "2026-11-23T10:00:00.5+02", "1 day -02:03", "P1Y2M3DT4H",
		`{"a":[1,"\u00e9"]}`, "[0.1,2]", `\x00ff`, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "10:00", "0044-03-15 BC",
		strings.Repeat("9", 40), "1e-400", "NaN", "infinity", "1-2", "3 weeks ago", strings.Repeat("[", 600)} {
		f.Add(text, uint8(7))
	}
	f.Fuzz(func(t *testing.T, text string, kind uint8) {
		if len(text) > 4096 {
			return
		}
		for k := range kindEnd {
			to := Type{Kind: k}
			if k == Decimal && kind%2 == 0 {
				to = DecimalType(18, 4)
			}
			v, err := Cast(NewText(text), to)
			if err != nil {
				if fault.CodeOf(err) == fault.Internal {
					t.Fatalf("Cast(%q, %s): %v", text, to, err)
				}
				continue
			}
			checkRoundTrip(t, v)
			// The text of a value is its value again.
			back, err := Cast(NewText(v.String()), to)
			if err != nil || !Equal(v, back) || back.String() != v.String() {
				t.Fatalf("%q is %s %q, which reads back as %q, %v", text, to, v, back, err)
			}
			if cell, err := AppendJSON(nil, v); err == nil && k != Null {
				again, err := FromJSON(cell, to)
				if err != nil || utf8.ValidString(text) && !Equal(v, again) {
					t.Fatalf("%s %s has the cell %s, which reads back as %s, %v", to, v, cell, again, err)
				}
			}
		}
	})
}
