package datum

import (
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
	"unsafe"

	"kalamdb/internal/fault"
)

// TestKinds fixes what is on disk and how large a value is.
func TestKinds(t *testing.T) {
	want := []string{"NULL", "BOOLEAN", "SMALLINT", "INT", "BIGINT", "FLOAT", "DOUBLE", "DECIMAL", "TEXT", "BYTES", "JSON",
		"UUID", "DATE", "TIME", "TIMESTAMP", "DATETIME", "EMBEDDING", "FILE", "INTERVAL", "ARRAY"}
	if len(want) != int(kindEnd) {
		t.Errorf("there are %d kinds, want %d", kindEnd, len(want))
	}
	for i, name := range want {
		if got := Kind(i).String(); got != name {
			t.Errorf("kind %d is %s, want %s", i, got, name)
		}
	}
	if size := unsafe.Sizeof(Value{}); size > 32 {
		t.Errorf("a Value has %d bytes, want at most 32", size)
	}
	if got := Kind(200).String(); got != "KIND(200)" {
		t.Errorf("Kind(200) is %s", got)
	}
}

// someWide makes a 128-bit number of any length.
func someWide(r *rand.Rand) u128 {
	n := u128{r.Uint64(), r.Uint64()}
	bits := r.IntN(129)
	if bits < 128 {
		n = n.shl(uint(128 - bits - min(1, 128-bits)))
		n = u128{n.hi >> (r.IntN(64)), n.lo}
	}
	if r.IntN(3) == 0 {
		n.hi = 0
	}
	return n
}

func TestUint128(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	limit := new(big.Int).Lsh(big.NewInt(1), 128)
	wide := func(n u128) *big.Int { return dec{mag: n}.big() }
	check := func(name string, a, b, got u128, ok bool, want *big.Int) {
		t.Helper()
		if fits := want.Cmp(limit) < 0; ok != fits || fits && wide(got).Cmp(want) != 0 {
			t.Fatalf("%s of %s and %s is %s, %v; want %s", name, wide(a), wide(b), wide(got), ok, want)
		}
	}
	for range 100000 {
		a, b := someWide(r), someWide(r)
		sum, ok := a.add(b)
		check("sum", a, b, sum, ok, new(big.Int).Add(wide(a), wide(b)))
		product, ok := a.mul(b)
		check("product", a, b, product, ok, new(big.Int).Mul(wide(a), wide(b)))
		if !b.isZero() {
			q, rest := a.divMod(b)
			wantQ, wantR := new(big.Int).QuoRem(wide(a), wide(b), new(big.Int))
			check("quotient", a, b, q, true, wantQ)
			check("rest", a, b, rest, true, wantR)
		}
		if a.cmp(b) != wide(a).Cmp(wide(b)) {
			t.Fatalf("%s cmp %s is %d", wide(a), wide(b), a.cmp(b))
		}
		if text := wide(a).String(); !a.isZero() && a.cmp(pow10[38]) < 0 && a.digits() != len(text) {
			t.Fatalf("%s has %d digits", text, a.digits())
		}
	}
}

// someDecimal makes a decimal of any length and scale.
func someDecimal(r *rand.Rand) Value {
	_, mag := someWide(r).divMod(pow10[r.IntN(MaxPrecision)+1])
	d := dec{mag, r.IntN(2) == 0 && !mag.isZero(), uint8(r.IntN(maxScale + 1))}
	if r.IntN(2) == 0 {
		d.scale %= 6
	}
	return d.value()
}

func rat(v Value) *big.Rat {
	d := v.dec()
	return new(big.Rat).SetFrac(d.big(), bigPow10(int(d.scale)))
}

// TestDecimalArithmetic compares results with exact fractions: a result is the
// exact one rounded half away from zero to its own scale.
func TestDecimalArithmetic(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	limit := new(big.Rat).SetInt(bigPow10(MaxPrecision))
	for range 50000 {
		a, b := someDecimal(r), someDecimal(r)
		x, y := rat(a), rat(b)
		results := map[string]*big.Rat{
			"+": new(big.Rat).Add(x, y), "-": new(big.Rat).Sub(x, y), "*": new(big.Rat).Mul(x, y),
		}
		if y.Sign() != 0 {
			results["/"] = new(big.Rat).Quo(x, y)
		}
		for name, want := range results {
			f := map[string]func(a, b Value) (Value, error){"+": Add, "-": Sub, "*": Mul, "/": Div}[name]
			got, err := f(a, b)
			if err != nil {
				if abs := new(big.Rat).Abs(want); !fault.Is(err, fault.OutOfRange) || abs.Cmp(limit) < 0 && abs.Add(abs, big.NewRat(1, 2)).Cmp(limit) < 0 {
					t.Fatalf("%s %s %s: %v, want %s", a, name, b, err, want.FloatString(5))
				}
				continue
			}
			if text := want.FloatString(int(got.Scale())); rat(got).Cmp(mustRat(text)) != 0 {
				t.Fatalf("%s %s %s = %s, want %s", a, name, b, got, text)
			}
		}
		if c := Compare(a, b); c != x.Cmp(y) {
			t.Fatalf("Compare(%s, %s) = %d", a, b, c)
		}
		if back, err := ParseDecimal(a.String()); err != nil || back.String() != a.String() {
			t.Fatalf("%s reads back as %s, %v", a, back, err)
		}
		f, _ := x.Float64()
		if got := a.double(); got != f {
			t.Fatalf("%s is the float %g, want %g", a, got, f)
		}
		hi, lo := a.Decimal128()
		if back, err := NewDecimal128(hi, lo, a.Scale()); err != nil || back.String() != a.String() {
			t.Fatalf("%s from 128 bits is %s, %v", a, back, err)
		}
	}
}

