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

// flushKey is the idempotency key of the flushes of a whole table, flushRowsKey
// that of the flushes of partitions that have reached the rows of the policy.
func flushKey(t *schema.Table) string     { return fmt.Sprintf("flush:%d:%s", t.ID, t.QualifiedName()) }
func flushRowsKey(t *schema.Table) string { return flushKey(t) + ":rows" }

// byClock is the priority of what the schedule starts: behind what a statement
// has asked for.
const byClock = -10

// clockKey is the idempotency key of what the schedule starts for a table.
func (m *Maintainer) clockKey(prefix string, t *schema.Table) string {
	return job.HourKey(prefix, t.Namespace+":"+t.Name, m.o.Now())
}

// active returns the job of one kind that is at work on a table or waits for it:
// one that a statement has started, or the schedule in this hour or the one
// before.
func (m *Maintainer) active(prefix, key string, t *schema.Table) (schema.Job, bool) {
	for _, k := range m.keysOf(prefix, key, t) {
		if j, ok := m.o.Jobs.Active(k); ok {
			return j, true
		}
	}
	return schema.Job{}, false
}

func (m *Maintainer) keysOf(prefix, key string, t *schema.Table) []string {
	name := t.Namespace + ":" + t.Name
	return []string{key, m.clockKey(prefix, t), job.HourKey(prefix, name, m.o.Now().Add(-time.Hour))}
}

// shown are the parameters of a job as system.jobs shows them.
type shown struct {
	Namespace string `json:"namespace"`
	Table     string `json:"table"`
	TableID   string `json:"table_id"`
	TableType string `json:"table_type"`
	Operation string `json:"operation,omitempty"`
	// Reason is which half of a FLUSH_POLICY has started a flush, and
	// FlushThreshold its number of rows.
	Reason         string `json:"reason,omitempty"`
	FlushThreshold int64  `json:"flush_threshold,omitempty"`
	// Published is what the cleanup of a dropped table takes away from other engines.
	Published *publishedPlace `json:"published,omitempty"`
}

// cleanupKey is the idempotency key of the cleanup of a dropped table.
func cleanupKey(t *schema.Table) string {
	return fmt.Sprintf("cleanup:%d:%s", t.ID, t.QualifiedName())
}

// parameters are what system.jobs shows of a job on a table.
func parameters(t *schema.Table, operation string) string { return shownOf(t, operation).text() }

// flushParameters are those of a flush that a policy has started; the reason is
// rows or interval, or empty when a statement has.
func flushParameters(t *schema.Table, reason string) string {
	s := shownOf(t, "")
	if s.Reason = reason; reason == "rows" {
		s.FlushThreshold = t.Options.FlushPolicy.Rows
	}
	return s.text()
}

func shownOf(t *schema.Table, operation string) shown {
	return shown{
		Namespace: t.Namespace, Table: t.Name, TableID: t.Namespace + ":" + t.Name, TableType: t.Kind.String(), Operation: operation,
	}
}

func (s shown) text() string {
	text, err := json.Marshal(s)
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

// pending reports whether a flush of a table would find anything: of one that is
// published also cold rows that were updated or deleted since.
func (m *Maintainer) pending(t *schema.Table) (bool, error) {
	if t.Options.Iceberg {
		return true, nil
	}
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
	if j, ok := m.active("FL", flushKey(t), t); ok {
		return j, false, nil
	}
	return m.o.Jobs.Submit(ctx, m.flushJob(actor, t))
}

func (m *Maintainer) flushJob(actor schema.UserID, t *schema.Table) job.Spec {
	return job.Spec{
		Type: "flush", Prefix: "FL", Key: flushKey(t), Parameters: flushParameters(t, ""), Actor: actor, Retries: job.MaxRetries,
		Run: func(ctx context.Context) (string, error) {
			result, err := m.Flush(ctx, t.ID)
			if err != nil {
				return "", err
			}
			return flushMessage(t, result), nil
		},
	}
}

// flushMessage is what system.jobs shows of a flush that has ended.
func flushMessage(t *schema.Table, r FlushResult) string {
	if r.Files == 0 && r.Rows == 0 && r.Dropped == 0 {
		return fmt.Sprintf("No pending writes for table '%s'", t.QualifiedName())
	}
	return fmt.Sprintf("Flushed %d row(s) of table '%s' to %d file(s), %d bytes", r.Rows, t.QualifiedName(), r.Files, r.Bytes)
}

// Dropped is told of a table whose DROP has been committed: its flush ends, and
// a job removes its files. It returns the job's id, or "" when no job could be
// started; the schedule removes the files then. The table is gone, so nobody's
// patience bounds this.
func (m *Maintainer) Dropped(t *schema.Table) string {
	ctx := context.Background()
	m.removable.Store(true)
	for _, key := range append(m.keysOf("FL", flushKey(t), t), m.keysOf("CO", compactKey(t), t)...) {
		m.o.Jobs.CancelKey(ctx, key)
	}
	m.o.Jobs.CancelKey(ctx, flushRowsKey(t))
	told := shownOf(t, "drop_table")
	told.Published = m.placeOf(t)
	spec := m.cleanupJob(t, told.Published)
	spec.Prefix, spec.Key, spec.Parameters, spec.Retries = "CL", cleanupKey(t), told.text(), job.MaxRetries
	j, _, err := m.o.Jobs.Submit(ctx, spec)
	if err != nil {
		m.o.Logger.Error("the cleanup of a dropped table could not be started", "table", t.QualifiedName(), "error", err)
		return ""
	}
	return j.ID
}

// cleanupJob removes the files of a dropped table. A crash may take its row back,
// so that DROP TABLE waits for one fsync only: every start of the server looks for
// such files itself. It does not look for what is published of a table without
// files, so that one waits for its row.
func (m *Maintainer) cleanupJob(t *schema.Table, published *publishedPlace) job.Spec {
	return job.Spec{Type: "cleanup", Relaxed: published == nil, Run: func(ctx context.Context) (string, error) { return m.cleanup(ctx, t, published) }}
}

// cleanup removes the files of a dropped table, and waits a while for views
// that may read them.
func (m *Maintainer) cleanup(ctx context.Context, t *schema.Table, published *publishedPlace) (string, error) {
	end := time.NewTimer(cleanupWait)
	defer end.Stop()
	look := time.NewTicker(cleanupLook)
	defer look.Stop()
	files, bytes, late := 0, int64(0), false
	if published != nil {
		if err := m.withdraw(ctx, t.ID, *published); err != nil {
			return "", err
		}
	}
	for {
		found, err := m.removeFiles(ctx, t.ID)
		if err != nil {
			return "", err
		}
		files, bytes = files+len(found.ready), bytes+found.bytes
		if found.waiting == 0 {
			if unneeded, err := m.unneededBlobs(ctx, schema.BlobTable(t.ID)); err != nil || len(unneeded) > 0 {
				if err == nil {
					err = m.dropBlobs(ctx, unneeded, false)
				}
				if err != nil {
					return "", err
				}
			}
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
