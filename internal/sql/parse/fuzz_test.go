package parse

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// seeds returns all statements of testdata.
func seeds(f testing.TB) []string {
	files, err := filepath.Glob("testdata/*")
	if err != nil {
		f.Fatal(err)
	}
	var all []string
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			f.Fatal(err)
		}
		if info.IsDir() {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		datadriven.RunTestFromString(&testing.T{}, string(text), func(_ *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "each":
				all = append(all, strings.Split(d.Input, "\n")...)
			case "expr":
				for line := range strings.Lines(d.Input) {
					all = append(all, "SELECT a FROM t WHERE "+strings.TrimRight(line, "\n"))
				}
			default:
				all = append(all, d.Input)
			}
			return d.Expected
		})
	}
	return all
}

// FuzzParse shows that no text makes the room panic, and that faults point
// inside the text.
func FuzzParse(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		check := func(err error) {
			t.Helper()
			if err == nil {
				return
			}
			fl := (*fault.Error)(nil)
			if !errors.As(err, &fl) {
				t.Fatalf("%q gives an error without a code: %v", text, err)
			}
			if fl.Offset < -1 || fl.Offset > len(text) {
				t.Fatalf("%q gives a fault at %d, outside of %d bytes", text, fl.Offset, len(text))
			}
		}
		st, err := Parse(text)
		check(err)
		if err == nil {
			Print(st)
			checkPlaces(t, st, len(text))
		}
		x, err := ParseExpr(text)
		check(err)
		if err == nil {
			PrintExpr(x)
		}
		pieces, err := Split(text)
		check(err)
		for _, p := range pieces {
			if text[p.Offset:p.Offset+len(p.Text)] != p.Text {
				t.Fatalf("%q has the piece %q at %d", text, p.Text, p.Offset)
			}
		}
	})
}

// FuzzNormalize shows that taking literals out changes nothing but where their
// values are, and that statements with one key have one tree.
func FuzzNormalize(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) { checkNormalize(t, text) })
}

func TestNormalizeSeeds(t *testing.T) {
	for _, s := range seeds(t) {
		checkNormalize(t, s)
	}
}

func checkNormalize(t *testing.T, text string) {
	t.Helper()
	n, err := Normalize(text)
	if err != nil {
		return
	}
	if len(n.Literals) == 0 && n.Key != text {
		t.Fatalf("%q has no literals and the key %q", text, n.Key)
	}
	first := *n
	st, err := ParseNormalized(n)
	plain, plainErr := Parse(text)
	if (err == nil) != (plainErr == nil) || err != nil && err.Error() != plainErr.Error() {
		t.Fatalf("%q: ParseNormalized says %v, Parse says %v", text, err, plainErr)
	}
	if err == nil && printed(st, false) != printed(plain, false) {
		t.Fatalf("%q becomes\n%s\nwith automatic parameters and\n%s\nwithout", text, printed(st, false), printed(plain, false))
	}
	if len(first.Literals) == 0 {
		return
	}
	twin := twinOf(t, text, first)
	other, err2 := Normalize(twin)
	if err2 != nil || other.Key != first.Key {
		t.Fatalf("%q has the key %q, its twin %q has %q", text, first.Key, twin, other.Key)
	}
	st2, err2 := ParseNormalized(other)
	if (err == nil) != (err2 == nil) {
		t.Fatalf("%q gives %v, its twin %q gives %v", text, err, twin, err2)
	}
	if err == nil && n.Key == first.Key && (other.Key != first.Key || printed(st, true) != printed(st2, true)) {
		t.Fatalf("%q and %q have one key and the trees\n%s\nand\n%s", text, twin, printed(st, true), printed(st2, true))
	}
}

// twinOf replaces each literal by another one of its class.
func twinOf(t *testing.T, text string, n Normalized) string {
	_, spans, err := normalize(text, true)
	if err != nil || len(spans) != len(n.Literals) {
		t.Fatalf("%q has %d spans and %d literals: %v", text, len(spans), len(n.Literals), err)
	}
	var twin strings.Builder
	done := 0
	for i, s := range spans {
		twin.WriteString(text[done:s.start])
		sign := ""
		if text[s.start] == '-' {
			sign = "-"
		}
		switch v := n.Literals[i]; v.Kind() {
		case datum.Int:
			twin.WriteString(sign + "77")
		case datum.BigInt:
			twin.WriteString(sign + "7700000000")
		case datum.Double:
			twin.WriteString(sign + "7e7")
		case datum.Decimal:
			if v.Scale() == 0 {
				twin.WriteString(sign + "77000000000000000000")
				break
			}
			whole := "7"
			if text[s.start] == '.' {
				whole = "" // a digit would join the word that may stand before the point
			}
			twin.WriteString(sign + whole + "." + strings.Repeat("7", int(v.Scale())))
		default:
			twin.WriteString("'x; -- ''")
			twin.WriteString("/*'")
		}
		done = s.end
	}
	return twin.String() + text[done:]
}

func printed(st Statement, masked bool) string {
	p := printer{masked: masked}
	p.statement(st)
	return p.String()
}

// checkPlaces shows that every place of a SELECT's expressions is in the text.
func checkPlaces(t *testing.T, st Statement, size int) {
	t.Helper()
	s, ok := st.(*Select)
	if !ok {
		return
	}
	var walk func(x Expr)
	walk = func(x Expr) {
		if x == nil {
			return
		}
		if x.Pos() < -1 || x.Pos() > size {
			t.Fatalf("an expression stands at %d of %d bytes", x.Pos(), size)
		}
		switch e := x.(type) {
		case *Binary:
			walk(e.L)
			walk(e.R)
		case *Unary:
			walk(e.X)
		case *Call:
			for _, a := range e.Args {
				walk(a)
			}
		}
	}
	for _, o := range s.Outputs {
		walk(o.X)
	}
	walk(s.Where)
	for _, n := range s.Tables {
		if n.Offset < -1 || n.Offset > size {
			t.Fatalf("table %s stands at %d of %d bytes", n.Name, n.Offset, size)
		}
	}
}