func mustRat(text string) *big.Rat {
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		panic(text)
	}
	return r
}

// TestCompareExact compares integers and decimals with the floats around them.
func TestCompareExact(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	check := func(v Value, f float64) {
		t.Helper()
		want := rat(v).Cmp(new(big.Rat).SetFloat64(f))
		if got := Compare(v, NewDouble(f)); got != want {
			t.Fatalf("Compare(%s %s, %s) = %d, want %d", v.kind, v, strconv.FormatFloat(f, 'g', -1, 64), got, want)
		}
	}
	for range 50000 {
		for _, v := range []Value{someDecimal(r), NewInt(BigInt, int64(r.Uint64())>>r.IntN(64))} {
			f := v.double()
			check(v, f)
			check(v, math.Nextafter(f, math.Inf(1)))
			check(v, math.Nextafter(f, math.Inf(-1)))
			check(v, math.Ldexp(float64(int64(r.Uint64())), -r.IntN(120)))
		}
	}
}

func TestCalendar(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for range 100000 {
		days := r.Int64N(8_000_000) - 4_000_000
		want := time.Unix(days*86400, 0).UTC()
		year, month, day := civilFromDays(days)
		if y, m, d := want.Date(); int64(y) != year || int64(m) != month || int64(d) != day {
			t.Fatalf("day %d is %d-%d-%d, want %s", days, year, month, day, want)
		}
		if back := daysFromCivil(year, month, day); back != days {
			t.Fatalf("day %d became %d", days, back)
		}
		if weekday(days) != int64(want.Weekday()) {
			t.Fatalf("weekday of %s is %d", want, weekday(days))
		}
		isoYear, week := isoWeek(days)
		if y, w := want.ISOWeek(); int64(y) != isoYear || int64(w) != week {
			t.Fatalf("week of %s is %d in %d", want, week, isoYear)
		}
		if next := addMonths(days, 1); next <= days || next-days > 31 {
			t.Fatalf("a month after %s is %d days later", want, next-days)
		}
	}
}

// TestAllocations fixes what needs no memory on the paths of every row.
func TestAllocations(t *testing.T) {
	buf := make([]byte, 0, 1024)
	wide, err := ParseDecimal("123456789012345678901234567890.12")
	if err != nil {
		t.Fatal(err)
	}
	price, stamp, text := NewInt(Decimal, 1990), NewInt(Timestamp, 1777852800000000), NewText("some \"text\"\nwith escapes")
	price.scale = 2
	values := []Value{NewInt(BigInt, 42), NewInt(Int, -7), text, price, wide, stamp, NewDouble(0.1), NewBool(true),
		NewUUID([16]byte{1, 2, 3})}
	f := func(name string, work func()) {
		t.Helper()
		if n := testing.AllocsPerRun(100, work); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
	for _, v := range values {
		name := v.Kind().String()
		f("AppendJSON of "+name, func() { _, _ = AppendJSON(buf, v) })
		f("AppendKey of "+name, func() { _ = AppendKey(buf, v) })
		f("AppendValue of "+name, func() { _ = AppendValue(buf, v) })
		f("AppendHash of "+name, func() { _ = AppendHash(buf, v) })
		f("Compare of "+name, func() { _ = Compare(v, v) })
	}
	f("Compare across kinds", func() { _ = Compare(values[0], price); _ = Compare(price, values[6]) })
	f("Add of decimals", func() { _, _ = Add(price, price) })
	f("Assign of an integer", func() { _, _ = Assign(values[0], Type{Kind: Int}) })
	f("NewDecimal", func() { _, _ = NewDecimal("19.90", 10, 2) })
	f("ParseTimestamp", func() { _, _ = ParseTimestamp("2026-11-23T10:00:00.5Z") })
	encoded := string(AppendValue(AppendValue(nil, text), price))
	f("DecodeValueString", func() {
		_, rest, _ := DecodeValueString(encoded)
		_, _, _ = DecodeValueString(rest)
	})
	key := AppendKey(nil, stamp)
	f("DecodeKey", func() { _, _, _ = DecodeKey(key, Type{Kind: Timestamp}) })
}

func BenchmarkValue(b *testing.B) {
	buf := make([]byte, 0, 1024)
	for _, v := range []Value{NewInt(BigInt, 1<<40), NewText("a text of some thirty characters"), NewInt(Decimal, 1990), NewDouble(0.1)} {
		encoded := string(AppendValue(nil, v))
		key := AppendKey(nil, v)
		run := func(name string, work func()) {
			b.Run(v.Kind().String()+"/"+name, func(b *testing.B) {
				for b.Loop() {
					work()
				}
			})
		}
		run("json", func() { _, _ = AppendJSON(buf, v) })
		run("key", func() { _ = AppendKey(buf, v) })
		run("skipkey", func() { _, _ = SkipKey(key) })
		run("value", func() { _ = AppendValue(buf, v) })
		run("decode", func() { _, _, _ = DecodeValueString(encoded) })
		run("compare", func() { _ = Compare(v, v) })
		run("hash", func() { _ = AppendHash(buf, v) })
	}
}
