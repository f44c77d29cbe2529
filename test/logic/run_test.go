package logic

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// account is who runs a block.
type account struct {
	name string
	role schema.Role
}

// outcome is what a request answered: one result per statement, or a fault.
type outcome struct {
	results []result
	err     *refusal
}

// result is one statement's, with cells as the corpus writes them.
type result struct {
	columns []string
	types   []byte // I, R or T
	rows    [][]string
	count   int64
	message string
}

// refusal is a fault as a configuration sees it.
type refusal struct {
	code     fault.Code // "" where the wire does not tell
	sentence string
	check    func(want fault.Code) error // what else must hold, nil for nothing
}

// backend is a database under one configuration.
type backend interface {
	// addUser makes an account.
	addUser(a account) error
	// execute runs a request.
	execute(a account, namespace, sql string) outcome
	// connect opens a connection for live queries.
	connect(a account) (connection, error)
	// flush moves the hot rows of a table to the cold tier.
	flush(namespace, table string) error
	// restart closes and opens the database; crash loses what was not synced.
	restart(crash bool) error
	// advance turns the clock.
	advance(d time.Duration) error
	// userTables lists the USER and SHARED tables as namespace.table.
	userTables() []string
	close()
}

// connection carries the live queries of one account.
type connection interface {
	send(message string) error
	// receive returns the next frame as JSON, or an error after a bound.
	receive() ([]byte, error)
	close()
}

// runner runs one script under one configuration.
type runner struct {
	t         *testing.T
	config    string
	script    *script
	db        backend
	rewrite   bool
	who       account
	known     map[string]account
	namespace string
	variables map[string]string
	subs      map[string]*subscription
	conns     map[string]connection // by account name
	restarts  int
	records   int
	marks     int64 // rows written to the sentinel table
}

var root = account{"root", schema.RoleSystem}

func newRunner(t *testing.T, config string, s *script, db backend, rewrite bool) *runner {
	return &runner{
		t: t, config: config, script: s, db: db, rewrite: rewrite, who: root,
		known:     map[string]account{"root": root},
		namespace: schema.DefaultNamespace,
		variables: map[string]string{},
		subs:      map[string]*subscription{},
		conns:     map[string]connection{},
	}
}

// run executes every block and returns how many records it checked.
func (r *runner) run() int {
	for _, b := range r.script.blocks {
		if b.head == "" || !b.applies(r.config) {
			continue
		}
		if err := r.block(b); err != nil {
			r.t.Errorf("%s:%d: %s: %v", r.script.path, b.line, b.head, err)
			if !r.rewrite && !*keepFlag {
				break // what follows would only repeat the fault
			}
		}
	}
	for _, c := range r.conns {
		c.close()
	}
	return r.records
}

func (r *runner) block(b *block) error {
	sql := r.substitute(b.sql)
	arguments := b.words[1:]
	switch b.words[0] {
	case "user":
		return r.user(arguments)
	case "namespace":
		r.namespace = arguments[0]
		return nil
	case "statement":
		r.records++
		return r.statement(b, sql)
	case "query":
		r.records++
		return r.query(b, sql)
	case "let":
		out := r.db.execute(r.who, r.namespace, sql)
		if out.err != nil {
			return fmt.Errorf("%s", out.err.sentence)
		}
		if len(out.results) != 1 || len(out.results[0].rows) != 1 || len(out.results[0].rows[0]) != 1 {
			return fmt.Errorf("let needs one cell, got %v", out.results)
		}
		r.variables[arguments[0]] = out.results[0].rows[0][0]
		return nil
	case "flush":
		namespace, table, _ := strings.Cut(arguments[0], ".")
		return r.db.flush(namespace, table)
	case "restart":
		return r.restart()
	case "advance":
		d, err := time.ParseDuration(arguments[0])
		if err != nil {
			return err
		}
		return r.db.advance(d)
	case "subscribe":
		r.records++
		return r.subscribe(b, sql)
	case "events":
		r.records++
		return r.events(b)
	case "unsubscribe":
		return r.unsubscribe(arguments[0])
	}
	return fmt.Errorf("unknown directive")
}

// substitute replaces $x by what let has bound; $1 stays a parameter.
func (r *runner) substitute(sql string) string {
	names := make([]string, 0, len(r.variables))
	for name := range r.variables {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return len(b) - len(a) })
	for _, name := range names {
		sql = strings.ReplaceAll(sql, name, r.variables[name])
	}
	return sql
}

func (r *runner) user(arguments []string) error {
	a, ok := r.known[arguments[0]]
	if !ok {
		a = account{arguments[0], schema.RoleUser}
		if len(arguments) > 1 {
			role, err := schema.ParseRole(arguments[1])
			if err != nil {
				return err
			}
			a.role = role
		}
		if err := r.db.addUser(a); err != nil {
			return fmt.Errorf("add user %s: %w", a.name, err)
		}
		r.known[a.name] = a
	}
	r.who = a
	return nil
}

