package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
)

// expectation is what acknowledged writes prove about the tables. A key whose
// last write got no answer may be as before it or as after it.
type expectation struct {
	mu      sync.Mutex
	rows    map[string]map[string]string // table/user → key → value
	err     error
	acks    int64
	pending map[string]statement
}

func newExpectation() *expectation {
	return &expectation{rows: map[string]map[string]string{}, pending: map[string]statement{}}
}

func (e *expectation) partition(table, user string) map[string]string {
	p := e.rows[table+"/"+user]
	if p == nil {
		p = map[string]string{}
		e.rows[table+"/"+user] = p
	}
	return p
}

// put and remove are effects of statements; the caller holds mu.
func (e *expectation) put(table, user, key, value string) { e.partition(table, user)[key] = value }
func (e *expectation) remove(table, user, key string)     { delete(e.partition(table, user), key) }

func name(s statement) string { return s.user + s.sql + fmt.Sprint(s.params...) }

// begin notes that a statement is on its way.
func (e *expectation) begin(s statement) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.pending[name(s)] = s
}

// acknowledge notes that a statement was answered with success.
func (e *expectation) acknowledge(s statement) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.pending, name(s))
	s.effect(e)
	e.acks++
}

func (e *expectation) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err = errors.Join(e.err, err)
}

func (e *expectation) failure() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

// keys returns the keys of a partition in order.
func (e *expectation) keys(table, user string) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []string
	for key := range e.partition(table, user) {
		all = append(all, key)
	}
	slices.Sort(all)
	return all
}

// settle compares a partition that was read with what must be there. What an
// unanswered statement would have done is accepted, done or not, and becomes
// the expectation.
func (e *expectation) settle(table, user string, got map[string]string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	after := newExpectation()
	for _, s := range e.pending {
		s.effect(after)
	}
	want := e.partition(table, user)
	maybe := after.partition(table, user)
	removed := e.removals(table, user)
	for key, value := range want {
		found, ok := got[key]
		switch {
		case ok && (found == value || found == maybe[key]):
		case !ok && removed[key]:
		default:
			return fmt.Errorf("%s of %s: the acknowledged row %s is %q, want %q", table, user, key, found, value)
		}
	}
	for key, value := range got {
		if _, ok := want[key]; !ok && maybe[key] != value {
			return fmt.Errorf("%s of %s: row %s = %q is there, but nobody wrote it", table, user, key, value)
		}
	}
	e.rows[table+"/"+user] = got
	return nil
}

// removals are the keys that unanswered deletes name.
func (e *expectation) removals(table, user string) map[string]bool {
	probe := newExpectation()
	for key := range e.partition(table, user) {
		probe.put(table, user, key, "")
	}
	for _, s := range e.pending {
		if strings.HasPrefix(s.sql, "DELETE") {
			s.effect(probe)
		}
	}
	gone := map[string]bool{}
	for key := range e.partition(table, user) {
		if _, ok := probe.partition(table, user)[key]; !ok {
			gone[key] = true
		}
	}
	return gone
}

// tables says what is read for the comparison: the column that the expectation
// knows, and the key.
var tables = []struct {
	table, value string
	key          []string
	readers      []string // accounts whose partitions are compared
	perUser      bool
}{
	{"demo.weather", "weather", []string{"day"}, users, true},
	{"demo.country", "name", []string{"code", "lang"}, []string{"root", "alice"}, false},
	{"demo.sighting", "species", []string{"id"}, []string{"root"}, true},
}

// verify reads every table as every account and compares it with what was
// acknowledged and with what the followers hold.
func (d *demo) verify() error {
	if err := d.expected.failure(); err != nil {
		return err
	}
	for _, t := range tables {
		for _, reader := range t.readers {
			rows, err := d.read(reader, `SELECT * FROM `+t.table, t.key)
			if err != nil {
				return err
			}
			owner := ""
			if t.perUser {
				owner = reader
			}
			got := map[string]string{}
			for key, r := range rows {
				got[key] = unquote(r[t.value])
			}
			if err := d.expected.settle(t.table, owner, got); err != nil {
				return err
			}
		}
	}
	d.expected.mu.Lock()
	clear(d.expected.pending)
	d.expected.mu.Unlock()
	for _, f := range d.followers {
		want, err := d.read(f.user, f.sql, f.key)
		if err != nil {
			return err
		}
		if err := f.matches(d.ctx, want); err != nil {
			return err
		}
	}
	return nil
}

// read runs a SELECT and returns its rows by key, without nulls and system
// columns, as followers keep them.
func (d *demo) read(user, sql string, key []string) (map[string]row, error) {
	response, err := d.clients[user].Query(d.ctx, sql)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", user, sql, err)
	}
	result := response.Results[0]
	rows := map[string]row{}
	for _, cells := range result.Rows {
		r := row{}
		for i, c := range result.Columns {
			if !strings.HasPrefix(c.Name, "_") && string(cells[i]) != "null" {
				r[c.Name] = cells[i]
			}
		}
		rows[keyOf(r, key)] = r
	}
	return rows, nil
}

func unquote(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return string(raw)
	}
	return text
}

// report prints what stands at the end.
func (d *demo) report() error {
	fmt.Printf("\nacknowledged %d writes; every one of them was found after the kills\n", d.expected.acks)
	names := make([]string, 0, len(d.expected.rows))
	for partition := range d.expected.rows {
		names = append(names, partition)
	}
	sort.Strings(names)
	for _, partition := range names {
		table, user, _ := strings.Cut(partition, "/")
		if user == "" {
			user = "everybody"
		}
		fmt.Printf("  %-14s %-10s %5d rows\n", table, user, len(d.expected.rows[partition]))
	}
	for _, f := range d.followers {
		fmt.Printf("  follower %-6s %-70s %s\n", f.user, f.sql, f.count())
	}
	response, err := d.clients["alice"].Query(d.ctx, `SELECT weather, COUNT(*) AS days, AVG(temp_max) AS warm FROM demo.weather GROUP BY weather ORDER BY days DESC, weather LIMIT 5`)
	if err != nil {
		return err
	}
	fmt.Println("\nalice asks: SELECT weather, COUNT(*), AVG(temp_max) … GROUP BY weather")
	for _, r := range response.Results[0].Rows {
		fmt.Printf("  %-10s %4s days, %s\n", unquote(r[0]), unquote(r[1]), unquote(r[2]))
	}
	return nil
}
