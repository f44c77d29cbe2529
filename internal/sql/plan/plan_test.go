package plan

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// tables are what the statements of the tests can name.
type tables map[string]*schema.Table

func (s tables) Table(n parse.Name) (*schema.Table, error) {
	namespace := n.Namespace
	if namespace == "" {
		namespace = "app"
	}
	if t, ok := s[namespace+"."+n.Name]; ok {
		return t, nil
	}
	return nil, fault.New(fault.TableNotFound, "%s.%s", namespace, n.Name)
}

// View finds the views of the tests.
func (s tables) View(n parse.Name) (*schema.View, bool) {
	for _, v := range testViews() {
		if v.Name == n.Name && (n.Namespace == "" || n.Namespace == v.Namespace) {
			return v, true
		}
	}
	return nil, false
}

func testViews() []*schema.View {
	view := func(name, text string, columns ...string) *schema.View {
		return &schema.View{Namespace: "app", Name: name, Default: "app", Text: text, Columns: columns}
	}
	return []*schema.View{
		view("cheap", "SELECT id, body AS text, price FROM note WHERE price < 10"),
		view("renamed", "SELECT a, b, v FROM pair", "x", "y"),
		view("loop", "SELECT * FROM loop"),
		view("broken", "SELECT gone FROM note"),
		view("asking", "SELECT id FROM note WHERE id = $1"),
		view("wide", "SELECT v FROM pair", "x", "y"),
	}
}

// table makes a definition from "name TYPE [not null]" and the names of the key.
func table(t testing.TB, name string, kind schema.Kind, key string, columns ...string) *schema.Table {
	t.Helper()
	def := &schema.Table{ID: 1, Namespace: "app", Name: name, Kind: kind, Version: 1}
	for i, text := range columns {
		text, notNull := strings.CutSuffix(text, " not null")
		name, typ, _ := strings.Cut(text, " ")
		column := schema.Column{ID: schema.ColumnID(i + 1), Name: name, NotNull: notNull, Type: typeOf(t, typ)}
		switch name {
		case schema.SeqName:
			column.System = schema.SeqColumn
		case schema.DeletedName:
			column.System = schema.DeletedColumn
		}
		def.Columns = append(def.Columns, column)
	}
	for _, k := range strings.Fields(key) {
		at := def.Column(k)
		def.Columns[at].NotNull = true
		def.Key = append(def.Key, def.Columns[at].ID)
	}
	return def
}

func typeOf(t testing.TB, text string) datum.Type {
	t.Helper()
	name, rest, _ := strings.Cut(text, "(")
	var args []int
	for _, f := range strings.FieldsFunc(rest, func(r rune) bool { return r == ',' || r == ')' }) {
		var n int
		if _, err := fmt.Sscan(f, &n); err != nil {
			t.Fatal(err)
		}
		args = append(args, n)
	}
	typ, err := datum.ParseType(name, args)
	if err != nil {
		t.Fatal(err)
	}
	return typ
}

func testTables(t testing.TB) tables {
	system := []string{"_seq BIGINT not null", "_deleted BOOLEAN not null"}
	return tables{
		"app.note": table(t, "note", schema.User, "id", append([]string{
			"id BIGINT", "body TEXT not null", "n INT", "price DECIMAL(10,2)", "f DOUBLE", "r FLOAT", "ok BOOLEAN", "at TIMESTAMP",
			"due DATE", "clock TIME", "z DATETIME", "doc JSON", "u UUID", "b BYTES", "e EMBEDDING(3)", "s SMALLINT"}, system...)...),
		"app.marked": marked(t),
		"app.pair":   table(t, "pair", schema.Shared, "a b", append([]string{"v INT", "b TEXT", "a INT"}, system...)...),
		"app.event":  table(t, "event", schema.Stream, "", append([]string{"kind TEXT", "v INT"}, system...)...),
		"app.keyed":  table(t, "keyed", schema.Stream, "id", append([]string{"id BIGINT", "v INT"}, system...)...),
		"app.byuuid": table(t, "byuuid", schema.Shared, "u", append([]string{"u UUID", "v INT"}, system...)...),
		"app.sys":    table(t, "sys", schema.System, "id", "id TEXT", "v INT"),
	}
}

// marked is a table with a unique index.
func marked(t testing.TB) *schema.Table {
	def := table(t, "marked", schema.Shared, "id", "id INT", "code TEXT", "place INT", "_seq BIGINT not null", "_deleted BOOLEAN not null")
	def.Indexes = []schema.Index{{ID: 1, Name: "spots", Columns: []schema.ColumnID{2, 3}, Unique: true}, {ID: 2, Name: "codes", Columns: []schema.ColumnID{2}}}
	return def
}

