package maint

import (
	"bytes"
	"context"
	"path"

	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
	"kalamdb/internal/store/table"
)

// MendManifests writes the manifests in folders of the file system anew that are
// missing or do not say what the store says. Run does so at the start. Those in
// object stores, where each look is a request, are compared by compactions.
func (m *Maintainer) MendManifests(ctx context.Context) error {
	view := m.o.View()
	defer view.Release()
	for t := range view.Definitions().AllTables() {
		if t.Kind != schema.User && t.Kind != schema.Shared {
			continue
		}
		if err := m.mendTable(ctx, view, t); err != nil {
			return err
		}
	}
	return nil
}

// mendTable mends the manifests of one table.
func (m *Maintainer) mendTable(ctx context.Context, view *catalog.View, t *schema.Table) error {
	scope, begun := schema.Scope(""), false
	packed := map[folder]struct{}{}
	var failed error
	err := table.AllSegments(view.Reader(), t.ID, func(s schema.Segment) bool {
		if failed = ctx.Err(); failed != nil || begun && s.Scope == scope {
			return failed == nil
		}
		scope, begun = s.Scope, true
		segments, err := table.Segments(view.Reader(), t.ID, scope)
		if failed = err; err != nil {
			return false
		}
		for _, at := range m.folders(view, segments) {
			shared := path.Base(at.path) == schema.PackedFolder
			if _, done := packed[at]; done || at.storage.Type != "" && at.storage.Type != "filesystem" {
				continue
			}
			if shared {
				packed[at] = struct{}{} // it lists many scopes
			}
			m.mendOne(t, scope, at)
		}
		return true
	})
	return firstOf(failed, err)
}

// mendScope mends the manifests of one scope.
func (m *Maintainer) mendScope(t *schema.Table, scope schema.Scope) {
	view := m.o.View()
	defer view.Release()
	segments, err := table.Segments(view.Reader(), t.ID, scope)
	if err != nil {
		m.o.Logger.Error("manifests could not be compared", "table", t.QualifiedName(), "error", err)
		return
	}
	for _, at := range m.folders(view, segments) {
		if path.Base(at.path) != schema.PackedFolder { // which lists windows of other scopes too
			m.mendOne(t, scope, at)
		}
	}
}

// mendOne compares one manifest with the store of this moment and writes it anew
// when it is missing or says something else. Nobody here reads it, so what goes
// wrong is logged.
func (m *Maintainer) mendOne(t *schema.Table, scope schema.Scope, at folder) {
	view := m.o.View()
	defer view.Release()
	want, err := manifestText(view, t, scope, at.storage, at.path)
	if err == nil {
		have, missing := m.o.Cold.Manifest(at.storage, at.path)
		if missing == nil && bytes.Equal(have, want) {
			return
		}
		m.o.Logger.Warn("writing a manifest anew that was missing or wrong", "table", t.QualifiedName(), "folder", at.path)
		err = m.o.Cold.PutManifest(at.storage, at.path, want)
	}
	if err != nil {
		m.o.Logger.Error("a manifest could not be written", "table", t.QualifiedName(), "folder", at.path, "error", err)
	}
}
