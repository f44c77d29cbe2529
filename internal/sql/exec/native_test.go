package exec

import (
	"flag"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"kalamdb/internal/sql/plan"
)

const nativePath = "testdata/native"

// callback tells that a statement has our code compute something.
var callback = regexp.MustCompile(`\bk(fn|vf)_\w+\(`)

// TestNative writes down how DuckDB gets each entry of the catalogue, given
// columns of its ordinary arguments; the pages of the documentation show it.
func TestNative(t *testing.T) {
	var b strings.Builder
	b.WriteString("# How DuckDB gets each entry over columns of ordinary arguments; written by go test -rewrite.\n")
	for _, f := range plan.Functions() {
		b.WriteString(f.Signature() + "\t" + handing(f) + "\n")
	}
	if r := flag.Lookup("rewrite"); r != nil && r.Value.String() == "true" {
		if err := os.WriteFile(nativePath, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(nativePath)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != b.String() {
		t.Errorf("%s is not what the generator does; go test -run TestNative -rewrite writes it", nativePath)
	}
}

// onTypedColumns is onColumns with texts in columns too, but for those that a
// form of the grammar takes as they are, and patterns.
func onTypedColumns(f *plan.Function, args []string) string {
	var names, cells []string
	inside := append([]string(nil), args...)
	for i, a := range args {
		fixed := i == 0 && (f.Name == "extract" || f.Name == "date_part" || f.Name == "date_trunc") || i > 0 && f.Name == "like"
		if fixed {
			continue
		}
		names = append(names, "c"+strconv.Itoa(i))
		cells = append(cells, a)
		inside[i] = names[len(names)-1]
	}
	if len(names) == 0 {
		return "SELECT " + write(f, args) + " FROM (VALUES (1)) AS v (one)"
	}
	return "SELECT " + write(f, inside) + " FROM (VALUES (" + strings.Join(cells, ", ") + ")) AS v (" + strings.Join(names, ", ") + ")"
}

// handing says same, rewritten, gathered or called back.
func handing(f *plan.Function) string {
	if f.Form == plan.FormWindow {
		return "rewritten"
	}
	query := onTypedColumns(f, argumentsOf(f)[0])
	if f.Signature() == "count()" {
		query = "SELECT count(*) FROM (VALUES (1)) AS v (one)"
	}
	if call, within, ok := strings.Cut(f.Signature(), " WITHIN GROUP"); ok {
		name, _, _ := strings.Cut(call, "(")
		inside := "0.5e0"
		if name == "mode" {
			inside = ""
		}
		x := "2.5e0"
		if strings.Contains(within, "INTERVAL") {
			x = "INTERVAL '1 day'"
		}
		query = "SELECT " + name + "(" + inside + ") WITHIN GROUP (ORDER BY c) FROM (VALUES (" + x + ")) AS v (c)"
	}
	text, err := world{}.generated(query, nil)
	text, _, _ = strings.Cut(text, "\n")
	switch {
	case err != nil:
		return "called back"
	case f.Volatility == plan.Volatile:
		return "called back"
	case f.Form == plan.FormCall && len(arguments(f)) == 0:
		return "a constant"
	case f.Form == plan.FormAggregate && strings.Contains(text, "string_agg("):
		return "gathered"
	case callback.MatchString(text):
		return "called back"
	case f.Form == plan.FormAggregate && strings.Contains(text, f.Name+"("), f.Operator && strings.Contains(text, " "+strings.ToUpper(f.Name)+" "), f.Operator && strings.Contains(text, "("+f.Name):
		return "same"
	}
	return "rewritten"
}

func arguments(f *plan.Function) []string {
	kinds, _ := f.Arguments()
	return kinds
}
