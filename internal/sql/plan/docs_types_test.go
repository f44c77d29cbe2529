package plan

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kalamdb/internal/datum"
)

// checkPage compares a page with what it should be; with -rewrite it writes it.
func checkPage(t *testing.T, path, want string) {
	t.Helper()
	path = filepath.FromSlash(path)
	if f := flag.Lookup("rewrite"); f != nil && f.Value.String() == "true" {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if have, err := os.ReadFile(path); err != nil || string(have) != want {
		t.Errorf("%s differs from the types; go test ./internal/sql/plan -rewrite writes it (%v)", path, err)
	}
}

func readLines(path string) []string {
	text, err := os.ReadFile(filepath.FromSlash(path))
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}

// docsNative tells how DuckDB gets each entry, in the order of the catalogue.
func docsNative() map[int]string {
	out := map[int]string{}
	for i, line := range readLines("../exec/testdata/native") {
		if _, how, ok := strings.Cut(line, "\t"); ok {
			out[i-1] = how
		}
	}
	return out
}

// docsFaults collects the codes that the test of the catalogue met, by the
// signature of the entry.
func docsFaults() map[string]string {
	out, codes := map[string]string{}, map[string][]string{}
	signature := ""
	for _, line := range readLines("../exec/testdata/catalogue") {
		if !strings.HasPrefix(line, "  ") {
			signature = line[:max(strings.LastIndex(line, ": "), 0)]
			continue
		}
		code := line[strings.LastIndex(line, " ")+1:]
		if strings.Contains(line, "-> "+code) && strings.ToUpper(code) == code && len(code) > 5 && code != "TYPE_MISMATCH" && !slices.Contains(codes[signature], code) {
			codes[signature] = append(codes[signature], code)
			slices.Sort(codes[signature])
			out[signature] = strings.Join(codes[signature], ", ")
		}
	}
	return out
}

// docsDeviations lists what differs from PostgreSQL on purpose.
func docsDeviations() string {
	var b strings.Builder
	b.WriteString("\n## What differs from PostgreSQL 15\n\nEvery entry is compared with recorded answers of PostgreSQL 15 on both paths. These differ on purpose:\n\n| expressions | reason |\n|---|---|\n")
	for _, line := range readLines("../exec/testdata/postgres/deviations") {
		if pattern, reason, ok := strings.Cut(line, "\t"); ok && !strings.HasPrefix(line, "#") {
			b.WriteString("| `" + strings.ReplaceAll(pattern, "|", "\\|") + "` | " + reason + " |\n")
		}
	}
	b.WriteString("\nBeside them: a literal with an exponent is a DOUBLE; JSON and JSONB are one type, which keeps the text as it is written, and are equal when their texts are: a cast\n" +
		"to JSONB gives the canonical form (1 and 1.0 differ in it), and so do ||, -, #-, jsonb_set, jsonb_insert and jsonb_strip_nulls; what other functions build has no blanks; the\n" +
		"last of several members with one key counts; regular expressions are those of RE2, without back references; DOUBLE prints a fraction always; AVG of\n" +
		"integers is a DOUBLE, which clients of 0.4.3 take as a number, where PostgreSQL gives NUMERIC; NOW() is a TIMESTAMP in UTC.\n")
	return b.String()
}

// typeRow is one line of the page of types.
type typeRow struct {
	names   string // those that SQL takes, the first is its own
	sample  string
	storage string
	note    string
}

func typeRows() []typeRow {
	return []typeRow{
		{"BOOLEAN, BOOL", "true", "bool", "TRUE, FALSE, 'true', 'yes', 'on', '1' and their opposites"},
		{"SMALLINT, INT2, SMALLSERIAL", "7", "int16", "-32768 to 32767"},
		{"INT, INTEGER, INT4, MEDIUMINT, SERIAL", "7", "int32", "-2147483648 to 2147483647"},
		{"BIGINT, INT8, INT64, BIGSERIAL", "7", "int64", "-9223372036854775808 to 9223372036854775807"},
		{"FLOAT, REAL, FLOAT4", "1.5", "float32", "NaN and infinity can be stored and compared, but not sent"},
		{"DOUBLE, DOUBLE PRECISION, FLOAT8, FLOAT64", "1.5", "float64", "the same"},
		{"DECIMAL, NUMERIC, DEC", "1.50", "decimal128", "DECIMAL(p,s) with 1 <= p <= 38, 0 <= s <= p; (38,10) without arguments. NUMERIC is another spelling"},
		{"TEXT, VARCHAR, CHAR, CHARACTER VARYING, STRING, CLOB", "abc", "utf8", "lengths are accepted and ignored; compared byte by byte"},
		{"BYTES, BYTEA, BINARY, VARBINARY, BLOB", "\\x0aff", "binary", "X'0AFF', '\\x0aff'"},
		{"JSON, JSONB", "{\"a\": 1}", "utf8", "checked and kept as written, in JSONB columns too; a cast to JSONB orders keys and blanks as PostgreSQL does"},
		{"UUID", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "16 bytes", "32 hexadecimal digits, with hyphens or braces or not"},
		{"DATE", "2024-02-29", "date32", "4713 BC to 5874897; cells are days since 1970-01-01"},
		{"TIME", "12:34:56.5", "time64", "cells are microseconds since midnight"},
		{"TIMESTAMP", "2024-02-29 12:34:56", "timestamp (µs)", "a zone in its text is dropped; cells are microseconds since 1970-01-01"},
		{"DATETIME, TIMESTAMPTZ, TIMESTAMP WITH TIME ZONE", "2024-02-29 12:34:56+00", "timestamp (µs, UTC)", "shown in UTC"},
		{"FILE", "{}", "utf8", "the reference of an uploaded file"},
		{"INTERVAL", "1 day 02:00:00", "none", "months, days and microseconds; in expressions only"},
	}
}

// typesPage prints docs/sql/types.md.
func typesPage() string {
	var b strings.Builder
	b.WriteString("# Types\n\nThis page is printed from the code by the tests of `internal/sql/plan`. NULL is a value of every type, and `null` in JSON.\n\n" +
		"| type | also | `data_type` in results | JSON cell | in Parquet | notes |\n|---|---|---|---|---|---|\n")
	for _, row := range typeRows() {
		name, also, _ := strings.Cut(row.names, ", ")
		t, err := datum.ParseType(name, nil)
		if err != nil {
			return err.Error()
		}
		for other := range strings.SplitSeq(also, ", ") {
			if same, err := datum.ParseType(other, nil); other != "" && (err != nil || same != t) {
				return other + " is not " + name
			}
		}
		v, err := datum.Cast(datum.NewText(row.sample), t)
		if err != nil {
			return err.Error()
		}
		cell, err := datum.AppendJSON(nil, v)
		if err != nil {
			return err.Error()
		}
		b.WriteString("| " + name + " | " + also + " | `" + string(t.AppendWire(nil)) + "` | `" + string(cell) + "` | " + row.storage + " | " + row.note + " |\n")
	}
	vector, array := datum.Type{Kind: datum.Embedding, Dim: 2}, datum.ArrayType(bigintType)
	b.WriteString("| EMBEDDING(n) |  | `" + string(vector.AppendWire(nil)) + "` | `[0.5,1.0]` | fixed list of n float32 | n from 1 to 8192; '[0.5,1]' |\n")
	b.WriteString("| T[] |  | `" + string(array.AppendWire(nil)) + "` | `[\"7\",null]` | none | one-dimensional arrays of every type but embeddings and arrays; columns of every one but FILE, in no key and no index |\n")
	b.WriteString(`
## Arrays

` + "`ARRAY[1, 2]`, `'{1,2}'::INT[]` and `'[1,2]'::INT[]`" + ` make arrays; a parameter takes the text of either. Elements are cells of their type: BIGINT and
DECIMAL are strings inside an array, too. Indexes count from 1; an index outside gives NULL. Arrays are compared element by element, NULL above all else, and a
shorter one is below a longer one that begins like it. The decimals of an array have one scale. Arrays of arrays, and columns of an array type, are NOT_IMPLEMENTED.

## Common types

Where several values need one type (CASE, COALESCE, IN, UNION, ARRAY): of numbers the first of SMALLINT, INT, BIGINT, DECIMAL, FLOAT, DOUBLE that holds all; of
DATE, TIMESTAMP and DATETIME the last; of texts TEXT; of arrays that of the common element. A string without a type takes the type of the others.

## Writing

A number written to a temporal column is its raw unit, a DECIMAL is cut to a smaller scale, a float is rounded to it, text is parsed as CAST does. BOOLEAN and
JSON need a CAST from and to other types. What does not fit is OUT_OF_RANGE, what cannot be read INVALID_VALUE, what has no conversion TYPE_MISMATCH.
The casts that there are stand in ` + "`docs/sql/functions.md`" + `.
`)
	return b.String()
}
