package core

import (
	"context"
	"strconv"
	"strings"
	"time"

	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
	"kalamdb/internal/sql/parse"
)

// talking returns one running statement of each session that a caller may see,
// the oldest.
func (s *statements) talking(c relation.Caller) []*statement {
	var first []*statement
	seen := map[int]bool{}
	for _, x := range s.visible(c) {
		if !seen[x.backend] {
			seen[x.backend] = true
			first = append(first, x)
		}
	}
	return first
}

// transport names the way that a session came.
func (x *statement) transport() string {
	if x.origin == originBatch {
		return "http"
	}
	return strings.ToLower(x.origin)
}

// sessionRows returns the rows of system.sessions: the requests that are being
// answered and the open WebSockets, those of the caller or, for administrators,
// of all.
func (db *DB) sessionRows(_ context.Context, c relation.Caller) ([][]datum.Value, error) {
	at := func(t time.Time) datum.Value { return datum.NewInt(datum.Timestamp, t.UnixMicro()) }
	var rows [][]datum.Value
	for _, x := range db.statements.talking(c) {
		state, id, inner, writes := "active", datum.NullValue, datum.NullValue, false
		if x.tx != nil {
			failed, changed := x.tx.described()
			id, inner, writes = datum.NewText(x.in), datum.NewText("active"), changed
			if failed {
				inner = datum.NewText("failed")
			}
		}
		method := datum.NullValue
		if p := x.plan.Load(); p != nil {
			method = datum.NewText(kindOf(p).String())
		}
		rows = append(rows, []datum.Value{
			datum.NewText(db.statements.prefix + "c" + strconv.FormatInt(int64(x.backend), 36)), datum.NewInt(datum.BigInt, int64(x.backend)),
			datum.NewText(x.chosen.now().path.first()), datum.NewText(state), id, inner, datum.NewBool(writes), textOrNull(x.session.IP),
			datum.NewText(x.transport()), at(x.request), at(x.start), method,
		})
	}
	for _, conn := range db.hub.Connections() {
		if conn.User != c.User && !c.Role.Admin() {
			continue
		}
		rows = append(rows, []datum.Value{
			datum.NewText(conn.ID), {}, {}, datum.NewText("idle"), {}, {}, datum.NewBool(false), textOrNull(conn.Address),
			datum.NewText("websocket"), at(conn.OpenedAt), at(conn.SeenAt), {},
		})
	}
	return rows, nil
}

// described says how a transaction stands: whether it has failed, and whether it
// has staged changes.
func (x *transaction) described() (failed, writes bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.mu.failed != nil, x.mu.rows > 0
}

// activityRows returns the rows of pg_stat_activity: the sessions that run a
// statement. The one that asks is among them.
func (db *DB) activityRows(_ context.Context, c relation.Caller) ([][]datum.Value, error) {
	var rows [][]datum.Value
	for _, x := range db.statements.talking(c) {
		a := relation.Activity{
			PID: x.backend, User: x.session.UserID, Application: x.chosen.now().custom["application_name"], Address: x.session.IP,
			Opened: x.request, Transaction: x.start, Statement: x.start, Query: parse.Redact(x.text),
		}
		if x.tx != nil {
			a.Transaction = x.tx.began
		}
		rows = append(rows, a.Row())
	}
	return rows, nil
}
