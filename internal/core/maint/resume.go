package maint

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"kalamdb/internal/core/job"
	"kalamdb/internal/schema"
)

// resumeJobs says how the jobs of this room go on that a stop or a crash has
// interrupted.
func (m *Maintainer) resumeJobs() {
	m.o.Jobs.Resume("flush", func(j schema.Job) (job.Spec, bool) {
		if strings.HasSuffix(j.IdempotencyKey, ":rows") { // of single partitions: the policy starts it again
			return job.Spec{}, false
		}
		t, ok := m.tableOf(&j, "flush:", "FL:")
		if !ok {
			return job.Spec{}, false // it was dropped
		}
		return m.flushJob(j.Actor, t), true
	})
	m.o.Jobs.Resume("compact", func(j schema.Job) (job.Spec, bool) {
		t, ok := m.tableOf(&j, "compact:", "CO:")
		if !ok {
			return job.Spec{}, false
		}
		rule := byStatement()
		if strings.HasPrefix(j.IdempotencyKey, "CO:") {
			rule = m.byRule()
		}
		return m.compactJob(j.Actor, t, rule), true
	})
	m.o.Jobs.Resume("cleanup", func(j schema.Job) (job.Spec, bool) {
		id, name, ok := keyed(j.IdempotencyKey, "cleanup:")
		if !ok {
			return job.Spec{}, false
		}
		t := &schema.Table{ID: id}
		t.Namespace, t.Name, _ = strings.Cut(name, ".")
		var told shown
		if json.Unmarshal([]byte(j.Parameters), &told) != nil {
			told.Published = nil
		}
		return m.cleanupJob(t, told.Published), true
	})
	m.o.Jobs.Resume("publish", func(j schema.Job) (job.Spec, bool) {
		t, ok := m.tableOf(&j, "publish:", "PU:")
		if !ok {
			return job.Spec{}, false
		}
		return m.publishJob(j.Actor, t), true
	})
	m.o.Jobs.Resume("user_export", m.resumeExport)
	m.o.Jobs.Resume("user_erase", m.resumeErase)
	m.o.Jobs.Resume("export_cleanup", func(schema.Job) (job.Spec, bool) { return m.exportCleanup(), true })
	m.o.Jobs.Resume("job_cleanup", func(schema.Job) (job.Spec, bool) { return m.jobCleanup(), true })
}

// tableOf returns the table of an interrupted job, by the number in the key that
// a statement gives or the name in that of the schedule.
func (m *Maintainer) tableOf(j *schema.Job, statement, clock string) (*schema.Table, bool) {
	view := m.o.View()
	defer view.Release()
	if id, _, ok := keyed(j.IdempotencyKey, statement); ok {
		return view.Definitions().TableByID(id)
	}
	rest, ok := strings.CutPrefix(j.IdempotencyKey, clock)
	namespace, rest, more := strings.Cut(rest, ":")
	at := strings.LastIndexByte(rest, ':')
	if !ok || !more || at < 0 {
		return nil, false
	}
	return view.Definitions().Table(namespace, rest[:at])
}

// keyed takes an idempotency key apart: the number of a table and its name.
func keyed(key, prefix string) (schema.TableID, string, bool) {
	rest, ok := strings.CutPrefix(key, prefix)
	if !ok {
		return 0, "", false
	}
	number, name, ok := strings.Cut(rest, ":")
	id, err := strconv.ParseUint(number, 10, 32)
	return schema.TableID(id), name, ok && err == nil
}

// PruneJobs starts a job that removes rows of jobs that finished before the
// retention, if there are any.
func (m *Maintainer) PruneJobs(ctx context.Context) error {
	if old, err := m.o.Jobs.AnyBefore(m.jobHorizon()); err != nil || !old {
		return err
	}
	_, _, err := m.o.Jobs.Submit(ctx, m.jobCleanup())
	return err
}

func (m *Maintainer) jobHorizon() int64 { return m.o.Now().Add(-m.o.JobRetention).UnixMicro() }

func (m *Maintainer) jobCleanup() job.Spec {
	days := int64(m.o.JobRetention / (24 * time.Hour))
	return job.Spec{
		Type: "job_cleanup", Prefix: "JC", Key: job.HourKey("JC", "system:jobs", m.o.Now()), Retries: job.MaxRetries,
		Parameters: fmt.Sprintf(`{"retention_days":%d}`, days),
		Run: func(ctx context.Context) (string, error) {
			removed, err := m.o.Jobs.Prune(ctx, m.jobHorizon())
			return fmt.Sprintf("Removed %d job(s) that finished more than %d day(s) ago", removed, days), err
		},
	}
}
