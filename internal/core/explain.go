package core

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/exec"
	"kalamdb/internal/sql/parse"
	"kalamdb/internal/sql/plan"
	"kalamdb/internal/sql/source"
)

// explaining writes the answer of EXPLAIN: the path and why, the plan, and what
// is read from where; with ANALYZE what came of it.
type explaining struct {
	db   *DB
	c    *Conversation
	view *relation.View
	env  *exec.Env
	rows [][]datum.Value
	// verbose adds what DuckDB is given.
	verbose bool
}

func (x *explaining) add(kind, text string) {
	x.rows = append(x.rows, []datum.Value{datum.NewText(kind), datum.NewText(strings.TrimSuffix(text, "\n"))})
}

// explain shows the plan of a statement, which has as many parameters as the
// whole; with ANALYZE it runs it, changes included.
func (db *DB) explain(ctx context.Context, c *Conversation, stmt *parse.Explain, explicit int, view *relation.View, env *exec.Env) (*Result, error) {
	p, err := db.bind(stmt.Inner, explicit, &given{params: env.Params}, view, c.variables.now().path.existing(view))
	if err != nil {
		return nil, err
	}
	x := &explaining{db: db, c: c, view: view, env: env, verbose: stmt.Verbose}
	switch {
	case p.analytic != nil:
		err = x.analytic(ctx, p.analytic, stmt.Analyze, p.analytic.Plan().Reason)
	case p.query != nil:
		large, why := false, ""
		if p.large != nil {
			large, why, err = db.large(ctx, p.query.Query(), c.session, view, env)
		}
		switch {
		case err != nil:
		case large:
			err = x.analytic(ctx, p.large, stmt.Analyze, why)
		default:
			err = x.query(ctx, p.query, stmt.Analyze)
		}
	case p.table() != nil:
		err = x.change(ctx, p, stmt.Analyze)
	default:
		err = fault.New(fault.NotImplemented, "EXPLAIN works on SELECT, INSERT, UPDATE and DELETE")
	}
	if err != nil {
		return nil, err
	}
	if stmt.Format == "json" {
		x.rows = x.json()
	}
	text := datum.Type{Kind: datum.Text}
	return buffered([]Column{{Name: "plan_type", Type: text}, {Name: "plan", Type: text}}, x.rows), nil
}

// query explains a SELECT of the row path.
func (x *explaining) query(ctx context.Context, p *exec.Program, run bool) error {
	q := p.Query()
	switch {
	case q.Table == nil:
		x.add("path", "row path: no table is read")
	case q.Keyed():
		x.add("path", "row path: one table, by its key")
	default:
		x.add("path", "row path: one table, and nothing that the row path has not")
	}
	x.add("logical_plan", q.String())
	if q.Table != nil {
		t, err := opened(x.c.session, x.view, x.env)(q.Table)
		if err != nil {
			return err
		}
		table := &countedTable{Table: t}
		return x.scan(ctx, table, q, run, func() error { return x.drain(ctx, p, table) })
	}
	if !run {
		return nil
	}
	return x.drain(ctx, p, nil)
}

// scan says what a scan of the row path reads, after run has run it.
func (x *explaining) scan(ctx context.Context, t *countedTable, q *plan.Query, run bool, f func() error) error {
	n, known, err := t.Count(ctx)
	if err != nil {
		return err
	}
	estimate := "unknown"
	switch {
	case q.Access.Keys != nil:
		estimate = "at most " + strconv.Itoa(len(q.Access.Keys))
	case known:
		estimate = "at most " + strconv.FormatInt(n, 10)
	}
	text := q.Reads() + "; rows estimated: " + estimate
	if !run {
		x.add("physical_plan", text)
		return nil
	}
	at := len(x.rows)
	if err := f(); err != nil {
		return err
	}
	rows := slices.Clone(x.rows[at:])
	x.rows = x.rows[:at]
	x.add("physical_plan", text+", read: "+strconv.FormatInt(t.rows.Load(), 10)+shownTally(&t.tally))
	x.rows = append(x.rows, rows...)
	return nil
}

