package exec

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
	"kalamdb/internal/sql/plan"
)

// numbers is a table app.t (id BIGINT, n INT, s TEXT) with rows 0 to count-1.
func numbers(count int) world {
	def := &schema.Table{ID: 1, Namespace: "app", Name: "t", Kind: schema.Shared, Version: 1, Key: []schema.ColumnID{1}, Columns: []schema.Column{
		{ID: 1, Name: "id", Type: datum.Type{Kind: datum.BigInt}, NotNull: true},
		{ID: 2, Name: "n", Type: datum.Type{Kind: datum.Int}},
		{ID: 3, Name: "s", Type: datum.Type{Kind: datum.Text}},
		{ID: 4, Name: schema.SeqName, Type: datum.Type{Kind: datum.BigInt}, System: schema.SeqColumn},
		{ID: 5, Name: schema.DeletedName, Type: datum.Type{Kind: datum.Bool}, System: schema.DeletedColumn},
	}}
	m := &memory{def: def}
	for i := range int64(count) {
		m.rows = append(m.rows, []datum.Value{
			datum.NewInt(datum.BigInt, i), datum.NewInt(datum.Int, i%7), datum.NewText(fmt.Sprint("text ", i%11)),
			datum.NewInt(datum.BigInt, i+1), datum.NewBool(false),
		})
	}
	return world{"t": m}
}

