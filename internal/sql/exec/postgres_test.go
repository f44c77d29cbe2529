package exec

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/big"
	"os"
	osexec "os/exec"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/sql/plan"
)

var record = flag.String("record", "", "a connection string of PostgreSQL 15 to record answers of")

const (
	writtenPath    = "testdata/postgres/expressions"
	answersPath    = "testdata/postgres/answers"
	deviationsPath = "testdata/postgres/deviations"
)

// asked is an expression that both are asked, and how the analytic path reads it:
// with the arguments that have a type in the columns of a row.
type asked struct{ text, query string }

// questions are the expressions written by hand and one for each argument of
// each entry of the catalogue: ordinary, NULL, empty, extreme and wrong.
func questions(t *testing.T) []asked {
	var all []asked
	met := map[string]bool{}
	add := func(text, query string) {
		if text = strings.TrimSpace(text); text != "" && !met[text] && !strings.Contains(text, "\t") {
			met[text] = true
			all = append(all, asked{text, query})
		}
	}
	written, err := os.ReadFile(writtenPath)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(written)) {
		line = strings.TrimSpace(line)
		add(line, "SELECT "+line+" FROM (VALUES (1)) AS v (one)")
	}
	for _, f := range plan.Functions() {
		if f.Form == plan.FormAggregate || f.Form == plan.FormWindow || f.Volatility == plan.Volatile || clocks[f.Name] || notAsked[f.Chapter] {
			continue
		}
		for _, args := range argumentsOf(f) {
			add(write(f, args), onColumns(f, args))
		}
	}
	return all
}

// notAsked are the chapters that PostgreSQL knows nothing of, or knows in terms
// of its own catalog and session.
var notAsked = map[string]bool{"Context": true, "System catalog": true, "Identifiers": true, "Vectors": true, "Arrays beyond PostgreSQL": true}

// clocks are the functions that depend on the time.
var clocks = map[string]bool{"now": true, "current_date": true, "current_time": true, "age": false}

// argumentsOf lists the arguments that an entry is tried with.
func argumentsOf(f *plan.Function) [][]string {
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
	all := [][]string{ordinary}
	for i, k := range kinds {
		for _, x := range append([]string{"NULL"}, samples[k][1:]...) {
			args := append([]string(nil), ordinary...)
			args[i] = x
			all = append(all, args)
		}
	}
	return all
}

// onColumns writes the call over the columns of a row of VALUES. What has no
// type by itself stays where it is.
func onColumns(f *plan.Function, args []string) string {
	inside := append([]string(nil), args...)
	var names, cells []string
	for i, a := range args {
		if a == "NULL" || strings.HasPrefix(a, "'") && !strings.Contains(a, "'::") {
			continue
		}
		names = append(names, "c"+strconv.Itoa(i))
		cells = append(cells, a)
		inside[i] = "c" + strconv.Itoa(i)
	}
	if len(names) == 0 {
		return "SELECT " + write(f, args) + " FROM (VALUES (1)) AS v (one)"
	}
	return "SELECT " + write(f, inside) + " FROM (VALUES (" + strings.Join(cells, ", ") + ")) AS v (" + strings.Join(names, ", ") + ")"
}

// The words of ours that PostgreSQL spells in another way.
var spellings = []struct{ ours, theirs *regexp.Regexp }{
	{regexp.MustCompile(`(?i)::double\b(\s+precision)?`), regexp.MustCompile("::double precision")},
	{regexp.MustCompile(`-?\b\d+(\.\d+)?e\d+\b`), regexp.MustCompile("'$0'::float8")},
	{regexp.MustCompile(`(?i)::bytes\b`), regexp.MustCompile("::bytea")},
	{regexp.MustCompile(`(?i)\bAS DATETIME\b`), regexp.MustCompile("AS TIMESTAMPTZ")},
}