// drain runs a program and counts its rows.
func (x *explaining) drain(ctx context.Context, p *exec.Program, t *countedTable) error {
	var table source.Table
	if t != nil {
		table = t
	}
	begin, limits := time.Now(), x.db.execLimits()
	limits.Timed = true
	rows, err := p.Run(ctx, table, x.env, limits)
	if err != nil {
		return err
	}
	return x.count(ctx, rows, begin)
}

// count reads all rows and says how many there were and how long that took.
func (x *explaining) count(ctx context.Context, rows *exec.Result, begin time.Time) error {
	defer rows.Close()
	n := 0
	for {
		batch, err := rows.Next(ctx)
		if err != nil {
			return err
		}
		if batch == nil {
			break
		}
		n += len(batch)
	}
	text := fmt.Sprintf("rows: %d; time: %s", n, shownTime(time.Since(begin)))
	for _, t := range rows.Timings() {
		text += fmt.Sprintf("\n%s; rows: %d; time: %s", t.Step, t.Rows, shownTime(t.Time))
	}
	x.add("execution", text)
	return nil
}

// shownTime is a time as EXPLAIN ANALYZE prints it.
func shownTime(d time.Duration) string { return d.Round(time.Microsecond).String() }

// json puts all rows into one text.
func (x *explaining) json() [][]datum.Value {
	doc := make(map[string]any, len(x.rows))
	for _, row := range x.rows {
		name, lines := row[0].Text(), strings.Split(row[1].Text(), "\n")
		if doc[name] = any(lines); name == "path" || name == "duckdb" {
			doc[name] = row[1].Text()
		}
	}
	text, err := json.Marshal([]any{doc})
	fault.Assert(err == nil, "plan as JSON: %v", err)
	return [][]datum.Value{{datum.NewText("json"), datum.NewText(string(text))}}
}

// analytic explains a SELECT of the analytic path.
func (x *explaining) analytic(ctx context.Context, a *exec.Analytic, run bool, why string) error {
	tree := a.Plan()
	if err := authoriseTree(x.c.session, tree); err != nil {
		return err
	}
	if why == "" {
		why = "the server sends every SELECT there"
	}
	x.add("path", "analytic path: "+why)
	x.add("logical_plan", tree.String())
	open := opened(x.c.session, x.view, x.env)
	report, err := a.Report(ctx, open, x.env, x.db.execLimits())
	if err != nil {
		return err
	}
	if x.verbose {
		x.add("duckdb", report.Text)
	}
	if !run {
		x.scans(report.Scans, report.Calls, false)
		return nil
	}
	begin := time.Now()
	rows, err := a.Run(ctx, x.db.analytics, open, x.env, x.db.execLimits())
	if err != nil {
		return err
	}
	at := len(x.rows)
	if err := x.count(ctx, rows, begin); err != nil {
		return err
	}
	last := slices.Clone(x.rows[at:])
	x.rows = x.rows[:at]
	x.scans(rows.Scans(), report.Calls, true)
	x.rows = append(x.rows, last...)
	return nil
}

// scans says what the scans of an analytic statement read.
func (x *explaining) scans(scans []exec.ScanReport, calls int, run bool) {
	var s strings.Builder
	fmt.Fprintf(&s, "DuckDB over %d scan(s); expressions computed by our code: %d\n", len(scans), calls)
	for _, r := range scans {
		what, pushed := "rows of the statement itself", ""
		if r.Scan != nil {
			what = r.Scan.Reads()
			if r.Scan.Filter != nil {
				pushed = "; where: " + r.Scan.Filter.String()
			}
		}
		estimate := "unknown"
		if r.Estimate > 0 {
			estimate = strconv.FormatInt(r.Estimate, 10)
		}
		s.WriteString(what + pushed + "; rows estimated: " + estimate)
		if run {
			s.WriteString(", read: " + strconv.FormatInt(r.Rows, 10) + "; time: " + shownTime(r.Time))
			if r.Pieces > 0 {
				s.WriteString("; shared by threads in pieces: " + strconv.FormatInt(r.Pieces, 10))
			}
		}
		if r.Files > 0 {
			fmt.Fprintf(&s, "; files that DuckDB reads itself: %d with %d rows", r.Files, r.FileRows)
		}
		if run {
			s.WriteString(shownTally(r.Tally))
		}
		s.WriteByte('\n')
	}
	x.add("physical_plan", s.String())
}

