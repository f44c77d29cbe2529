package exec

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"kalamdb/internal/fault"
	"kalamdb/internal/sql/plan"
)

// samples are arguments by what a function takes: an ordinary one first, then
// empty and extreme ones.
var samples = map[string][]string{
	"any":             {"'text'", "7", "''"},
	"same":            {"3", "5", "-9223372036854775808"},
	"TEXT":            {"'Hello, World'", "''", "'日本語 ßÄ'"},
	"BYTES":           {`'\x00ff41'::bytes`, `''::bytes`},
	"BYTES|TEXT":      {`'\x00ff41'::bytes`, "''"},
	"BOOLEAN":         {"TRUE", "FALSE"},
	"integer":         {"7", "0", "-1", "9223372036854775807", "-9223372036854775808"},
	"integer|DECIMAL": {"7", "2.50", "-9223372036854775808"},
	"DECIMAL":         {"2.50", "0.0", "-99999999999999999999999999999999999999"},
	"DOUBLE":          {"2.5e0", "0e0", "-1e308", "'NaN'::double", "'Infinity'::double"},
	"number":          {"7", "2.50", "2.5e0", "0", "32767::smallint"},
	"DATE":            {"DATE '2024-02-29'", "DATE '0001-01-01'"},
	"TIME":            {"TIME '23:59:59.999999'", "TIME '00:00:00'"},
	"TIMESTAMP":       {"TIMESTAMP '2024-02-29 12:34:56.789'", "TIMESTAMP '0001-01-01 00:00:00'"},
	"DATETIME":        {"CAST('2024-02-29 12:34:56Z' AS DATETIME)", "CAST('9999-12-31 23:59:59Z' AS DATETIME)"},
	"INTERVAL":        {"INTERVAL '1 month 2 days 03:00:00'", "INTERVAL '0'"},
	"JSON|TEXT":       {`'{"k":[1,"x"]}'::json`, "'[]'", "'not json'"},
	"TEXT|integer":    {"'k'", "0", "''"},
	"UUID":            {"'0190163d-8694-739b-aea5-966c26f8ad90'::uuid"},
	"EMBEDDING":       {"'[1,2]'::embedding(2)", "'[0,0]'::embedding(2)"},
	"JSON":            {`'{"k":[1,"x"],"n":null}'::json`, "'[]'::json", "'7'::json"},
	"array":           {"ARRAY[1,NULL,3]", "ARRAY[]::int[]", "ARRAY['a','b c']", "ARRAY[1.5,2.25]"},
	"vector":          {"'3 1'::int2vector", "''::oidvector"},
	"element":         {"3", "'3'", "2.5"},
	"TEXT[]":          {"ARRAY['a','b']", "ARRAY[]::text[]", "ARRAY['k',NULL]"},
	"INT[]":           {"ARRAY[3]", "ARRAY[1,2]", "ARRAY[-1]", "ARRAY[2147483647]"},
	"path":            {"'{k,0}'", "'{}'", "'{'"},
}

// wrong is an argument that a function does not take.
func wrong(kind string) string {
	if kind == "BOOLEAN" {
		return "DATE '2024-01-01'"
	}
	return "TRUE"
}

// special are arguments that make sense where the samples do not.
var special = map[string][]string{
	"extract": {"'year'", ""}, "date_part": {"'month'", ""}, "date_trunc": {"'month'", ""}, "timezone": {"'+01:00'", ""},
	"encode": {"", "'hex'"}, "decode": {"'00ff'", "'hex'"}, "digest": {"", "'md5'"}, "#>": {"", "'{k,1}'"}, "#>>": {"", "'{k,1}'"},
	"make_date": {"2024", "2", "29"}, "make_time": {"23", "59", "58.5e0"}, "make_timestamp": {"2024", "2", "29", "23", "59", "58.5e0"},
	"date_bin": {"INTERVAL '15 minutes'", "", ""}, "regexp_replace": {"", "'o'", "'0'", "'g'"}, "json_build_object": {"'a'", "1"},
	"regexp_like": {"", "'o'", "'i'"}, "regexp_count": {"", "'o'", "'i'"}, "regexp_substr": {"", "'o'", "'i'"}, "regexp_instr": {"", "'o'", "'i'"},
	"convert_from": {"'\\x414243'::bytes", "'utf8'"}, "convert_to": {"", "'latin1'"}, "make_interval": {"1", "2", "3", "4", "5", "6", "7.5e0"},
	"to_date": {"'2024-02-29'", "'YYYY-MM-DD'"}, "to_timestamp": {"", "'YYYY-MM-DD'"}, "to_number": {"'1,234.5-'", "'9,999.9S'"}, "to_char": {"", "'FM999'"}, "format": {"'%s|%I|%5$s'"},
	"set_config": {"'client_min_messages'", "'notice'", ""},
	"like":       {"", "'Hel%'", "'#'"}, "ilike": {"", "'hel%'", "'#'"}, "asin": {"0.5e0"}, "acos": {"0.5e0"}, "atanh": {"0.5e0"},
}

