package datum

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"kalamdb/internal/fault"
)

// TestTables runs the tables of testdata. The lines of a command are its cases,
// and each gives one line of output. A value is written TYPE text, with \ in
// Go's manner when the text begins with a double quote; NULL is NULL.
func TestTables(t *testing.T) {
	datadriven.Walk(t, "testdata/tables", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var out strings.Builder
			for line := range strings.Lines(d.Input) {
				fmt.Fprintln(&out, runLine(t, d, strings.TrimRight(line, "\n")))
			}
			return out.String()
		})
	})
}

func runLine(t *testing.T, d *datadriven.TestData, line string) string {
	switch d.Cmd {
	case "type":
		typ, err := typeOf(line)
		return show(typ.String()+" "+string(typ.AppendWire(nil)), err)
	case "cast", "assign":
		to, err := typeOf(strings.Join(argNames(d), " "))
		if err != nil {
			t.Fatal(err)
		}
		f := Cast
		if d.Cmd == "assign" {
			f = Assign
		}
		v, err := f(valueOf(t, line), to)
		return show(typed(v), err)
	case "json":
		b, err := AppendJSON(nil, valueOf(t, line))
		return show(string(b), err)
	case "fromjson":
		to, err := typeOf(strings.Join(argNames(d), " "))
		if err != nil {
			t.Fatal(err)
		}
		v, err := FromJSON([]byte(line), to)
		return show(typed(v), err)
	case "calc":
		return calcLine(t, line)
	case "compare":
		return compareLine(t, line)
	case "extract", "trunc", "round", "truncate":
		arg, rest, _ := strings.Cut(line, " ")
		v, err := map[string]func(string, Value) (Value, error){
			"extract": Extract, "trunc": Trunc, "round": places(Round), "truncate": places(Truncate),
		}[d.Cmd](arg, valueOf(t, rest))
		return show(typed(v), err)
	case "common":
		a, b, _ := strings.Cut(line, " | ")
		x, err1 := typeOf(a)
		y, err2 := typeOf(b)
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		typ, ok := CommonType(x, y)
		if back, ok2 := CommonType(y, x); back != typ || ok != ok2 {
			t.Errorf("%s: CommonType is not symmetric", line)
		}
		if !ok {
			return "none"
		}
		return typ.String()
	case "key":
		return keyLine(t, valueOf(t, line))
	case "value":
		return valueLine(t, valueOf(t, line))
	}
	t.Fatalf("unknown command %s", d.Cmd)
	return ""
}

// places makes a function of a number of places one of its text.
func places(f func(Value, int) (Value, error)) func(string, Value) (Value, error) {
	return func(text string, v Value) (Value, error) {
		n, err := strconv.Atoi(text)
		if err != nil {
			return Value{}, err
		}
		return f(v, n)
	}
}

// compareLine compares a | b, both ways round and by hash bytes.
func compareLine(t *testing.T, line string) string {
	a, b, _ := strings.Cut(line, " | ")
	x, y := valueOf(t, a), valueOf(t, b)
	c := Compare(x, y)
	if Compare(y, x) != -c {
		t.Errorf("%s: Compare is not symmetric", line)
	}
	if same := string(AppendHash(nil, x)) == string(AppendHash(nil, y)); same != (c == 0) {
		t.Errorf("%s: hash bytes equal: %v, Compare: %d", line, same, c)
	}
	return [...]string{"<", "=", ">"}[c+1]
}

func argNames(d *datadriven.TestData) (names []string) {
	for _, a := range d.CmdArgs {
		name := a.Key
		if len(a.Vals) > 0 {
			name += "(" + strings.Join(a.Vals, ",") + ")"
		}
		names = append(names, name)
	}
	return names
}

