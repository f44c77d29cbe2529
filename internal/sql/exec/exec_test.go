package exec

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
	"kalamdb/internal/sql/plan"
	"kalamdb/internal/sql/source"
)

// memory is a source.Table over rows in memory. It keeps to the letter of a
// Request: columns that were not asked for are filled with what no test
// expects.
type memory struct {
	def     *schema.Table
	rows    [][]datum.Value
	counted bool // Count is known
	last    *source.Request
}

func (m *memory) Definition() *schema.Table { return m.def }

func (m *memory) column(which schema.SystemColumn) int {
	return slices.IndexFunc(m.def.Columns, func(c schema.Column) bool { return c.System == which })
}

func (m *memory) key(row []datum.Value) []datum.Value {
	out := make([]datum.Value, 0, len(m.def.Key))
	for _, p := range m.def.KeyPositions() {
		out = append(out, row[p])
	}
	return out
}

func (m *memory) Count(context.Context) (n int64, known bool, err error) {
	for _, row := range m.rows {
		if at := m.column(schema.DeletedColumn); at < 0 || !row[at].Bool() {
			n++
		}
	}
	return n, m.counted, nil
}

// within compares a key with the ends of a range as bytes, as a store does.
func within(key []datum.Value, low, high source.Bound) bool {
	prefix := func(b source.Bound) int {
		return slices.CompareFunc(key[:len(b.Values)], b.Values, func(x, y datum.Value) int {
			return strings.Compare(string(datum.AppendKey(nil, x)), string(datum.AppendKey(nil, y)))
		})
	}
	if len(low.Values) > 0 {
		if c := prefix(low); c < 0 || c == 0 && !low.Inclusive {
			return false
		}
	}
	if len(high.Values) > 0 {
		if c := prefix(high); c > 0 || c == 0 && !high.Inclusive {
			return false
		}
	}
	return true
}

func (m *memory) wanted(row []datum.Value, r source.Request) bool {
	key := m.key(row)
	if r.Keys != nil && !slices.ContainsFunc(r.Keys, func(k []datum.Value) bool {
		return string(schema.AppendKeyValues(nil, k)) == string(schema.AppendKeyValues(nil, key))
	}) {
		return false
	}
	if at := m.column(schema.DeletedColumn); at >= 0 && row[at].Bool() && !r.Deleted {
		return false
	}
	if at := m.column(schema.SeqColumn); at >= 0 {
		seq := uint64(row[at].Int())
		if seq <= r.AfterSeq || r.UpToSeq > 0 && seq > r.UpToSeq {
			return false
		}
	}
	return within(key, r.Low, r.High)
}

func (m *memory) Scan(_ context.Context, r source.Request) (source.Rows, error) {
	m.last = &r
	var rows [][]datum.Value
	for _, row := range m.rows {
		if m.wanted(row, r) {
			rows = append(rows, row)
		}
	}
	switch r.Order {
	case source.ByKey:
		slices.SortFunc(rows, func(a, b []datum.Value) int {
			return strings.Compare(string(m.def.KeyOf(nil, a)), string(m.def.KeyOf(nil, b)))
		})
	case source.Any, source.BySeqDesc: // rows stand in the order of _seq
		slices.Reverse(rows)
	}
	if r.Limit > 0 {
		rows = rows[:min(r.Limit, len(rows))] // it is a hint, but here it is taken
	}
	for n, row := range rows {
		rows[n] = slices.Clone(row)
		for i := range row {
			if r.Columns != nil && !slices.Contains(r.Columns, i) {
				rows[n][i] = datum.NewText("undefined")
			}
		}
	}
	return &memoryRows{rows: rows}, nil
}

// memoryRows hands out small batches and spoils them afterwards.
type memoryRows struct {
	rows, last [][]datum.Value
}

func (r *memoryRows) Next(ctx context.Context) (*source.Batch, error) {
	for _, row := range r.last {
		for i := range row {
			row[i] = datum.NewText("stale")
		}
	}
	if err := ctx.Err(); err != nil || len(r.rows) == 0 {
		return nil, err
	}
	n := min(3, len(r.rows))
	r.last, r.rows = r.rows[:n], r.rows[n:]
	return &source.Batch{Rows: r.last}, nil
}

func (r *memoryRows) Close() {}

// world is the tables of one test file.
type world map[string]*memory

func (w world) Table(n parse.Name) (*schema.Table, error) {
	if m, ok := w[n.Name]; ok {
		return m.def, nil
	}
	return nil, fault.New(fault.TableNotFound, "%s", n.Name)
}

func (w world) View(parse.Name) (*schema.View, bool) { return nil, false }

