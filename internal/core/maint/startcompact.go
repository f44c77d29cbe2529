package maint

import (
	"context"
	"fmt"
	"strings"

	"kalamdb/internal/core/job"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/table"
)

// compactKey is the idempotency key of the compactions of a table.
func compactKey(t *schema.Table) string {
	return fmt.Sprintf("compact:%d:%s", t.ID, t.QualifiedName())
}

// StartCompact starts a compaction of a table and returns what the statement
// answers.
func (m *Maintainer) StartCompact(ctx context.Context, actor schema.UserID, t *schema.Table) (string, error) {
	j, started, err := m.submitCompact(ctx, actor, t, byStatement())
	if err != nil {
		return "", err
	}
	if !started {
		return fmt.Sprintf("Storage compaction skipped: a compaction of table '%s' is already queued or running. Job ID: %s", t.QualifiedName(), j.ID), nil
	}
	return fmt.Sprintf("Storage compaction started for table '%s'. Job ID: %s", t.QualifiedName(), j.ID), nil
}

// StartCompactAll starts a compaction of every USER and SHARED table of a
// namespace; of all namespaces when it is "".
func (m *Maintainer) StartCompactAll(ctx context.Context, actor schema.UserID, namespace string) (string, error) {
	view := m.o.View()
	defer view.Release()
	where := ""
	if namespace != "" {
		where = fmt.Sprintf(" in namespace '%s'", namespace)
	}
	var ids []string
	started := 0
	for t := range view.Definitions().AllTables() {
		if namespace != "" && t.Namespace != namespace || t.Kind != schema.User && t.Kind != schema.Shared {
			continue
		}
		j, fresh, err := m.submitCompact(ctx, actor, t, byStatement())
		if err != nil {
			return "", err
		}
		ids = append(ids, j.ID)
		if fresh {
			started++
		}
	}
	switch {
	case len(ids) == 0:
		return "No compactable tables" + where, nil
	case started == 0:
		return fmt.Sprintf("Storage compaction skipped: compactions of all tables%s are already queued or running. Job IDs: [%s]", where, strings.Join(ids, ", ")), nil
	}
	return fmt.Sprintf("Storage compaction started for %d table(s)%s. Job IDs: [%s]", len(ids), where, strings.Join(ids, ", ")), nil
}

// byStatement is what a statement compacts, and so does a job that goes on after
// a restart.
func byStatement() compactRule { return compactRule{least: 2, most: compactMost, dead: true} }

func (m *Maintainer) submitCompact(ctx context.Context, actor schema.UserID, t *schema.Table, rule compactRule) (schema.Job, bool, error) {
	if j, ok := m.active("CO", compactKey(t), t); ok {
		return j, false, nil
	}
	return m.o.Jobs.Submit(ctx, m.compactJob(actor, t, rule))
}

// compactJob is the job of a compaction; one of the schedule asks for no dead
// files.
func (m *Maintainer) compactJob(actor schema.UserID, t *schema.Table, rule compactRule) job.Spec {
	s := shownOf(t, "compact")
	s.Table, s.TableID = t.QualifiedName(), t.QualifiedName()
	spec := job.Spec{
		Type: "compact", Prefix: "CO", Key: compactKey(t), Parameters: s.text(), Actor: actor, Retries: job.MaxRetries,
		Run: func(ctx context.Context) (string, error) {
			result, err := m.compact(ctx, t.ID, rule)
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("Compaction completed: %d file(s) of table '%s' became %d file(s), %d row(s), %d bytes",
				result.Sources, t.QualifiedName(), result.Files, result.Rows, result.Bytes), nil
		},
	}
	if !rule.dead {
		spec.Key, spec.Priority = m.clockKey("CO", t), byClock
	}
	return spec
}

// byRule is what the schedule compacts.
func (m *Maintainer) byRule() compactRule {
	return compactRule{least: m.o.Compaction.MinSegments, most: m.o.Compaction.MaxSegments}
}

// CompactByRule starts compactions of the tables in which a scope has as many
// small neighbours as Options.Compaction asks for.
func (m *Maintainer) CompactByRule(ctx context.Context) error {
	if !m.o.Compaction.Enabled {
		return nil
	}
	view := m.o.View()
	defer view.Release()
	rule := m.byRule()
	for t := range view.Definitions().AllTables() {
		if t.Kind != schema.User && t.Kind != schema.Shared {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		windows, scope, ripe := 0, schema.Scope(""), false
		var failed error
		err := table.AllSegments(view.Reader(), t.ID, func(s schema.Segment) bool {
			if s.Scope != scope {
				windows, scope = 0, s.Scope
			}
			if windows++; windows == rule.least {
				var runs [][]candidate
				runs, failed = m.runs(view, t, scope, rule)
				ripe = len(runs) > 0
			}
			return !ripe && failed == nil && ctx.Err() == nil
		})
		if err = firstOf(failed, err); err != nil {
			return err
		}
		if ripe {
			if _, _, err := m.submitCompact(ctx, "", t, rule); err != nil {
				return err
			}
		}
	}
	return nil
}
