package maint

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"kalamdb/internal/core/job"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/table"
)

// cleanupWait is how long a cleanup waits for views that may read its files;
// after that the schedule removes them. cleanupLook is the time between looks.
const (
	cleanupWait = 10 * time.Second
	cleanupLook = 100 * time.Millisecond
)

// flushKey is the idempotency key of the flushes of a table.
func flushKey(t *schema.Table) string { return fmt.Sprintf("flush:%d:%s", t.ID, t.QualifiedName()) }

// parameters are what system.jobs shows of a job on a table.
func parameters(t *schema.Table, operation string) string {
	text, err := json.Marshal(struct {
		Namespace string `json:"namespace"`
		Table     string `json:"table"`
		TableID   string `json:"table_id"`
		TableType string `json:"table_type"`
		Operation string `json:"operation,omitempty"`
	}{t.Namespace, t.Name, t.Namespace + ":" + t.Name, t.Kind.String(), operation})
	if err != nil {
		return "{}"
	}
	return string(text)
}

// StartFlush starts a flush of a table and returns what the statement answers.
func (m *Maintainer) StartFlush(ctx context.Context, actor schema.UserID, t *schema.Table) (string, error) {
	pending, err := m.pending(t)
	if err != nil {
		return "", err
	}
	if !pending {
		return fmt.Sprintf("Storage flush skipped: no pending writes for table '%s'", t.QualifiedName()), nil
	}
	j, started, err := m.submitFlush(ctx, actor, t)
	if err != nil {
		return "", err
	}
	if !started {
		return fmt.Sprintf("Storage flush skipped: a flush of table '%s' is already queued or running. Job ID: %s", t.QualifiedName(), j.ID), nil
	}
	return fmt.Sprintf("Storage flush started for table '%s'. Job ID: %s", t.QualifiedName(), j.ID), nil
}

// StartFlushAll starts a flush of every USER and SHARED table of a namespace
// that has something to flush; of all namespaces when it is "".
func (m *Maintainer) StartFlushAll(ctx context.Context, actor schema.UserID, namespace string) (string, error) {
	view := m.o.View()
	defer view.Release()
	var ids []string
	started := 0
	for t := range view.Definitions().AllTables() {
		if namespace != "" && t.Namespace != namespace || t.Kind != schema.User && t.Kind != schema.Shared {
			continue
		}
		pending, err := m.pending(t)
		if err != nil {
			return "", err
		}
		if !pending {
			continue
		}
		j, fresh, err := m.submitFlush(ctx, actor, t)
		if err != nil {
			return "", err
		}
		ids = append(ids, j.ID)
		if fresh {
			started++
		}
	}
	where := ""
	if namespace != "" {
		where = fmt.Sprintf(" in namespace '%s'", namespace)
	}
	switch {
	case len(ids) == 0:
		return fmt.Sprintf("Storage flush skipped: no pending writes for any table%s", where), nil
	case started == 0:
		return fmt.Sprintf("Storage flush skipped: flushes of all tables%s are already queued or running. Job IDs: [%s]", where, strings.Join(ids, ", ")), nil
	}
	return fmt.Sprintf("Storage flush started for %d table(s)%s. Job IDs: [%s]", len(ids), where, strings.Join(ids, ", ")), nil
}

// pending reports whether a flush of a table would find anything.
func (m *Maintainer) pending(t *schema.Table) (bool, error) {
	view := m.o.View()
	defer view.Release()
	counts, err := table.TotalCounts(view.Reader(), t)
	if err != nil || counts.HotRows > 0 {
		return err == nil, err
	}
	dead, err := deadScopes(context.Background(), view, t, 1)
	return len(dead) > 0, err
}

func (m *Maintainer) submitFlush(ctx context.Context, actor schema.UserID, t *schema.Table) (schema.Job, bool, error) {
	return m.o.Jobs.Submit(ctx, job.Spec{
		Type: "flush", Prefix: "FL", Key: flushKey(t), Parameters: parameters(t, ""), Actor: actor,
		Run: func(ctx context.Context) (string, error) {
			result, err := m.Flush(ctx, t.ID)
			if err != nil {
				return "", err
			}
			if result.Files == 0 && result.Rows == 0 && result.Dropped == 0 {
				return fmt.Sprintf("No pending writes for table '%s'", t.QualifiedName()), nil
			}
			return fmt.Sprintf("Flushed %d row(s) of table '%s' to %d file(s), %d bytes", result.Rows, t.QualifiedName(), result.Files, result.Bytes), nil
		},
	})
}

// Dropped is told of a table whose DROP has been committed: its flush ends, and
// a job removes its files. It returns the job's id, or "" when no job could be
// started; the schedule removes the files then. The table is gone, so nobody's
// patience bounds this.
func (m *Maintainer) Dropped(t *schema.Table) string {
	ctx := context.Background()
	m.removable.Store(true)
	m.o.Jobs.CancelKey(ctx, flushKey(t))
	j, _, err := m.o.Jobs.Submit(ctx, job.Spec{
		Type: "cleanup", Prefix: "CL", Parameters: parameters(t, "drop_table"),
		Run: func(ctx context.Context) (string, error) { return m.cleanup(ctx, t) },
	})
	if err != nil {
		m.o.Logger.Error("the cleanup of a dropped table could not be started", "table", t.QualifiedName(), "error", err)
		return ""
	}
	return j.ID
}

// cleanup removes the files of a dropped table, and waits a while for views
// that may read them.
func (m *Maintainer) cleanup(ctx context.Context, t *schema.Table) (string, error) {
	end := time.NewTimer(cleanupWait)
	defer end.Stop()
	look := time.NewTicker(cleanupLook)
	defer look.Stop()
	files, bytes, late := 0, int64(0), false
	for {
		found, err := m.removeFiles(ctx, t.ID)
		if err != nil {
			return "", err
		}
		files, bytes = files+len(found.ready), bytes+found.bytes
		if found.waiting == 0 {
			return fmt.Sprintf("Cleaned up table '%s': removed %d file(s), %d bytes", t.QualifiedName(), files, bytes), nil
		}
		if late {
			return fmt.Sprintf("Cleaned up table '%s': removed %d file(s), %d bytes; %d file(s) are still being read and are removed later",
				t.QualifiedName(), files, bytes, found.waiting), nil
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-end.C:
			late = true
		case <-look.C:
		}
	}
}
