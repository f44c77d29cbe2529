package relation

import (
	"context"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
)

// auditPage lists the audit log, the oldest entry first.
func auditPage(_ context.Context, v *View, _ Caller, _ *keyBounds, after string) ([][]datum.Value, bool, error) {
	entries, err := catalog.Audits().List(v.moment.Reader(), after, pageRows)
	if err != nil {
		return nil, false, err
	}
	rows := make([][]datum.Value, len(entries))
	for i := range entries {
		rows[i] = auditRow(&entries[i])
	}
	return rows, len(entries) == pageRows, nil
}

func auditPoint(v *View, id string) ([]datum.Value, bool, error) {
	a, ok, err := catalog.Audits().Get(v.moment.Reader(), id)
	if err != nil || !ok {
		return nil, false, err
	}
	return auditRow(&a), true, nil
}

func auditRow(a *schema.AuditEntry) []datum.Value {
	return []datum.Value{
		textOf(catalog.AuditID(a.Number)), timeOf(a.Time), textOf(string(a.Actor)), textOf(a.Action), textOf(a.Target),
		optional(a.Details), optional(a.IP), optional(string(a.Subject)),
	}
}
