package core

import (
	"context"

	"kalamdb/internal/auth"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/exec"
	"kalamdb/internal/sql/parse"
)

// Texts behind SHOW and DESCRIBE. They are constants: names that users write
// enter as parameters only.
const (
	showNamespaces = `SELECT * FROM system.namespaces ORDER BY namespace_id`
	showStorages   = `SELECT * FROM system.storages ORDER BY storage_id`
	showManifest   = `SELECT * FROM system.manifest ORDER BY cache_key`
	showSettings   = `SELECT * FROM system.settings ORDER BY name`
	showTables     = `SELECT * FROM system.schemas WHERE is_latest AND ($1 = '' OR namespace_id = $1) ORDER BY namespace_id, table_name`
	describeTable  = `SELECT column_name, ordinal_position, column_id, data_type, is_nullable, is_primary_key, column_default, column_comment, schema_version
		FROM system.describe WHERE namespace_id = $1 AND table_name = $2 ORDER BY ordinal_position`
	showColumns = `SELECT column_name, data_type, CASE WHEN is_nullable THEN 'YES' ELSE 'NO' END AS is_nullable
		FROM system.describe WHERE namespace_id = $1 AND table_name = $2 ORDER BY ordinal_position`
)

// show runs SHOW and DESCRIBE; the caller has been authorised.
func (db *DB) show(ctx context.Context, s *auth.Session, stmt parse.Statement, view *relation.View, env *exec.Env, p path) (*Result, error) {
	switch stmt := stmt.(type) {
	case *parse.ShowNamespaces:
		return db.internal(ctx, s, view, env, showNamespaces)
	case *parse.ShowStorages:
		return db.internal(ctx, s, view, env, showStorages)
	case *parse.ShowTables:
		in := ""
		if stmt.Namespace != nil {
			in = stmt.Namespace.Name
			if _, err := db.definer.Use(in); err != nil {
				return nil, err
			}
		}
		return db.internal(ctx, s, view, env, showTables, in)
	case *parse.ShowColumns:
		return db.describe(ctx, s, showColumns, stmt.Table, view, env, p)
	case *parse.Describe:
		if stmt.Bare {
			return db.describe(ctx, s, showColumns, stmt.Table, view, env, p)
		}
		return db.describe(ctx, s, describeTable, stmt.Table, view, env, p)
	case *parse.ShowIndexes:
		return showIndexes(stmt.Table, scope{view, p})
	case *parse.ShowStats:
		return db.showStats(ctx, s, stmt, view, env, p)
	case *parse.Show:
		switch stmt.What {
		case "manifest":
			return db.internal(ctx, s, view, env, showManifest)
		case "all":
			return db.internal(ctx, s, view, env, showSettings)
		case "export":
			return db.showExports(ctx, s)
		}
		return db.showSetting(ctx, s, stmt.What, view, env)
	}
	return nil, fault.New(fault.NotImplemented, "this SHOW is not supported yet")
}

// describe runs one of the texts over the columns of a table.
func (db *DB) describe(ctx context.Context, s *auth.Session, text string, n parse.Name, view *relation.View, env *exec.Env, p path) (*Result, error) {
	in := scope{view, p}
	t, err := in.Table(n)
	if err != nil {
		if v, ok := in.View(n); ok {
			return db.internal(ctx, s, view, env, text, v.Namespace, v.Name)
		}
		return nil, err
	}
	return db.internal(ctx, s, view, env, text, t.Namespace, t.Name)
}

// internal runs one of the server's own SELECTs over system tables in the name
// of a caller, without asking for his right to read them.
func (db *DB) internal(ctx context.Context, s *auth.Session, view *relation.View, env *exec.Env, text string, params ...string) (*Result, error) {
	n, err := parse.Normalize(text)
	if err != nil {
		return nil, err
	}
	p, err := db.prepare(ctx, n, nil, view, schema.SystemNamespace)
	if err != nil {
		return nil, err
	}
	values := make([]datum.Value, len(params))
	for i, text := range params {
		values[i] = datum.NewText(text)
	}
	own := db.environment(s, n, values, p.explicit, path(env.Namespace))
	own.Variables, own.Backend = env.Variables, env.Backend
	view.Retain()
	result, err := db.selects(ctx, s, p, view, own)
	if err != nil {
		view.Release()
	}
	return result, err
}

// showStats counts what a table holds in the caller's partitions.
func (db *DB) showStats(ctx context.Context, s *auth.Session, stmt *parse.ShowStats, view *relation.View, env *exec.Env, p path) (*Result, error) {
	t, err := (scope{view, p}).Table(stmt.Table)
	if err != nil {
		return nil, err
	}
	stats, err := view.TableStats(ctx, t, scopeOf(s, t), s.Role.Admin())
	if err != nil {
		return nil, err
	}
	streams := db.hub.OfUser(t.ID, s.UserID)
	if s.Role.Admin() {
		streams = db.hub.OnTable(t.ID)
	}
	text, big := datum.Type{Kind: datum.Text}, datum.Type{Kind: datum.BigInt}
	columns := []Column{
		{Name: "table_name", Type: text}, {Name: "namespace", Type: text}, {Name: "schema_version", Type: datum.Type{Kind: datum.Int}},
		{Name: "logical_rows", Type: big}, {Name: "flushed_segments", Type: big}, {Name: "active_streams", Type: big},
		{Name: "memory_bytes", Type: big}, {Name: "hot_rows", Type: big}, {Name: "cold_rows", Type: big},
		{Name: "total_rows", Type: big}, {Name: "storage_bytes", Type: big},
	}
	number := func(n int64) datum.Value { return datum.NewInt(datum.BigInt, n) }
	row := []datum.Value{
		datum.NewText(t.Name), datum.NewText(t.Namespace), datum.NewInt(datum.Int, int64(t.Version)),
		number(stats.HotRows + stats.ColdRows), number(stats.Segments), number(int64(streams)),
		number(stats.HotBytes), number(stats.HotRows), number(stats.ColdRows),
		number(stats.HotRows + stats.ColdRows), number(stats.ColdBytes),
	}
	return buffered(columns, [][]datum.Value{row}), nil
}