// calcLine calculates a | op | b, or op | a.
func calcLine(t *testing.T, line string) string {
	parts := strings.Split(line, " | ")
	if len(parts) == 2 {
		f := map[string]func(Value) (Value, error){"-": Neg, "abs": Abs, "floor": Floor, "ceil": Ceil}[parts[0]]
		v, err := f(valueOf(t, parts[1]))
		return show(typed(v), err)
	}
	f := map[string]func(a, b Value) (Value, error){"+": Add, "-": Sub, "*": Mul, "/": Div, "%": Mod}[parts[1]]
	v, err := f(valueOf(t, parts[0]), valueOf(t, parts[2]))
	return show(typed(v), err)
}

// keyLine returns the golden bytes of a key after checking that they read back.
func keyLine(t *testing.T, v Value) string {
	key := AppendKey(nil, v)
	tail := append(key[:len(key):len(key)], "tail"...)
	typ := v.Type()
	back, rest, err := DecodeKey(tail, typ)
	if err != nil || !Equal(v, back) || string(rest) != "tail" || v.kind != back.kind {
		t.Errorf("DecodeKey(% x) = %s, %q, %v; want %s", key, back, rest, err, v)
	}
	if rest, err := SkipKey(tail); err != nil || string(rest) != "tail" {
		t.Errorf("SkipKey(% x) = %q, %v", key, rest, err)
	}
	return hex.EncodeToString(key)
}

// valueLine returns the golden bytes of a value after checking that they read
// back.
func valueLine(t *testing.T, v Value) string {
	b := AppendValue(nil, v)
	tail := append(b[:len(b):len(b)], "tail"...)
	back, rest, err := DecodeValue(tail)
	if err != nil || string(rest) != "tail" || typed(back) != typed(v) {
		t.Errorf("DecodeValue(% x) = %s, %q, %v; want %s", b, back, rest, err, v)
	}
	back, text, err := DecodeValueString(string(tail))
	if err != nil || text != "tail" || typed(back) != typed(v) {
		t.Errorf("DecodeValueString(% x) = %s, %q, %v; want %s", b, back, text, err, v)
	}
	if rest, err := SkipValue(tail); err != nil || string(rest) != "tail" {
		t.Errorf("SkipValue(% x) = %q, %v", b, rest, err)
	}
	return hex.EncodeToString(b)
}

func show(text string, err error) string {
	if err != nil {
		return fmt.Sprintf("%s: %s", fault.CodeOf(err), fault.Of(err).Message)
	}
	return text
}

// typed shows a value with its kind.
func typed(v Value) string {
	if v.IsNull() {
		return "NULL"
	}
	text := v.String()
	if strings.ContainsAny(text, "\n\r\b\f") {
		text = strconv.Quote(text)
	}
	return strings.TrimRight(v.Kind().String()+" "+text, " ")
}

// typeOf reads NAME or NAME(n,…).
func typeOf(text string) (Type, error) {
	if element, ok := strings.CutSuffix(text, "[]"); ok {
		t, err := typeOf(element)
		return ArrayType(t), err
	}
	name, rest, found := strings.Cut(text, "(")
	var args []int
	if found {
		for _, a := range strings.Split(strings.TrimSuffix(rest, ")"), ",") {
			n, err := strconv.Atoi(strings.TrimSpace(a))
			if err != nil {
				return Type{}, err
			}
			args = append(args, n)
		}
	}
	return ParseType(name, args)
}

// valueOf reads TYPE text.
func valueOf(t *testing.T, text string) Value {
	t.Helper()
	name, body, _ := strings.Cut(text, " ")
	if name == "NULL" {
		return NullValue
	}
	if strings.HasPrefix(body, `"`) {
		if s, err := strconv.Unquote(body); err == nil && name != "JSON" {
			body = s
		}
	}
	if name == "RAW" { // a raw number: RAW KIND n
		name, body, _ = strings.Cut(body, " ")
		typ, err := typeOf(name)
		n, err2 := strconv.ParseInt(body, 10, 64)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		return NewInt(typ.Kind, n)
	}
	typ := Type{Kind: Decimal}
	if name == "EMBEDDING" {
		typ = Type{Kind: Embedding}
	} else if name != "DECIMAL" {
		var err error
		if typ, err = typeOf(name); err != nil {
			t.Fatal(err)
		}
	}
	v, err := parseText(body, typ)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}