// write makes a call of the arguments as SQL.
func write(f *plan.Function, args []string) string {
	switch {
	case f.Name == "extract":
		return "EXTRACT(" + args[0] + " FROM " + args[1] + ")"
	case f.Name == "position":
		return "POSITION(" + args[0] + " IN " + args[1] + ")"
	case !f.Operator:
		return f.Name + "(" + strings.Join(args, ", ") + ")"
	case len(args) == 1:
		return f.Name + " (" + args[0] + ")"
	case len(args) == 3:
		return args[0] + " " + strings.ToUpper(f.Name) + " " + args[1] + " ESCAPE " + args[2]
	}
	return "(" + args[0] + ") " + strings.ToUpper(f.Name) + " (" + args[1] + ")"
}

// tryCall computes a call and prints its result, or the code of its fault.
func tryCall(t *testing.T, f *plan.Function, args []string) string {
	text := write(f, args)
	v, typ, err := evaluate(text)
	switch {
	case err != nil:
		if fault.Is(err, fault.Internal) {
			t.Errorf("%s: %v", text, err)
		}
		return fmt.Sprintf("  %s -> %s\n", text, fault.CodeOf(err))
	case v.IsNull():
		return fmt.Sprintf("  %s -> NULL\n", text)
	case v.Kind() != typ.Kind:
		t.Errorf("%s is %s, but the catalogue says %s", text, v.Kind(), typ)
	}
	shown := v.String()
	if len(shown) > 80 {
		shown = fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(shown[:60], ""), len(shown))
	}
	if f.Name == "clock_timestamp" {
		shown = "a moment"
	}
	return fmt.Sprintf("  %s -> %s %s\n", text, typ.Kind, shown)
}

// tryEntry tries one entry of the catalogue: ordinary arguments, then NULL, empty,
// extreme and wrong ones at each place.
func tryEntry(t *testing.T, f *plan.Function) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s, %s\n", f.Signature(), f.ResultName(), f.Volatility)
	if f.Form == plan.FormAggregate || f.Form == plan.FormWindow {
		return b.String()
	}
	kinds, variadic := f.Arguments()
	if variadic {
		kinds = append(kinds, kinds[len(kinds)-1])
	}
	ordinary := make([]string, len(kinds))
	for i, k := range kinds {
		ordinary[i] = samples[k][0]
		if s := special[f.Name]; i < len(s) && s[i] != "" {
			ordinary[i] = s[i]
		}
	}
	b.WriteString(tryCall(t, f, ordinary))
	for i, k := range kinds {
		others := append([]string{"NULL"}, samples[k][1:]...)
		if k != "any" && k != "same" {
			others = append(others, wrong(k))
		}
		for _, x := range others {
			args := append([]string(nil), ordinary...)
			args[i] = x
			b.WriteString(tryCall(t, f, args))
		}
	}
	return b.String()
}

// TestCatalogue runs every entry of the catalogue; testdata/catalogue holds
// what comes out.
func TestCatalogue(t *testing.T) {
	met := map[string]bool{}
	datadriven.RunTest(t, "testdata/catalogue", func(t *testing.T, d *datadriven.TestData) string {
		var b strings.Builder
		met[d.Input] = true
		for _, f := range plan.Functions() {
			if f.Chapter == d.Input {
				b.WriteString(tryEntry(t, f))
			}
		}
		return b.String()
	})
	for _, f := range plan.Functions() {
		if !met[f.Chapter] {
			t.Errorf("chapter %s is not in testdata/catalogue", f.Chapter)
			met[f.Chapter] = true
		}
	}
}