// TestRecordPostgres asks PostgreSQL and writes down what it answers:
//
//	go test ./internal/sql/exec -run TestRecordPostgres -record 'host=/tmp port=5432 user=postgres'
func TestRecordPostgres(t *testing.T) {
	if *record == "" {
		t.Skip("no connection to record from")
	}
	all := questions(t)
	var script strings.Builder
	script.WriteString("SET timezone = 'UTC'; SET extra_float_digits = 1; SET bytea_output = 'hex'; SET statement_timeout = '5s';\n")
	script.WriteString(`CREATE FUNCTION pg_temp.ask(e text) RETURNS text LANGUAGE plpgsql AS $$ DECLARE kind text; v text; BEGIN EXECUTE 'SELECT pg_typeof(x)::text, left(x::text, 200) FROM (SELECT ' || e || ' AS x) AS q' INTO kind, v; RETURN coalesce(kind, 'no row') || E'\t' || coalesce(replace(replace(replace(v, E'\\', E'\\\\'), E'\n', E'\\n'), E'\t', E'\\t'), E'\\N'); EXCEPTION WHEN OTHERS THEN RETURN 'fault' || E'\t' || SQLSTATE; END $$;` + "\n")
	for _, q := range all {
		text := q.text
		for _, s := range spellings {
			text = s.ours.ReplaceAllString(text, s.theirs.String())
		}
		script.WriteString("SELECT pg_temp.ask($question$" + text + "$question$);\n")
	}
	psql := osexec.Command("psql", "-X", "-q", "-A", "-t", *record)
	psql.Stdin = strings.NewReader(script.String())
	var faults bytes.Buffer
	psql.Stderr = &faults
	out, err := psql.Output()
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if err != nil || len(lines) != len(all) {
		t.Fatalf("psql gave %d lines for %d questions: %v\n%s", len(lines), len(all), err, faults.String())
	}
	var b strings.Builder
	b.WriteString("# What PostgreSQL 15 answers; written by TestRecordPostgres. Expression, type, text (\\N is NULL) or code.\n")
	for i, q := range all {
		b.WriteString(q.text + "\t" + lines[i] + "\n")
	}
	if err := os.WriteFile(answersPath, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// deviation is a difference that is meant.
type deviation struct {
	match  *regexp.Regexp
	reason string
	used   int
}

func readDeviations(t *testing.T) []*deviation {
	text, err := os.ReadFile(deviationsPath)
	if err != nil {
		t.Fatal(err)
	}
	var all []*deviation
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		pattern, reason, ok := strings.Cut(line, "\t")
		if !ok {
			t.Fatalf("%s: no reason in %q", deviationsPath, line)
		}
		all = append(all, &deviation{match: regexp.MustCompile(pattern), reason: strings.TrimSpace(reason)})
	}
	return all
}

// unknown are the codes of PostgreSQL for what it has no function, operator or
// type for: there is nothing to compare with.
var unknown = map[string]bool{"42883": true, "42601": true, "42704": true, "42P18": true, "42725": true, "0A000": true, "42703": true, "42804": true, "22023": false}

// TestPostgres computes every expression on both paths and compares with what
// PostgreSQL answered.
func TestPostgres(t *testing.T) {
	text, err := os.ReadFile(answersPath)
	if err != nil {
		t.Fatal(err)
	}
	answers := map[string][2]string{}
	for line := range strings.Lines(string(text)) {
		parts := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(parts) == 3 {
			answers[parts[0]] = [2]string{parts[1], parts[2]}
		}
	}
	deviations := readDeviations(t)
	engine := NewEngine(EngineOptions{})
	t.Cleanup(func() { _ = engine.Close() })
	same, meant, alone := 0, 0, 0
	for _, q := range questions(t) {
		want, ok := answers[q.text]
		if !ok {
			t.Errorf("%s: no recorded answer; see TestRecordPostgres", q.text)
			continue
		}
		row := answerOf(evaluate(q.text))
		tree := onPath(engine, q.query)
		if !samePaths(row, tree, want[0]) {
			t.Errorf("%s: the row path gives %q, the analytic path %q", q.text, row, tree)
		}
		if want[0] == "fault" && unknown[want[1]] {
			alone++
			continue
		}
		if agrees(row, want) {
			same++
			continue
		}
		if d := deviating(deviations, q.text+" => "+row); d != nil {
			meant++
			continue
		}
		t.Errorf("%s: %q, PostgreSQL %s %q", q.text, row, want[0], want[1])
	}
	for _, d := range deviations {
		if d.used == 0 {
			t.Errorf("%s: nothing deviates by %s", deviationsPath, d.match)
		}
	}
	t.Logf("%d expressions as PostgreSQL, %d differ as listed, %d have no counterpart", same, meant, alone)
}

// samePaths compares what the two paths give. Where an argument is a constant on
// one path and a column on the other a fault may be found in another place, and
// the scale of a number be another one.
func samePaths(a, b, kind string) bool {
	refused := func(s string) bool { return s == "fault INVALID_VALUE" || s == "fault TYPE_MISMATCH" }
	return equalAnswers(a, b, kind) || equalAnswers(a, b, "numeric") || refused(a) && refused(b)
}

func deviating(all []*deviation, text string) *deviation {
	for _, d := range all {
		if d.match.MatchString(text) {
			d.used++
			return d
		}
	}
	return nil
}

// answerOf prints a value in the manner of the recorded answers.
func answerOf(v datum.Value, _ datum.Type, err error) string {
	switch {
	case err != nil:
		return "fault " + string(fault.CodeOf(err))
	case v.IsNull():
		return `\N`
	}
	text := []rune(v.String())
	if len(text) > 200 {
		text = text[:200]
	}
	return strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\t", `\t`).Replace(string(text))
}

// onPath computes a query of one value by DuckDB.
func onPath(e *Engine, query string) string {
	fail := func(err error) string { return answerOf(datum.Value{}, datum.Type{}, err) }
	tree, err := world{}.bindTree(query)
	if err != nil {
		return fail(err)
	}
	a, err := NewAnalytic(tree)
	if err != nil {
		return fail(err)
	}
	r, err := a.Run(context.Background(), e, world{}.opener(), testEnv(), Limits{})
	if err != nil {
		return fail(err)
	}
	defer r.Close()
	rows, err := r.Next(context.Background())
	if err != nil {
		return fail(err)
	}
	if len(rows) != 1 || len(rows[0]) != 1 {
		return fmt.Sprintf("%d rows", len(rows))
	}
	return answerOf(rows[0][0], datum.Type{}, nil)
}

// agrees reports whether an answer is that of PostgreSQL.
func agrees(have string, want [2]string) bool {
	if want[0] == "fault" {
		return strings.HasPrefix(have, "fault ")
	}
	return equalAnswers(have, want[1], want[0])
}

// equalAnswers compares two texts as values of a type of PostgreSQL.
func equalAnswers(a, b, kind string) bool {
	if a == b {
		return true
	}
	switch kind {
	case "double precision", "real", "numeric", "integer", "bigint", "smallint":
		return equalNumbers(a, b)
	case "json", "jsonb":
		return equalDocuments(a, b)
	case "double precision[]", "numeric[]":
		x, y := strings.Split(strings.Trim(a, "{}"), ","), strings.Split(strings.Trim(b, "{}"), ",")
		if len(x) != len(y) {
			return false
		}
		for i := range x {
			if x[i] != y[i] && !equalNumbers(x[i], y[i]) {
				return false
			}
		}
		return true
	}
	return false
}

func equalNumbers(a, b string) bool {
	x, okX := new(big.Rat).SetString(a)
	y, okY := new(big.Rat).SetString(b)
	if okX && okY && x.Cmp(y) == 0 {
		return true
	}
	f, errF := strconv.ParseFloat(a, 64)
	g, errG := strconv.ParseFloat(b, 64)
	return errF == nil && errG == nil && math.Abs(f-g) <= 1e-14*math.Max(math.Abs(f), math.Abs(g))
}

func equalDocuments(a, b string) bool {
	plain := strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\t`, "\t")
	var x, y any
	if json.Unmarshal([]byte(plain.Replace(a)), &x) != nil || json.Unmarshal([]byte(plain.Replace(b)), &y) != nil {
		return false
	}
	return reflect.DeepEqual(x, y)
}
