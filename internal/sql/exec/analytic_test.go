package exec

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
	"kalamdb/internal/sql/plan"
	"kalamdb/internal/sql/source"
)

// bindTree binds a SELECT for the analytic path.
func (w world) bindTree(text string) (*plan.Analytic, error) {
	stmt, err := parse.Parse(text)
	if err != nil {
		return nil, err
	}
	return plan.BindAnalytic(stmt.(*parse.Select), w, plan.Options{})
}

func (w world) opener() func(*schema.Table) (source.Table, error) {
	return func(t *schema.Table) (source.Table, error) { return w[t.Name], nil }
}

// analyse runs a SELECT on the analytic path and prints its columns and rows.
func (w world) analyse(e *Engine, text string, given []datum.Value, o Limits) (string, error) {
	tree, err := w.bindTree(text)
	if err != nil {
		return "", err
	}
	a, err := NewAnalytic(tree)
	if err != nil {
		return "", err
	}
	env := testEnv()
	env.Params = given
	r, err := a.Run(context.Background(), e, w.opener(), env, o)
	if err != nil {
		return "", err
	}
	defer r.Close()
	var b strings.Builder
	for i, c := range r.Columns() {
		if i > 0 {
			b.WriteString(" | ")
		}
		b.WriteString(c.Name + " " + c.Type.String())
	}
	b.WriteString("\n")
	for {
		rows, err := r.Next(context.Background())
		if err != nil {
			return b.String(), err
		}
		if rows == nil {
			return b.String(), nil
		}
		for _, row := range rows {
			cells := make([]string, len(row))
			for i, v := range row {
				cells[i] = v.String()
			}
			b.WriteString(strings.Join(cells, " | ") + "\n")
		}
	}
}

// generated prints what DuckDB would be given.
func (w world) generated(text string, given []datum.Value) (string, error) {
	tree, err := w.bindTree(text)
	if err != nil {
		return "", err
	}
	a, err := NewAnalytic(tree)
	if err != nil {
		return "", err
	}
	env := testEnv()
	env.Params = given
	_, s, err := a.generate(context.Background(), w.opener(), env, 0)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(s.Text + "\n")
	for i, p := range s.Params {
		fmt.Fprintf(&b, "$%d %s %s\n", i+1, p.Kind(), p)
	}
	return b.String(), nil
}

// TestAnalytic runs queries in DuckDB; testdata/analytic holds what comes out.
func TestAnalytic(t *testing.T) {
	e := NewEngine(EngineOptions{})
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	datadriven.Walk(t, "testdata/analytic", func(t *testing.T, path string) {
		w := world{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var out string
			var err error
			switch d.Cmd {
			case "define":
				out = w.define(t, d)
			case "insert":
				for line := range strings.SplitSeq(d.Input, "\n") {
					if err = w.insert(line, d.HasArg("deleted")); err != nil {
						break
					}
				}
			case "query":
				out, err = w.analyse(e, d.Input, params(t, d), Limits{})
				if d.HasArg("rowsort") {
					lines := strings.SplitAfter(strings.TrimSuffix(out, "\n"), "\n")
					slices.Sort(lines[1:])
					out = strings.Join(lines, "") + "\n"
				}
			case "text":
				out, err = w.generated(d.Input, params(t, d))
			default:
				t.Fatalf("unknown command %s", d.Cmd)
			}
			if err != nil {
				out += show(err)
			}
			return out
		})
	})
}
