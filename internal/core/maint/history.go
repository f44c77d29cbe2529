package maint

import (
	"context"
	"time"

	"kalamdb/internal/command"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
	"kalamdb/internal/store/table"
)

// ForgetHistory forgets the windows of history that are older than HistoryAge,
// or that do not fit into HistoryBytes together with newer ones.
func (m *Maintainer) ForgetHistory(ctx context.Context) error {
	view := m.o.View()
	uses, err := table.HistoryWindows(view.Reader())
	view.Release()
	if err != nil || len(uses) == 0 {
		return err
	}
	keep := table.HistoryWindow(schema.SeqFloor(m.o.Now().Add(-m.o.HistoryAge).UnixMicro()))
	var bytes int64
	for i := len(uses) - 1; i >= 0; i-- {
		if bytes += uses[i].Bytes; bytes > m.o.HistoryBytes {
			keep = max(keep, uses[i].Window+1)
			break
		}
	}
	if uses[0].Window >= keep {
		return nil
	}
	return m.repeat(ctx, &command.ForgetHistory{Window: keep, Floor: table.HistoryFloor(keep)})
}

// repeat proposes a command until there is nothing more for it to do.
func (m *Maintainer) repeat(ctx context.Context, body command.Body) error {
	for {
		receipt, err := m.commit(ctx, body)
		if err != nil || !receipt.More {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// Purge removes tombstones that are older than the retention of their table,
// with every version of their key. A version that can still be replayed stays.
func (m *Maintainer) Purge(ctx context.Context) error {
	view := m.o.View()
	defer view.Release()
	for t := range view.Definitions().AllTables() {
		if t.Kind != schema.User && t.Kind != schema.Shared {
			continue
		}
		retention := m.o.DeletedRetention
		if t.Options.DeletedRetentionSeconds != 0 {
			retention = time.Duration(t.Options.DeletedRetentionSeconds) * time.Second
		}
		if retention < 0 {
			continue
		}
		before := min(schema.SeqFloor(m.o.Now().Add(-retention).UnixMicro()), view.History().Floor)
		if before == 0 {
			continue
		}
		if err := m.purgeTable(ctx, view, t, before); err != nil {
			return err
		}
	}
	return nil
}

func (m *Maintainer) purgeTable(ctx context.Context, view *catalog.View, t *schema.Table, before uint64) error {
	for after := schema.Scope(""); ; {
		scopes, err := table.Scopes(view.Reader(), t, after, 1000)
		if err != nil || len(scopes) == 0 {
			return err
		}
		for _, scope := range scopes {
			if err := m.purgeScope(ctx, view, t, scope, before); err != nil {
				return err
			}
		}
		if after = scopes[len(scopes)-1]; after == "" {
			return nil // the one partition of a SHARED table
		}
	}
}

// purgeScope purges the tombstones of one scope below a position.
func (m *Maintainer) purgeScope(ctx context.Context, view *catalog.View, t *schema.Table, scope schema.Scope, before uint64) error {
	counts, err := table.Counts(view.Reader(), t, scope)
	if err != nil || counts.Tombstones == 0 {
		return err
	}
	scan, err := table.NewScan(view.Reader(), t, scope, table.ScanOptions{UpToSeq: before - 1, Deleted: true})
	if err != nil {
		return err
	}
	err = m.purgeScan(ctx, t, scope, before, scan)
	if closeErr := scan.Close(); err == nil {
		err = closeErr
	}
	return err
}

// purgeScan purges the tombstones that a scan delivers.
func (m *Maintainer) purgeScan(ctx context.Context, t *schema.Table, scope schema.Scope, before uint64, scan *table.Scan) error {
	keys := make([][]byte, 0, sliceRows)
	for n := 0; scan.Next(ctx); n++ {
		if n%sliceRows == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		v := scan.Version()
		if !v.Deleted {
			continue
		}
		keys = append(keys, append([]byte(nil), v.Key...))
		if len(keys) == sliceRows {
			if err := m.purgeKeys(ctx, t, scope, keys, before); err != nil {
				return err
			}
			keys = make([][]byte, 0, sliceRows)
		}
	}
	if err := scan.Err(); err != nil || len(keys) == 0 {
		return err
	}
	return m.purgeKeys(ctx, t, scope, keys, before)
}

// purgeKeys proposes the removal of keys until all are gone.
func (m *Maintainer) purgeKeys(ctx context.Context, t *schema.Table, scope schema.Scope, keys [][]byte, before uint64) error {
	for {
		receipt, err := m.commit(ctx, &command.PurgeRows{Table: t.ID, Scope: scope, Keys: keys, Before: before})
		if err != nil {
			return err
		}
		m.stats.purged.Add(receipt.Rows)
		if !receipt.More {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}
