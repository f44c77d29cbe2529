package logic

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// statementForms is the page that names a script for what each form of statement
// takes and one for what it refuses. TestCorpus runs them.
const statementForms = "../../docs/sql/statements.md"

// formRow matches a row of its table: the form, and two scripts.
var formRow = regexp.MustCompile("^\\| `([^`]+)` \\| `([a-z_0-9]+\\.slt)` \\| `([a-z_0-9]+\\.slt)` \\|$")

// TestStatements holds each row of the table of forms against the scripts: the
// first must have a record of that form that succeeds, the second one that fails.
func TestStatements(t *testing.T) {
	page, err := os.ReadFile(statementForms)
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(page), "## Forms and their scripts")
	if !found {
		t.Fatalf("%s has no table of forms", statementForms)
	}
	rows := 0
	for line := range strings.Lines(table) {
		m := formRow.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		rows++
		for i, refused := range []bool{false, true} {
			ok, err := hasForm(m[2+i], m[1], refused)
			switch {
			case err != nil:
				t.Error(err)
			case !ok && refused:
				t.Errorf("%s: no record of the form %q is refused", m[3], m[1])
			case !ok:
				t.Errorf("%s: no record of the form %q is taken", m[2], m[1])
			}
		}
	}
	if rows < 80 {
		t.Errorf("%s has %d forms", statementForms, rows)
	}
}

// hasForm reports whether a script has a record of a form that is refused, or
// taken.
func hasForm(path, form string, refused bool) (bool, error) {
	s, err := load(path)
	if err != nil {
		return false, err
	}
	pattern := formPattern(form)
	for _, b := range s.blocks {
		if len(b.words) < 2 || b.words[0] != "statement" && b.words[0] != "query" && b.words[0] != "let" {
			continue
		}
		if (b.words[1] == "error") == refused && pattern.MatchString(b.sql) {
			return true, nil
		}
	}
	return false, nil
}

// formPattern matches statements of a form: its words in order, with anything
// where it has "…".
func formPattern(form string) *regexp.Regexp {
	words := strings.Fields(form)
	for i, w := range words {
		if w == "…" {
			words[i] = `[\s\S]*`
			continue
		}
		words[i] = regexp.QuoteMeta(w)
		if regexp.MustCompile(`^\w.*\w$`).MatchString(w) {
			words[i] = `\b` + words[i] + `\b`
		}
	}
	return regexp.MustCompile(`(?i)` + strings.ReplaceAll(strings.Join(words, `\s*`), `\s*[\s\S]*\s*`, `[\s\S]*`))
}
