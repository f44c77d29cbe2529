package core

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"

	"kalamdb/internal/auth"
	"kalamdb/internal/core/live"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
	"kalamdb/internal/sql/parse"
)

// subscribeTo answers SUBSCRIBE TO: the statement opens nothing, it checks what
// is asked for and says what to send over a WebSocket.
func (db *DB) subscribeTo(ctx context.Context, s *auth.Session, stmt *parse.Subscribe, view *relation.View, in path) (*Result, error) {
	text := qualify(stmt, view, in)
	options := snapshotOf(stmt)
	if options != nil {
		if err := options.Check(); err != nil {
			return nil, err
		}
	}
	_, t, err := db.liveQuery(ctx, s, live.Request{ID: "check", SQL: text, Options: options})
	if err != nil {
		return nil, err
	}
	raw := make([]byte, 16)
	if db.o.Entropy != nil {
		db.o.Entropy(raw)
	} else {
		_, _ = rand.Read(raw) // it never fails
	}
	message := datum.AppendJSONString([]byte(`{"id":`), "sub-"+t.Namespace+"-"+t.Name+"-"+hex.EncodeToString(raw))
	message = datum.AppendJSONString(append(message, `,"sql":`...), text)
	if options != nil {
		message = append(append(message, `,"options":`...), options.JSON...)
	}
	subscription, err := datum.NewJSON(string(append(message, '}')))
	if err != nil {
		return nil, err
	}
	words := datum.Type{Kind: datum.Text}
	columns := []Column{{Name: "status", Type: words}, {Name: "ws_url", Type: words}, {Name: "subscription", Type: datum.Type{Kind: datum.JSON}}, {Name: "message", Type: words}}
	result := buffered(columns, [][]datum.Value{{
		datum.NewText("active"), datum.NewText(db.socketURL()), subscription,
		datum.NewText("WebSocket subscription created. Connect to ws_url to receive updates."),
	}})
	result.Objects = true
	return result, nil
}

// socketURL is where clients open WebSockets.
func (db *DB) socketURL() string {
	origin := "http://localhost"
	if db.o.Origin != nil {
		origin = db.o.Origin()
	}
	return "ws" + strings.TrimPrefix(origin, "http") + "/v1/ws" // http: becomes ws:, https: wss:
}

// qualify gives tables without a namespace the one in which they are found.
func qualify(stmt *parse.Subscribe, view *relation.View, in path) string {
	var b strings.Builder
	done := 0
	for _, n := range stmt.Bare {
		b.WriteString(stmt.Text[done:n.Offset])
		b.WriteString(quotedName(namespaceOf(view, n, in)) + ".")
		done = n.Offset
	}
	return b.String() + stmt.Text[done:]
}

// snapshotOf returns the options of a statement, nil for none.
func snapshotOf(stmt *parse.Subscribe) *live.Snapshot {
	o := &live.Snapshot{}
	text := ""
	add := func(name string, value parse.GivenNumber) bool {
		if !value.Given {
			return false
		}
		text += `,"` + name + `":` + strconv.FormatUint(value.N, 10)
		return true
	}
	if add("last_rows", stmt.LastRows) {
		o.LastRows, o.HasLastRows = int(stmt.LastRows.N), true
	}
	if add("batch_size", stmt.BatchSize) {
		o.BatchSize = int(stmt.BatchSize.N)
	}
	if add("from", stmt.From) {
		o.From, o.HasFrom = stmt.From.N, true
	}
	if text == "" {
		return nil
	}
	o.JSON = "{" + text[1:] + "}"
	return o
}