// change explains INSERT, UPDATE and DELETE.
func (x *explaining) change(ctx context.Context, p *prepared, run bool) error {
	var text string
	switch {
	case p.insert != nil:
		text = p.insert.Plan().String()
	case p.update != nil:
		text = p.update.Plan().String()
	default:
		text = p.delete.Plan().String()
	}
	if err := authoriseReads(x.c.session, p); err != nil {
		return err
	}
	path := "row path: rows of one table are changed"
	_, tree := p.reads()
	if tree != nil {
		path = "analytic path: " + tree.Reason + " finds the rows of one table that are changed"
	}
	x.add("path", path)
	x.add("logical_plan", text)
	if err := x.source(ctx, tree); err != nil || !run {
		return err
	}
	begin := time.Now()
	r, err := x.db.modify(ctx, x.c, p, x.env)
	if err != nil {
		return err
	}
	n := r.Count
	r.Close()
	x.add("execution", fmt.Sprintf("rows: %d; time: %s", n, time.Since(begin).Round(time.Microsecond)))
	return nil
}

// source says what the tree of an INSERT, UPDATE or DELETE reads, nil for none.
func (x *explaining) source(ctx context.Context, tree *plan.Analytic) error {
	if tree == nil {
		return nil
	}
	a, err := exec.NewAnalytic(tree)
	if err != nil {
		return err
	}
	report, err := a.Report(ctx, opened(x.c.session, x.view, x.env), x.env, x.db.execLimits())
	if err == nil {
		x.scans(report.Scans, report.Calls, false)
	}
	return err
}

// countedTable counts the rows that its scans deliver.
type countedTable struct {
	source.Table
	rows  atomic.Int64
	tally source.Tally
}

// Scan implements source.Table.
func (t *countedTable) Scan(ctx context.Context, r source.Request) (source.Rows, error) {
	r.Tally = &t.tally
	rows, err := t.Table.Scan(ctx, r)
	if err != nil {
		return nil, err
	}
	return &countedRows{rows, t}, nil
}

// CountWithin implements source.Counted.
func (t *countedTable) CountWithin(ctx context.Context, after, upTo uint64) (n int64, known bool, err error) {
	if counted, ok := t.Table.(source.Counted); ok {
		return counted.CountWithin(ctx, after, upTo)
	}
	return 0, false, nil
}

// shownTally says what a scan has read of cold files, "" for nothing.
func shownTally(t *source.Tally) string {
	if t == nil {
		return ""
	}
	read, pruned, groups, spared := t.Segments.Load(), t.SegmentsPruned.Load(), t.RowGroups.Load(), t.RowGroupsPruned.Load()
	if read+pruned+groups+spared == 0 {
		return ""
	}
	return fmt.Sprintf("; segments read: %d, pruned: %d; row groups read: %d, pruned: %d", read, pruned, groups, spared)
}

// Definition implements source.Table.
func (t *countedTable) Definition() *schema.Table { return t.Table.Definition() }

type countedRows struct {
	source.Rows
	t *countedTable
}

// Next implements source.Rows.
func (r *countedRows) Next(ctx context.Context) (*source.Batch, error) {
	batch, err := r.Rows.Next(ctx)
	if batch != nil {
		r.t.rows.Add(int64(len(batch.Rows)))
	}
	return batch, err
}
