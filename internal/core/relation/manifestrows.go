package relation

import (
	"context"

	"kalamdb/internal/cold"
	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/table"
)

// manifestRows lists what each scope has in the cold tier. SHOW MANIFEST is for
// everybody, and a manifest names its user and the least and greatest key: who
// is no administrator sees the tables that he may read, and his own scope.
func manifestRows(ctx context.Context, v *View, c Caller, b *keyBounds) ([][]datum.Value, error) {
	var rows [][]datum.Value
	for _, t := range v.storedTables() {
		if t.Kind == schema.Stream || !c.mayRead(t) {
			continue
		}
		scopes, err := v.windowsByScope(ctx, t)
		if err != nil {
			return nil, err
		}
		for _, s := range scopes {
			if t.PerUser() && !c.Role.Admin() && s.scope != schema.UserScope(c.User) {
				continue
			}
			name := t.Namespace + ":" + t.Name + ":" + scopeName(t, s.scope)
			if !b.mayHold(textOf(name)) {
				continue
			}
			row, err := v.manifestRow(t, name, s.scope, s.windows, c.Now)
			if err != nil {
				return nil, err
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// scopeName is the scope as manifests show it.
func scopeName(t *schema.Table, scope schema.Scope) string {
	if t.PerUser() {
		return string(scope)
	}
	return "shared"
}

// scopeWindows are the windows of one scope.
type scopeWindows struct {
	scope   schema.Scope
	windows []cold.SegmentFile
}

// windowsByScope groups the windows of a table, with their files.
func (v *View) windowsByScope(ctx context.Context, t *schema.Table) ([]scopeWindows, error) {
	var scopes []scopeWindows
	var failed error
	err := table.AllSegments(v.reader(), t.ID, func(segment schema.Segment) bool {
		if failed = ctx.Err(); failed != nil {
			return false
		}
		f, _, err := table.File(v.reader(), segment.File)
		if failed = err; err != nil {
			return false
		}
		if n := len(scopes); n == 0 || scopes[n-1].scope != segment.Scope {
			scopes = append(scopes, scopeWindows{scope: segment.Scope})
		}
		last := &scopes[len(scopes)-1]
		last.windows = append(last.windows, cold.SegmentFile{Segment: segment, File: f})
		return true
	})
	if err == nil {
		err = failed
	}
	return scopes, err
}

func (v *View) manifestRow(t *schema.Table, name string, scope schema.Scope, windows []cold.SegmentFile, now int64) ([]datum.Value, error) {
	manifest := cold.ManifestOf(t, scope, windows)
	text, err := manifest.JSON()
	if err != nil {
		return nil, err
	}
	cell, err := datum.NewJSON(string(text))
	if err != nil {
		return nil, err
	}
	counts, err := table.Counts(v.reader(), t, scope)
	if err != nil {
		return nil, err
	}
	state := "in_sync"
	if counts.HotRows > 0 {
		state = "pending_write"
	}
	return []datum.Value{
		textOf(name), textOf(t.Namespace), textOf(t.Name), textOf(scopeName(t, scope)), {}, timeOf(manifest.UpdatedAt),
		timeOf(now), boolOf(false), textOf(state), cell,
	}, nil
}
