package plan

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// documented fails unless an error has a code that users may see.
func documented(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil && fault.CodeOf(err) == fault.Internal {
		t.Fatalf("%s: %v", what, err)
	}
}

// FuzzLike: a pattern is refused, or matches what the regular expression does
// that says the same, and its translation does not grow.
func FuzzLike(f *testing.F) {
	f.Add("hello", "he%o", `\`, false)
	f.Add("10% OFF", `10\%_o__`, `\`, true)
	f.Add("ſK", "sK", "", true)
	f.Add("a%b", "a!%b", "!", false)
	f.Add("\xff", "_", `\`, false)
	f.Add("", "%%", "%", true)
	f.Fuzz(func(t *testing.T, text, pattern, escape string, fold bool) {
		if len(text) > 1000 || len(pattern) > 1000 || !utf8.ValidString(text) || !utf8.ValidString(pattern) || !utf8.ValidString(escape) {
			return
		}
		v, err := like(&Env{}, datum.NewText(text), likeKey{pattern, escape, fold})
		if err != nil {
			documented(t, pattern, err)
			return
		}
		if fold {
			return // Unicode has more ways to fold than one; the rest is the same
		}
		if expression, ok := likeAsRegexp(pattern, escape); ok && regexp.MustCompile(expression).MatchString(text) != v.Bool() {
			t.Fatalf("%q LIKE %q ESCAPE %q is %t; %s says otherwise", text, pattern, escape, v.Bool(), expression)
		}
	})
}

// likeAsRegexp says a pattern as a regular expression, unless it ends in the
// middle of an escape.
func likeAsRegexp(pattern, escape string) (string, bool) {
	var b strings.Builder
	b.WriteString("(?s)^")
	escaped := false
	for _, r := range pattern {
		switch {
		case !escaped && string(r) == escape:
			escaped = true
			continue
		case !escaped && r == '%':
			b.WriteString(".*")
		case !escaped && r == '_':
			b.WriteString(".")
		default:
			b.WriteString(regexp.QuoteMeta(string(r)))
		}
		escaped = false
	}
	return b.String() + "$", !escaped
}

// FuzzRegexp: no expression, flags or replacement make the family of regular
// expressions panic or build more than may be built.
func FuzzRegexp(f *testing.F) {
	f.Add("The quick fox", `(\w+) (\w+)`, `\2 \1 \& \\`, "gi")
	f.Add("aaa", "a*", "<&>", "g")
	f.Add("\n", "^$", "", "nm")
	f.Add("x", "(", `\`, "z")
	f.Add("é", "(?P<n>.)|()", `\9`, "ic")
	f.Fuzz(func(t *testing.T, text, pattern, with, letters string) {
		if len(text) > 1000 || len(with) > 100 {
			return
		}
		flags, _, err := regexpFlags(letters)
		documented(t, letters, err)
		if err == nil {
			_, err = compileRegexp("(?s"+strings.Trim(flags, "(?)")+")", pattern)
			documented(t, pattern, err)
		}
		env := &Env{}
		v, err := regexpReplace(env, datum.NewText(text), datum.NewText(pattern), datum.NewText(with), letters)
		documented(t, pattern, err)
		if v.Size() > MaxBuilt {
			t.Fatalf("%d bytes were built", v.Size())
		}
		again, err2 := regexpReplace(env, datum.NewText(text), datum.NewText(pattern), datum.NewText(with), letters)
		if (err == nil) != (err2 == nil) || !datum.Equal(v, again) {
			t.Fatalf("%q becomes %q, %v and then %q, %v", text, v, err, again, err2)
		}
	})
}

// FuzzFunctions calls every function with any arguments of the types it takes:
// errors are documented, results have the type that is declared, and nothing
// grows beyond what may be built.
func FuzzFunctions(f *testing.F) {
	all := Functions()
	f.Add(uint16(0), "abc", "b", "2", int64(2), 1.5)
	f.Add(uint16(7), `{"a":[1,{"b":"x"}]}`, "{a,1,b}", "b", int64(-1), 0.0)
	f.Add(uint16(90), "2026-11-23 10:00:00", "month", "UTC", int64(1<<62), 1e308)
	f.Add(uint16(200), "\\x00ff", "hex", "base64", int64(0), 0.1)
	for i := range all {
		f.Add(uint16(i), "1.5", "[1,2]", "day", int64(i), -2.25)
	}
	f.Fuzz(func(t *testing.T, choice uint16, a, b, c string, n int64, x float64) {
		fn := all[int(choice)%len(all)]
		if len(a) > 2000 || len(b) > 2000 || len(c) > 2000 || fn.Form != FormCall {
			return
		}
		made := arguments{texts: []string{a, b, c}, n: n, x: x}
		var args []value
		for i := range len(fn.args) {
			args = append(args, made.of(fn.args[i], i))
		}
		if fn.variadic {
			args = append(args, made.of(fn.args[len(fn.args)-1], len(args)), made.of(fn.args[len(fn.args)-1], len(args)))
		}
		env := &Env{Now: n, User: "u", NextID: func() int64 { return n }}
		v, err := env.Grown(fn.Invoke(env, args))
		documented(t, fn.Signature(), err)
		if err != nil || v.IsNull() {
			return
		}
		if v.Size() > MaxBuilt {
			t.Fatalf("%s builds %d bytes", fn.Signature(), v.Size())
		}
		if fn.typed == nil && fn.result.Kind != datum.Null && v.Kind() != fn.result.Kind {
			t.Fatalf("%s of %v gives %s %s", fn.Signature(), args, v.Kind(), v)
		}
		if back, rest, err := datum.DecodeValue(datum.AppendValue(nil, v)); err != nil || len(rest) > 0 || datum.Compare(back, v) != 0 {
			t.Fatalf("%s of %v gives %s %s, which is stored as %s, %v", fn.Signature(), args, v.Kind(), v, back, err)
		}
	})
}

// arguments makes values of every type.
type arguments struct {
	texts []string
	n     int64
	x     float64
}

// of returns a value that fits a pattern, the i-th argument of a call.
func (m *arguments) of(p pattern, i int) value {
	text := m.texts[i%len(m.texts)]
	cast := func(v value, to datum.Type) value {
		out, err := datum.Cast(v, to)
		if err != nil {
			return datum.NullValue
		}
		return out
	}
	moment := func(kind datum.Kind) value {
		if v := cast(datum.NewText(text), datum.Type{Kind: kind}); !v.IsNull() {
			return v
		}
		return cast(datum.NewInt(datum.Timestamp, m.n%(1<<58)), datum.Type{Kind: kind})
	}
	switch p {
	case textArg, anyArg, sameArg:
		return datum.NewText(text)
	case jsonArg:
		return cast(datum.NewText(text), datum.Type{Kind: datum.JSON})
	case stepArg:
		if m.n%2 == 0 {
			return datum.NewText(text)
		}
		return datum.NewInt(datum.BigInt, m.n>>1)
	case bytesArg, blobArg:
		return datum.NewBytesString(text)
	case boolArg:
		return datum.NewBool(m.n&1 == 0)
	case intArg:
		return datum.NewInt(datum.BigInt, m.n>>(i&1))
	case decimalArg:
		return cast(datum.NewDouble(m.x), datum.DecimalType(datum.MaxPrecision, uint8(m.n&15)))
	case doubleArg, numberArg:
		return datum.NewDouble(m.x)
	case dateArg:
		return moment(datum.Date)
	case timeArg:
		return moment(datum.Time)
	case timestampArg:
		return moment(datum.Timestamp)
	case datetimeArg:
		return moment(datum.DateTime)
	case intervalArg:
		if v := cast(datum.NewText(text), datum.Type{Kind: datum.Interval}); !v.IsNull() {
			return v
		}
		return datum.NewInterval(int32(m.n>>32), int32(m.n), m.n)
	case uuidArg:
		var u [16]byte
		copy(u[:], text)
		return datum.NewUUID(u)
	case vectorArg:
		return datum.NewEmbedding([]float32{float32(m.x), float32(m.n), 1})
	}
	return datum.NullValue
}