// define makes a table from lines "name TYPE [args…]".
func (w world) define(t testing.TB, d *datadriven.TestData) string {
	var name, key string
	kind := schema.Shared
	d.ScanArgs(t, "name", &name)
	d.MaybeScanArgs(t, "key", &key)
	def := &schema.Table{ID: schema.TableID(len(w) + 1), Namespace: "app", Name: name, Kind: kind, Version: 1}
	lines := append(strings.Split(d.Input, "\n"), "_seq BIGINT", "_deleted BOOLEAN")
	for i, line := range lines {
		fields := strings.Fields(line)
		var args []int
		for _, f := range fields[2:] {
			var n int
			if _, err := fmt.Sscan(f, &n); err != nil {
				t.Fatal(err)
			}
			args = append(args, n)
		}
		typ, err := datum.ParseType(fields[1], args)
		if err != nil {
			t.Fatal(err)
		}
		c := schema.Column{ID: schema.ColumnID(i + 1), Name: fields[0], Type: typ}
		switch c.Name {
		case schema.SeqName:
			c.System = schema.SeqColumn
		case schema.DeletedName:
			c.System = schema.DeletedColumn
		}
		def.Columns = append(def.Columns, c)
	}
	for _, k := range strings.FieldsFunc(key, func(r rune) bool { return r == '+' }) {
		def.Columns[def.Column(k)].NotNull = true
		def.Key = append(def.Key, def.Columns[def.Column(k)].ID)
	}
	w[name] = &memory{def: def, counted: d.HasArg("counted")}
	return ""
}

// insert runs an INSERT; deleted marks the rows as tombstones.
func (w world) insert(text string, deleted bool) error {
	stmt, err := parse.Parse(text)
	if err != nil {
		return err
	}
	p, err := plan.BindInsert(stmt.(*parse.Insert), w, plan.Options{})
	if err != nil {
		return err
	}
	m := w[p.Table.Name]
	for _, cells := range p.Rows {
		row := make([]datum.Value, len(p.Table.Columns))
		for i, x := range cells {
			eval, err := Compile(x)
			if err != nil {
				return err
			}
			if row[p.Columns[i]], err = eval(nil, testEnv()); err != nil {
				return err
			}
			if row[p.Columns[i]], err = datum.Assign(row[p.Columns[i]], p.Table.Columns[p.Columns[i]].Type); err != nil {
				return err
			}
		}
		row[m.column(schema.SeqColumn)] = datum.NewInt(datum.BigInt, int64(len(m.rows)+1)<<22)
		row[m.column(schema.DeletedColumn)] = datum.NewBool(deleted)
		m.rows = append(m.rows, row)
	}
	return nil
}

// testEnv has nothing that differs between runs.
func testEnv() *Env {
	next := int64(1000)
	return &Env{
		Now: 1_795_392_000_123_456, User: "alice", Role: schema.RoleUser, Namespace: "app", Version: "0.9",
		NextID:  func() int64 { next++; return next },
		Entropy: func(b []byte) { copy(b, "0123456789abcdef") },
	}
}

// show prints a fault as its code and sentence.
func show(err error) string {
	var f *fault.Error
	if errors.As(err, &f) {
		if f.Code == fault.Internal {
			return "internal: " + err.Error() + fmt.Sprint(errors.Unwrap(err)) + "\n"
		}
		return fmt.Sprintf("%s: %s\n", f.Code, f.Sentence())
	}
	return "error: " + err.Error() + "\n"
}

// params evaluates the values of the params argument, split by semicolons.
func params(t testing.TB, d *datadriven.TestData) []datum.Value {
	var text string
	d.MaybeScanArgs(t, "params", &text)
	var out []datum.Value
	for _, p := range strings.FieldsFunc(text, func(r rune) bool { return r == ';' }) {
		out = append(out, constant(t, p))
	}
	return out
}

func constant(t testing.TB, text string) datum.Value {
	t.Helper()
	v, _, err := evaluate(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// evaluate computes an expression without rows.
func evaluate(text string) (datum.Value, datum.Type, error) {
	e, err := parse.ParseExpr(text)
	if err != nil {
		return datum.Value{}, datum.Type{}, err
	}
	x, err := plan.BindScalar(e)
	if err != nil {
		return datum.Value{}, datum.Type{}, err
	}
	eval, err := Compile(x)
	if err != nil {
		return datum.Value{}, datum.Type{}, err
	}
	v, err := eval(nil, testEnv())
	return v, x.Type(), err
}

func (w world) bind(text string, normalized bool) (*plan.Query, []datum.Value, error) {
	stmt, err := parse.Parse(text)
	var literals []datum.Value
	o := plan.Options{}
	if normalized {
		n, err := parse.Normalize(text)
		if err != nil {
			return nil, nil, err
		}
		if stmt, err = parse.ParseNormalized(n); err != nil {
			return nil, nil, err
		}
		o.Params, literals = n.Params, n.Literals
	}
	if err != nil {
		return nil, nil, err
	}
	q, err := plan.BindSelect(stmt.(*parse.Select), w, o)
	return q, literals, err
}

// query runs a SELECT and prints its columns and rows.
func (w world) query(text string, given []datum.Value, limits Limits, normalized bool) (string, error) {
	q, literals, err := w.bind(text, normalized)
	if err != nil {
		return "", err
	}
	env := testEnv()
	env.Params = append(given, literals...)
	var t source.Table
	if q.Table != nil {
		t = w[q.Table.Name]
	}
	r, err := Run(context.Background(), q, t, env, limits)
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
			return "", err
		}
		if rows == nil {
			return b.String(), nil
		}
		for _, row := range rows {
			for i, v := range row {
				if i > 0 {
					b.WriteString(" | ")
				}
				if c := r.Columns()[i]; !v.IsNull() && v.Kind() != c.Type.Kind {
					b.WriteString("(" + v.Kind().String() + "!) ")
				} else if v.Kind() == datum.Decimal && v.Scale() != c.Type.Scale {
					b.WriteString("(scale!) ")
				}
				b.WriteString(v.String())
			}
			b.WriteString("\n")
		}
	}
}

