package core

import (
	"context"
	"slices"

	"kalamdb/internal/auth"
	"kalamdb/internal/core/live"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
	"kalamdb/internal/sql/plan"
)

// Subscribe opens a live query on a connection. A refusal is a fault that the
// client gets instead of the acknowledgement. The rights are those of reading
// the table, asked with the function that SQL asks.
func (db *DB) Subscribe(ctx context.Context, s *auth.Session, c *live.Conn, r live.Request) error {
	select {
	case <-db.ready:
	case <-ctx.Done():
		return asFault(ctx.Err(), db.o.Limits)
	}
	if err := c.Check(&r); err != nil {
		return err
	}
	if err := db.accountStands(ctx, s); err != nil {
		return asFault(err, db.o.Limits)
	}
	if db.o.Tracer != nil {
		return db.tracedSubscribe(ctx, s, c, r)
	}
	_, err := db.open(ctx, s, c, r)
	return err
}

// tracedSubscribe opens a live query and lets the tracer hear of it.
func (db *DB) tracedSubscribe(ctx context.Context, s *auth.Session, c *live.Conn, r live.Request) error {
	ctx, span := db.o.Tracer.Statement(ctx)
	t, err := db.open(ctx, s, c, r)
	if span != nil {
		trace := StatementTrace{Kind: "subscribe", Path: "row", Query: parse.Redact(r.SQL)}
		if t != nil {
			trace.Table = t.QualifiedName()
		}
		if err != nil {
			trace.Fault = fault.CodeOf(err)
		}
		span.End(trace)
	}
	return err
}

// open opens a live query and returns its table once that is known.
func (db *DB) open(ctx context.Context, s *auth.Session, c *live.Conn, r live.Request) (*schema.Table, error) {
	q, t, err := db.liveQuery(ctx, s, r)
	if err == nil {
		err = c.Subscribe(ctx, q)
	}
	if err != nil {
		return t, asFault(err, db.o.Limits)
	}
	db.looked(ctx, s, "SUBSCRIBE", t.QualifiedName())
	return t, nil
}

// accountStands refuses a session whose user has been dropped, or has got
// another role, since he authenticated. His connections end then, but for one
// that was about to open.
func (db *DB) accountStands(ctx context.Context, s *auth.Session) error {
	u, known, err := db.User(ctx, s.UserID)
	if err != nil {
		return err
	}
	if known && (u.DeletedAt != 0 || s.Actor == s.UserID && u.Role != s.Role) {
		return fault.New(fault.InvalidCredentials, "Invalid credentials")
	}
	return nil
}

// liveQuery parses, authorises and binds a subscription, and returns its table.
func (db *DB) liveQuery(ctx context.Context, s *auth.Session, r live.Request) (*live.Query, *schema.Table, error) {
	if len(r.SQL) > db.o.Limits.MaxSQLBytes {
		return nil, nil, fault.New(fault.Syntax, "SQL query too long: %d bytes (maximum %d bytes)", len(r.SQL), db.o.Limits.MaxSQLBytes)
	}
	release, err := db.parsing(ctx, r.SQL)
	if err != nil {
		return nil, nil, err
	}
	defer release()
	sel, err := db.parseLive(r.SQL)
	if err != nil {
		return nil, nil, err
	}
	if err := db.checkParams(r.Params); err != nil {
		return nil, nil, err
	}
	view := db.relations.View()
	defer view.Release()
	if !rowShaped(sel) {
		return db.resultQuery(s, r, sel, view)
	}
	p, err := bindLive(s, sel, len(r.Params), view)
	if plan.NeedsTree(err) || err == nil && p.Grouped {
		return db.resultQuery(s, r, sel, view)
	}
	if err != nil {
		return nil, nil, err
	}
	env := db.environment(s, &parse.Normalized{}, nil, 0, schema.DefaultNamespace)
	q, err := live.NewQuery(r, live.QueryOptions{
		Plan:   p,
		Scope:  scopeOf(s, p.Table),
		Caller: caller(s, env),
		// Tables are altered rarely and subscriptions are many: the text is
		// parsed again rather than its tree kept.
		Rebind: func(v *relation.View) (*plan.Query, error) {
			sel, err := db.parseLive(r.SQL)
			if err != nil {
				return nil, err
			}
			if t, ok := v.TableByID(p.Table.ID); ok && t.Name == p.Table.Name {
				follow(sel, t.Namespace)
			}
			return bindLive(s, sel, len(r.Params), v)
		},
	})
	return q, p.Table, err
}

// follow gives the table of a subscription the namespace that it has now: the
// namespace may have been renamed since.
func follow(sel *parse.Select, namespace string) {
	from := *sel.From
	for i := range sel.Tables {
		if sel.Tables[i].Namespace == from.Namespace && sel.Tables[i].Name == from.Name {
			sel.Tables[i].Namespace = namespace
		}
	}
	sel.From.Namespace = namespace
}

// parseLive takes one SELECT of the shape that a subscription may have.
func (db *DB) parseLive(text string) (*parse.Select, error) {
	pieces, err := parse.Split(text)
	if err != nil {
		return nil, fault.Wrap(fault.Syntax, err, "%s", fault.Of(err).Message)
	}
	if len(pieces) != 1 {
		return nil, fault.New(fault.Syntax, "a subscription takes exactly one SELECT, not %d statements", len(pieces))
	}
	stmt, err := db.parser().Parse(pieces[0].Text)
	if err != nil {
		return nil, err
	}
	sel, ok := stmt.(*parse.Select)
	if !ok {
		return nil, fault.New(fault.Syntax, "only SELECT can be subscribed to")
	}
	return sel, liveShape(sel)
}

// liveShape refuses what no subscription takes, whatever its tables are.
func liveShape(s *parse.Select) error {
	refuse := func(what string) error {
		return fault.New(fault.Syntax, "%s is not supported in a subscription", what)
	}
	switch {
	case len(s.Tables) == 0:
		return refuse("a SELECT without FROM")
	case slices.ContainsFunc(s.Tables, func(n parse.Name) bool { return n.Namespace == "" }):
		return fault.New(fault.Syntax, "Query must use namespace.table format")
	}
	for _, out := range s.Outputs {
		if c, ok := out.X.(*parse.Column); ok && (c.Name == schema.SeqName || c.Name == schema.DeletedName) {
			return refuse("naming " + c.Name + " in the select list, which carries it anyway,")
		}
	}
	return nil
}

// bindLive authorises and binds a subscription with a number of parameters under
// the definitions of a view.
func bindLive(s *auth.Session, sel *parse.Select, params int, view *relation.View) (*plan.Query, error) {
	if err := authorise(s, sel, &overlay{view: view, path: schema.DefaultNamespace}); err != nil {
		return nil, err
	}
	plain := *sel
	plain.OrderBy = nil // a subscription is a set; its pages come by _seq
	return plan.BindSelect(&plain, scope{view, schema.DefaultNamespace}, plan.Options{Params: params})
}