func (r *runner) statement(b *block, sql string) error {
	out := r.db.execute(r.who, r.namespace, sql)
	what := b.words[1]
	if what == "error" {
		return r.wantError(out, b)
	}
	if out.err != nil {
		return fmt.Errorf("unexpected error: %s %s", out.err.code, out.err.sentence)
	}
	var count int64
	var messages []string
	for _, res := range out.results {
		count += res.count
		messages = append(messages, res.message)
	}
	switch what {
	case "ok":
	case "count":
		want, err := strconv.ParseInt(b.words[2], 10, 64)
		if err != nil {
			return err
		}
		if count != want {
			if !r.rewrite {
				return fmt.Errorf("count is %d", count)
			}
			b.head = "statement count " + strconv.FormatInt(count, 10)
		}
	case "message":
		want := r.substitute(strings.TrimSpace(strings.TrimPrefix(b.head, "statement message")))
		if all := strings.Join(messages, "\n"); !strings.Contains(all, want) {
			return fmt.Errorf("message is %q", all)
		}
	case "shows":
		want := r.substitute(strings.TrimSpace(strings.TrimPrefix(b.head, "statement shows")))
		if !out.shows(want) {
			return fmt.Errorf("no cell contains it: %+v", out.results)
		}
	default:
		return fmt.Errorf("unknown kind of statement %q", what)
	}
	return r.afterWrite()
}

// shows reports whether a cell of the rows contains a text.
func (o outcome) shows(text string) bool {
	return slices.ContainsFunc(o.results, func(res result) bool {
		return slices.ContainsFunc(res.rows, func(cells []string) bool {
			return slices.ContainsFunc(cells, func(cell string) bool { return strings.Contains(cell, text) })
		})
	})
}

func (r *runner) wantError(out outcome, b *block) error {
	if out.err == nil {
		return fmt.Errorf("no error")
	}
	code := fault.Code(b.words[2])
	_, text, _ := strings.Cut(b.head, b.words[2])
	text = strings.TrimSpace(text)
	if out.err.code != "" && out.err.code != code {
		return fmt.Errorf("error is %s: %s", out.err.code, out.err.sentence)
	}
	if out.err.check != nil {
		if err := out.err.check(code); err != nil {
			return err
		}
	}
	if shown := code.Info().Shown || r.who.role.Admin(); shown && !strings.Contains(out.err.sentence, text) {
		return fmt.Errorf("sentence is %q", out.err.sentence)
	}
	return r.afterWrite()
}

// afterWrite does what a configuration does after each statement.
func (r *runner) afterWrite() error {
	switch r.config {
	case "cold", s3Config:
		for _, t := range r.db.userTables() {
			namespace, table, _ := strings.Cut(t, ".")
			if err := r.db.flush(namespace, table); err != nil {
				return fmt.Errorf("flush %s: %w", t, err)
			}
		}
	case "restart":
		return r.restart()
	}
	return nil
}

func (r *runner) query(b *block, sql string) error {
	out := r.db.execute(r.who, r.namespace, sql)
	if out.err != nil {
		return fmt.Errorf("unexpected error: %s %s", out.err.code, out.err.sentence)
	}
	res, err := rowsOf(out.results)
	if err != nil {
		return err
	}
	types := b.words[1]
	options := b.words[2:]
	if got := string(res.types); got != types {
		if !r.rewrite {
			return fmt.Errorf("column types are %s", got)
		}
		b.head = strings.Replace(b.head, types, got, 1)
	}
	var lines []string
	for _, row := range res.rows {
		lines = append(lines, strings.Join(row, "  "))
	}
	if slices.Contains(options, "rowsort") {
		slices.Sort(lines)
	}
	if slices.Contains(options, "colnames") {
		lines = append([]string{strings.Join(res.columns, "  ")}, lines...)
	}
	return r.compare(b, lines)
}

// rowsOf returns the rows that the statements of a text have answered, one
// after another; they have the same columns.
func rowsOf(results []result) (all result, err error) {
	found := false
	for _, res := range results {
		switch {
		case len(res.types) == 0:
		case !found:
			all, found = res, true
		case string(res.types) != string(all.types):
			return all, fmt.Errorf("results of types %s and %s", string(all.types), string(res.types))
		default:
			all.rows = append(slices.Clone(all.rows), res.rows...)
		}
	}
	if !found {
		return all, fmt.Errorf("%d results without rows", len(results))
	}
	return all, nil
}

// compare holds lines against the expectation, or rewrites it.
func (r *runner) compare(b *block, lines []string) error {
	want := make([]string, len(b.expect))
	for i, l := range b.expect {
		want[i] = r.substitute(l)
	}
	if slices.Equal(want, lines) {
		return nil
	}
	if r.rewrite {
		b.expect, b.divided = lines, true
		return nil
	}
	return fmt.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
}

// restart waits for the frames due, reopens the database, and resumes each
// open subscription from its last position.
func (r *runner) restart() error {
	if err := r.settle(); err != nil {
		return err
	}
	for name, c := range r.conns {
		c.close()
		delete(r.conns, name)
	}
	r.restarts++
	if err := r.db.restart(r.restarts%2 == 0); err != nil {
		return fmt.Errorf("restart %d: %w", r.restarts, err)
	}
	ids := make([]string, 0, len(r.subs))
	for id, s := range r.subs {
		if !s.ended { // one that has ended only waits for its frames to be read
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for _, id := range ids {
		if err := r.resume(r.subs[id]); err != nil {
			return fmt.Errorf("resume %s: %w", id, err)
		}
	}
	return nil
}

// cell writes a JSON cell as the corpus does.
func cell(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil && len(raw) > 0 && raw[0] == '"' {
		if text == "" {
			return "(empty)"
		}
		return strings.ReplaceAll(text, "\n", "\\n")
	}
	if string(raw) == "null" || len(raw) == 0 {
		return "NULL"
	}
	return string(raw)
}

// typeLetter is the letter of a data_type.
func typeLetter(raw json.RawMessage) byte {
	switch string(raw) {
	case `"SmallInt"`, `"Int"`, `"BigInt"`:
		return 'I'
	case `"Float"`, `"Double"`:
		return 'R'
	}
	if strings.HasPrefix(string(raw), `{"Decimal"`) {
		return 'R'
	}
	return 'T'
}