func bindSelect(t testing.TB, w world, text string) *plan.Query {
	t.Helper()
	stmt, err := parse.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	q, err := plan.BindSelect(stmt.(*parse.Select), w, plan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// collect runs a program and copies its rows.
func collect(ctx context.Context, p *Program, w world, env *Env) ([][]datum.Value, error) {
	r, err := p.Run(ctx, w["t"], env, Limits{})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var all [][]datum.Value
	for {
		rows, err := r.Next(ctx)
		if err != nil || rows == nil {
			return all, err
		}
		for _, row := range rows {
			all = append(all, append([]datum.Value(nil), row...))
		}
	}
}

// TestSharedProgram runs one program from several goroutines with parameters of
// their own.
func TestSharedProgram(t *testing.T) {
	w := numbers(200)
	q := bindSelect(t, w, "SELECT id FROM t WHERE n = $1 AND s LIKE $2 AND id IN ($1, 8, 15, 22, 29, 36, 43, 50, 57, 64) ORDER BY id DESC")
	p, err := NewProgram(q)
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for i := range int64(4) {
		wait.Go(func() {
			table := numbers(200)
			for range 50 {
				env := testEnv()
				env.Params = []datum.Value{datum.NewInt(datum.BigInt, i), datum.NewText("text%")}
				rows, err := collect(context.Background(), p, table, env)
				want := 1 // only the row with id i, except that n = 1 is the whole list
				if i == 1 {
					want = 10
				}
				if err != nil || len(rows) != want {
					t.Errorf("n = %d: %d rows, %v; want %d", i, len(rows), err, want)
				}
			}
		})
	}
	wait.Wait()
}

// TestCancelled shows that every kind of query ends with the context's error.
func TestCancelled(t *testing.T) {
	w := numbers(50)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, text := range []string{
		"SELECT * FROM t", "SELECT id FROM t ORDER BY n", "SELECT DISTINCT n FROM t", "SELECT n, count(*) FROM t GROUP BY n", "SELECT 1",
		"SELECT id FROM t ORDER BY n LIMIT 1", "SELECT id FROM t LIMIT 3 OFFSET 2",
	} {
		p, err := NewProgram(bindSelect(t, w, text))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := collect(ctx, p, w, testEnv()); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestMatching visits the rows of an UPDATE with an Env that nobody prepared.
func TestMatcher(t *testing.T) {
	w := numbers(30)
	stmt, err := parse.Parse("UPDATE t SET n = n + $2, s = $3 WHERE id > $1 AND n = 3")
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.BindUpdate(stmt.(*parse.Update), w, plan.Options{})
	if err != nil {
		t.Fatal(err)
	}
	env := testEnv()
	env.Params = []datum.Value{datum.NewText("9"), datum.NewText("5"), datum.NewInt(datum.BigInt, 7)}
	evals := make([]Eval, len(p.Set))
	for i, a := range p.Set {
		if evals[i], err = Compile(a.X); err != nil {
			t.Fatal(err)
		}
	}
	m, err := NewMatcher(&p.Query)
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	err = m.Each(context.Background(), w["t"], env, func(row []datum.Value) error {
		got += row[0].String()
		for _, eval := range evals {
			v, err := eval(row, env)
			if err != nil {
				return err
			}
			got += fmt.Sprintf(" %s %s", v.Kind(), v)
		}
		got += ";"
		return nil
	})
	if want := "10 INT 8 BIGINT 7;17 INT 8 BIGINT 7;24 INT 8 BIGINT 7;"; err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
	stop := errors.New("stop")
	if err := m.Each(context.Background(), w["t"], env, func([]datum.Value) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("a fault of the visitor: %v", err)
	}
}

// TestKeys shows which statements name their keys.
func TestKeys(t *testing.T) {
	w := numbers(3)
	f := func(text, want string, params ...datum.Value) {
		t.Helper()
		env := testEnv()
		env.Params = params
		m, err := NewMatcher(bindSelect(t, w, text))
		if err != nil {
			t.Fatal(err)
		}
		keys, err := m.Keys(env)
		if got := fmt.Sprint(len(keys), keys != nil, err); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	f("SELECT * FROM t WHERE id = 5", "1 true <nil>")
	f("SELECT * FROM t WHERE id = 5.5", "0 true <nil>")
	f("SELECT * FROM t WHERE id IN (1, 2, 1, NULL)", "2 true <nil>")
	f("SELECT * FROM t WHERE id = $1", "1 true <nil>", datum.NewText("7"))
	f("SELECT * FROM t WHERE id > 5", "0 false <nil>")
	f("SELECT * FROM t WHERE 1 = 2", "0 false <nil>")
	f("SELECT 1", "0 false <nil>")
}

// TestCompileNil shows that the absence of an expression, which is DEFAULT,
// compiles to nothing.
func TestCompileNil(t *testing.T) {
	if eval, err := Compile(nil); eval != nil || err != nil {
		t.Errorf("Compile(nil) = %v, %v", eval == nil, err)
	}
}

// TestNoIDs shows that an Env without a source of ids is an internal fault.
func TestNoIDs(t *testing.T) {
	p, err := NewProgram(bindSelect(t, world{}, "SELECT snowflake_id()"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Run(context.Background(), nil, &Env{}, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(context.Background()); !fault.Is(err, fault.Internal) {
		t.Errorf("got %v", err)
	}
}

// TestVolatile shows that volatile functions are called for each row and stable
// ones are not.
func TestVolatile(t *testing.T) {
	w := numbers(3)
	p, err := NewProgram(bindSelect(t, w, "SELECT snowflake_id() AS a, snowflake_id() + 0, now() FROM t ORDER BY a"))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := collect(context.Background(), p, w, testEnv())
	if got, want := fmt.Sprint(len(rows), rows[0][0], rows[0][1], rows[2][0], rows[2][2]), "3 1001 1002 1005 2026-11-23 00:00:00.123456"; err != nil || got != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

func BenchmarkPointQuery(b *testing.B) {
	w := numbers(1)
	q := bindSelect(b, w, "SELECT * FROM t WHERE id = $1")
	w["t"].rows[0][0] = datum.NewInt(datum.BigInt, 5)
	env := testEnv()
	env.Params = []datum.Value{datum.NewInt(datum.BigInt, 5)}
	b.ReportAllocs()
	for b.Loop() {
		r, err := Run(context.Background(), q, w["t"], env, Limits{})
		if err != nil {
			b.Fatal(err)
		}
		if rows, err := r.Next(context.Background()); err != nil || len(rows) != 1 {
			b.Fatal(err)
		}
		r.Close()
	}
}

func BenchmarkFilter(b *testing.B) {
	for _, text := range []string{"n = 3", "n > 3 AND n < 5", "s = 'text 3'", "s LIKE 'text%'", "n IN (1, 3)", "n + 1 = 4", "lower(s) = 'text 3'", "s ~ '^t.*3$'"} {
		b.Run(text, func(b *testing.B) {
			w := numbers(1)
			e, err := parse.ParseExpr(text)
			if err != nil {
				b.Fatal(err)
			}
			x, err := plan.BindFilter(e, w["t"].def)
			if err != nil {
				b.Fatal(err)
			}
			eval, err := Compile(x)
			if err != nil {
				b.Fatal(err)
			}
			env := testEnv()
			row := w["t"].rows[0]
			b.ReportAllocs()
			for b.Loop() {
				if _, err := eval(row, env); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
