package datum

import (
	"math/big"
	"strings"
	"testing"
	"time"

	"kalamdb/internal/fault"
)

// FuzzFromJSON: a cell of any bytes is refused in documented words or becomes a
// value whose own cell is the same value.
func FuzzFromJSON(f *testing.F) {
	for _, text := range []string{`1`, `"1.50"`, `null`, `true`, `"2026-11-23T10:00:00Z"`, `[1,2.5]`, `{"a":[]}`, `[null,"a",[1]]`, `"\u00e9\ud83c\udf75"`, `1e400`, `"\ud800"`, ` `, `"AQI="`, `-0.0`, `1`} {
		for kind := range kindEnd {
			f.Add([]byte(text), uint8(kind), uint8(2))
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte, kind, scale uint8) {
		to := Type{Kind: Kind(kind % uint8(kindEnd))}
		switch to.Kind {
		case Decimal:
			to = DecimalType(MaxPrecision, scale%MaxPrecision)
		case Embedding:
			to.Dim = uint16(scale)
		case Array:
			to.Elem = Kind(scale % uint8(kindEnd))
		}
		v, err := FromJSON(raw, to)
		if err != nil {
			if fault.CodeOf(err) == fault.Internal {
				t.Fatalf("%q as %s: %v", raw, to, err)
			}
			return
		}
		if v.IsNull() {
			return
		}
		if v.Kind() != to.Kind && to.Kind != Null || v.Size() > 16+9*len(raw) {
			t.Fatalf("%q as %s is %s of %d bytes", raw, to, v.Kind(), v.Size())
		}
		cell, err := AppendJSON(nil, v)
		if err != nil {
			return // infinity and the like have no cell
		}
		again, err := FromJSON(cell, to)
		if err != nil || again.String() != v.String() {
			t.Fatalf("%q as %s is %s, whose cell %q is %s, %v", raw, to, v, cell, again, err)
		}
	})
}

// FuzzDecimalText reads numbers as the library of big numbers does.
func FuzzDecimalText(f *testing.F) {
	for _, text := range []string{"0", "-0", "1.50", "+1e3", ".5", "5.", "1e-38", strings.Repeat("9", 38), "0." + strings.Repeat("0", 40) + "1", "1e99999", "1_000", "0x10", "٣", " 1 ", "--1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := ParseDecimal(text)
		if err != nil {
			if fault.CodeOf(err) == fault.Internal {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if len(text) > 200 {
			return
		}
		got, ok := new(big.Rat).SetString(v.DecimalString())
		want, known := new(big.Rat).SetString(strings.TrimSpace(text))
		if !ok || known && want.Cmp(got) != 0 && !rounded(want, got, v.Scale()) {
			t.Fatalf("%q is %s", text, v)
		}
		double := NewDouble(0)
		if sum, err := Add(v, double); err == nil && sum.Kind() != Double {
			t.Fatalf("%s and a DOUBLE are a %s", v, sum.Kind())
		}
	})
}

// rounded reports whether got is want with the digits that a scale has.
func rounded(want, got *big.Rat, scale uint8) bool {
	distance := new(big.Rat).Sub(want, got)
	half := new(big.Rat).SetFrac(big.NewInt(1), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))
	return distance.Abs(distance).Cmp(half.Quo(half, big.NewRat(2, 1))) <= 0
}

// FuzzTime reads moments as the library does where both know the form, and what
// is printed of any is read again.
func FuzzTime(f *testing.F) {
	for _, text := range []string{"2026-11-23T10:00:00.123456Z", "2026-11-23 10:00:00+05:30", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "2024-02-30", "24:00:00",
		"infinity", "2026-11-23 10:00:00 BC", "1 year 2 mons -3 days 04:05:06.7", "P1Y2M3DT4H5M6.7S", "@ 1 hour ago", "12:00:60", "2026-366"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if at, err := time.Parse(time.RFC3339, text); err == nil && at.UTC().Year() > 0 && at.UTC().Year() < 10_000 && !strings.Contains(text, ",") {
			v, err := ParseDateTime(text)
			if err != nil || len(text) <= len("2026-11-23T10:00:00.123456+00:00") && v.Int()-at.UnixMicro() > 1 {
				t.Fatalf("%q is %s, %v; want %s", text, v, err, at)
			}
		}
		for name, read := range map[string]func(string) (Value, error){"DATE": ParseDate, "TIME": ParseTime, "TIMESTAMP": ParseTimestamp, "DATETIME": ParseDateTime, "INTERVAL": ParseInterval} {
			v, err := read(text)
			if err != nil {
				if fault.CodeOf(err) == fault.Internal {
					t.Fatalf("%s %q: %v", name, text, err)
				}
				continue
			}
			if again, err := read(v.String()); err != nil || Compare(again, v) != 0 || again.String() != v.String() {
				t.Fatalf("%s %q is %s, which is read as %s, %v", name, text, v, again, err)
			}
		}
	})
}

// FuzzType: a type of any name and numbers is refused, or printed in words that
// mean it.
func FuzzType(f *testing.F) {
	f.Add("double  PRECISION", 0, 0, uint8(0))
	f.Add("numeric", 10, 2, uint8(2))
	f.Add("decimal", -1, 1<<40, uint8(2))
	f.Add("embedding", 1<<16, 0, uint8(1))
	f.Add("time with time zone", 6, 0, uint8(1))
	f.Fuzz(func(t *testing.T, name string, a, b int, count uint8) {
		made, err := ParseType(name, []int{a, b}[:count%3])
		if err != nil {
			if code := fault.CodeOf(err); code != fault.InvalidDefinition && code != fault.NotImplemented {
				t.Fatalf("%q: %v", name, err)
			}
			return
		}
		base, numbers, _ := strings.Cut(made.String(), "(")
		var args []int
		for part := range strings.SplitSeq(strings.TrimSuffix(numbers, ")"), ",") {
			if n, ok := new(big.Int).SetString(part, 10); ok {
				args = append(args, int(n.Int64()))
			}
		}
		if again, err := ParseType(base, args); err != nil || again != made {
			t.Fatalf("%q is %s, which is read as %s, %v", name, made, again, err)
		}
	})
}

// FuzzHex: bytes and UUIDs in any words are refused or read as what they print.
func FuzzHex(f *testing.F) {
	for _, text := range []string{`\x00fF`, "00ff", `\x0`, "a0eebc999c0b4ef8bb6d6bb9bd380a11", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}", `a\000b`, `\\`, ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if v, err := ParseBytesHex(text); err == nil {
			if again, err := Cast(NewText(v.String()), Type{Kind: Bytes}); err != nil || !Equal(again, v) || 2*len(v.Bytes()) > len(text) {
				t.Fatalf("%q is %s, which is read as %s, %v", text, v, again, err)
			}
		}
		if v, err := ParseUUID(text); err == nil {
			if again, err := ParseUUID(v.String()); err != nil || again.UUID() != v.UUID() {
				t.Fatalf("%q is %s, which is read as %s, %v", text, v, again, err)
			}
		}
		for _, read := range []func(string) (Value, error){ParseBytesHex, ParseUUID} {
			if _, err := read(text); err != nil && fault.CodeOf(err) == fault.Internal {
				t.Fatalf("%q: %v", text, err)
			}
		}
	})
}