// show prints a fault as its code, its sentence and its place.
func show(err error) string {
	var f *fault.Error
	if !errors.As(err, &f) {
		return "error: " + err.Error() + "\n"
	}
	if f.Offset >= 0 {
		return fmt.Sprintf("%s at %d: %s\n", f.Code, f.Offset, f.Sentence())
	}
	return fmt.Sprintf("%s: %s\n", f.Code, f.Sentence())
}

// bind binds a statement; normalized says that literals become parameters.
func bind(sc Scope, text string, normalized bool) (fmt.Stringer, []ParamInfo, error) {
	var stmt parse.Statement
	var err error
	o := Options{}
	if normalized {
		n, err := parse.Normalize(text)
		if err != nil {
			return nil, nil, err
		}
		o.Params = n.Params
		stmt, err = parse.ParseNormalized(n)
		if err != nil {
			return nil, nil, err
		}
	} else if stmt, err = parse.Parse(text); err != nil {
		return nil, nil, err
	}
	switch s := stmt.(type) {
	case *parse.Select:
		q, a, err := Bind(s, sc, o)
		switch {
		case err != nil:
			return nil, nil, err
		case a != nil:
			return a, a.Params, nil
		}
		return q, q.Params, nil
	case *parse.Insert:
		p, err := BindInsert(s, sc, o)
		if err != nil {
			return nil, nil, err
		}
		return p, p.Params, nil
	case *parse.Update:
		p, err := BindUpdate(s, sc, o)
		if err != nil {
			return nil, nil, err
		}
		return p, p.Params, nil
	case *parse.Delete:
		p, err := BindDelete(s, sc, o)
		if err != nil {
			return nil, nil, err
		}
		return p, p.Params, nil
	}
	return nil, nil, fmt.Errorf("a %T has no plan", stmt)
}

// TestPlans binds the statements of testdata. Commands: plan prints the plan of
// one statement, cached the one with literals as parameters, each one line per
// statement, which is its error or ok.
func TestPlans(t *testing.T) {
	datadriven.Walk(t, "testdata/plan", func(t *testing.T, path string) {
		sc := testTables(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "plan", "cached":
				p, params, err := bind(sc, d.Input, d.Cmd == "cached")
				if err != nil {
					return show(err)
				}
				text := p.String()
				for i, info := range params {
					text += fmt.Sprintf("param %d: %s loose=%t\n", i, &Param{i, info}, info.Loose)
				}
				return text
			case "rows":
				return showRows(sc, d.Input)
			case "query":
				p, _, err := bind(sc, d.Input, false)
				if err != nil {
					return show(err)
				}
				return p.(*Query).Analytic().String()
			case "each":
				var b strings.Builder
				for _, line := range strings.Split(d.Input, "\n") {
					if _, _, err := bind(sc, line, false); err != nil {
						b.WriteString(show(err))
					} else {
						b.WriteString("ok\n")
					}
				}
				return b.String()
			case "routes":
				return showRoutes(sc["app.note"], d.Input)
			}
			return "unknown command " + d.Cmd
		})
	})
}

// showRows prints the rows of a function in FROM whose arguments are constants.
func showRows(sc Scope, call string) string {
	stmt, err := parse.Parse("SELECT * FROM " + call)
	if err != nil {
		return show(err)
	}
	a, err := BindAnalytic(stmt.(*parse.Select), sc, Options{})
	if err != nil {
		return show(err)
	}
	var b strings.Builder
	Nodes(a.Root, func(n Node) {
		c, ok := n.(*TableCall)
		if !ok {
			return
		}
		b.WriteString(columnList(c.Columns) + "\n")
		args := make([]datum.Value, len(c.Args))
		for i, x := range c.Args {
			args[i] = x.(*Const).Value
		}
		next, err := c.Fn.Rows(args)
		for err == nil {
			var row []datum.Value
			if row, err = next(); row == nil || err != nil {
				break
			}
			for _, v := range row {
				b.WriteString(v.String() + " ")
			}
			b.WriteString("\n")
		}
		if err != nil {
			b.WriteString(show(err))
		}
	})
	return b.String()
}

// TestSettle replaces what belongs to an execution by constants.
func TestSettle(t *testing.T) {
	stmt, err := parse.Parse("SELECT id FROM note WHERE body = CURRENT_USER AND n IN ($1, 3) AND at < now()")
	if err != nil {
		t.Fatal(err)
	}
	q, err := BindSelect(stmt.(*parse.Select), testTables(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	env := &Env{User: "alice", Params: []datum.Value{datum.NewText("7")}}
	settled, err := Settle(q.Filter, env)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := settled.String(), "((body = 'alice') AND (n IN (7, 3)) AND (at < now()))"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := Routes(settled); len(got) != 2 || got[0][0].Low.String() != "alice" || len(got[1]) != 2 {
		t.Errorf("got routes %v", got)
	}
	if _, err := Settle(q.Filter, &Env{}); !fault.Is(err, fault.InvalidParameter) {
		t.Errorf("without parameters: %v", err)
	}
}
