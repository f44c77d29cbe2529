package core

import (
	"context"
	"strconv"
	"strings"

	"kalamdb/internal/auth"
	"kalamdb/internal/core/live"
	"kalamdb/internal/core/write"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// PresentRow is a row of a table with PRESENCE as a client gives it: some of its
// columns, or those that name it.
type PresentRow struct {
	// Table is the name with its namespace.
	Table   string
	Columns []string
	Values  []datum.Value
}

// MakePresent binds a row to a connection, or replaces it, and returns its _seq.
// The rights, defaults and checks are those of an INSERT, which it is but for
// where the row is kept.
func (db *DB) MakePresent(ctx context.Context, s *auth.Session, c *live.Conn, r PresentRow) (seq uint64, err error) {
	table, err := r.table()
	if err != nil {
		return 0, err
	}
	names, places := make([]string, len(r.Columns)), make([]string, len(r.Columns))
	for i, name := range r.Columns {
		names[i], places[i] = quoted(name), "$"+strconv.Itoa(i+1)
	}
	b := write.Binding{Connection: c.ID()}
	err = db.bound(ctx, s, &b, "INSERT INTO "+table+" ("+strings.Join(names, ", ")+") VALUES ("+strings.Join(places, ", ")+")", r.Values)
	return b.Seq, err
}

// MakeAbsent takes back rows that a connection's session holds, and reports whether
// there were any.
func (db *DB) MakeAbsent(ctx context.Context, s *auth.Session, c *live.Conn, r PresentRow) (found bool, err error) {
	table, err := r.table()
	if err != nil {
		return false, err
	}
	terms := make([]string, len(r.Columns))
	for i, name := range r.Columns {
		terms[i] = quoted(name) + " = $" + strconv.Itoa(i+1)
	}
	b := write.Binding{Connection: c.ID()}
	err = db.bound(ctx, s, &b, "DELETE FROM "+table+" WHERE "+strings.Join(terms, " AND "), r.Values)
	return b.Found, err
}

// bound runs a statement that may write to a table with PRESENCE.
func (db *DB) bound(ctx context.Context, s *auth.Session, b *write.Binding, sql string, params []datum.Value) error {
	results, err := db.Execute(write.Bind(ctx, b), s, Request{SQL: sql, Params: params})
	for _, r := range results {
		r.Close()
	}
	return err
}

// table returns the quoted name of the table, when that has PRESENCE: any other
// is written by SQL.
func (r *PresentRow) table() (string, error) {
	namespace, name, ok := strings.Cut(r.Table, ".")
	switch {
	case !ok || namespace == "" || name == "" || strings.Contains(name, "."):
		return "", fault.New(fault.InvalidParameter, "table must be named as namespace.table")
	case len(r.Columns) == 0:
		return "", fault.New(fault.InvalidParameter, "at least one column must be given")
	}
	return quoted(strings.ToLower(namespace)) + "." + quoted(strings.ToLower(name)), nil
}

// quoted returns a name as SQL takes any name.
func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