// request prints what the last scan asked for.
func request(r *source.Request) string {
	if r == nil {
		return "no scan\n"
	}
	var b strings.Builder
	values := func(vs []datum.Value) string {
		text := make([]string, len(vs))
		for i, v := range vs {
			text[i] = v.Kind().String() + " " + v.String()
		}
		return "(" + strings.Join(text, ", ") + ")"
	}
	fmt.Fprintf(&b, "columns=%v order=%d limit=%d", r.Columns, r.Order, r.Limit)
	if r.Keys != nil {
		b.WriteString(" keys")
		for _, k := range r.Keys {
			b.WriteString(" " + values(k))
		}
	}
	if len(r.Low.Values) > 0 {
		fmt.Fprintf(&b, " low=%s inclusive=%t", values(r.Low.Values), r.Low.Inclusive)
	}
	if len(r.High.Values) > 0 {
		fmt.Fprintf(&b, " high=%s inclusive=%t", values(r.High.Values), r.High.Inclusive)
	}
	if r.AfterSeq > 0 || r.UpToSeq > 0 {
		fmt.Fprintf(&b, " seq=(%d,%d]", r.AfterSeq, r.UpToSeq)
	}
	if r.Deleted {
		b.WriteString(" deleted")
	}
	return b.String() + "\n"
}

// TestQueries runs testdata/query. Commands: define and insert make tables,
// query prints rows (params gives $1…, max the bound of bytes, scan prints the
// request too), each prints the result of one statement per line.
func TestQueries(t *testing.T) {
	datadriven.Walk(t, "testdata/query", func(t *testing.T, path string) {
		w := world{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "define":
				return w.define(t, d)
			case "insert":
				for _, line := range strings.Split(d.Input, "\n") {
					if err := w.insert(line, d.HasArg("deleted")); err != nil {
						t.Fatal(err)
					}
				}
				return ""
			case "query":
				return w.runQuery(t, d)
			case "each":
				var b strings.Builder
				for _, line := range strings.Split(d.Input, "\n") {
					text, err := w.query(line, nil, Limits{}, false)
					if err != nil {
						text = show(err)
					}
					lines := strings.SplitN(text, "\n", 2)
					if err == nil && len(lines) == 2 {
						text = strings.ReplaceAll(strings.TrimSuffix(lines[1], "\n"), "\n", " ; ") + "\n"
					}
					b.WriteString(text)
				}
				return b.String()
			}
			return "unknown command " + d.Cmd
		})
	})
}

func (w world) runQuery(t *testing.T, d *datadriven.TestData) string {
	limits := Limits{}
	d.MaybeScanArgs(t, "max", &limits.MaxBytes)
	for _, m := range w {
		m.last = nil
	}
	text, err := w.query(d.Input, params(t, d), limits, false)
	if err != nil {
		return show(err)
	}
	if d.HasArg("scan") {
		for _, m := range w {
			if m.last != nil {
				text += request(m.last)
			}
		}
	}
	// Literals as parameters must not change what comes out.
	again, err := w.query(d.Input, params(t, d), limits, true)
	if err != nil {
		t.Errorf("with literals as parameters: %v", err)
	} else if !strings.HasPrefix(text, again) {
		t.Errorf("with literals as parameters:\n%s", again)
	}
	return text
}

// TestExpressions computes testdata/expr: each line one expression.
func TestExpressions(t *testing.T) {
	datadriven.Walk(t, "testdata/expr", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var b strings.Builder
			for _, line := range strings.Split(d.Input, "\n") {
				v, typ, err := evaluate(line)
				switch {
				case err != nil:
					b.WriteString(show(err))
				case v.IsNull():
					b.WriteString("NULL\n")
				case v.Kind() != typ.Kind:
					fmt.Fprintf(&b, "%s is %s, not %s\n", v, v.Kind(), typ)
				default:
					fmt.Fprintf(&b, "%s %s\n", typ.Kind, v)
				}
			}
			return b.String()
		})
	})
}
