package relation

import (
	"context"
	"encoding/json"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
)

// jobPage lists jobs by id, as rows of system.jobs or of system.job_nodes.
func jobPage(name string) pageOf {
	row := jobRow
	if name == "job_nodes" {
		row = jobNodeRow
	}
	return func(_ context.Context, v *View, _ Caller, _ *keyBounds, after string) ([][]datum.Value, bool, error) {
		jobs, err := catalog.Jobs().List(v.moment.Reader(), after, pageRows)
		if err != nil {
			return nil, false, err
		}
		rows := make([][]datum.Value, len(jobs))
		for i := range jobs {
			v.liveJob(&jobs[i])
			rows[i] = row(&jobs[i])
		}
		return rows, len(jobs) == pageRows, nil
	}
}

func jobPoint(v *View, name string) ([]datum.Value, bool, error) {
	j, ok, err := catalog.Jobs().Get(v.moment.Reader(), name)
	if err != nil || !ok {
		return nil, false, err
	}
	v.liveJob(&j)
	return jobRow(&j), true, nil
}

// liveJob completes a job that is not finished.
func (v *View) liveJob(j *schema.Job) {
	if j.FinishedAt == 0 && v.relations.o.LiveJob != nil {
		v.relations.o.LiveJob(j)
	}
}

func jobRow(j *schema.Job) []datum.Value {
	small := func(n int16) datum.Value { return datum.NewInt(datum.SmallInt, int64(n)) }
	real := func(x float64) datum.Value { return datum.NewDouble(x) }
	var memory, cpu, megabytes, percent, result, failure datum.Value
	if j.StartedAt != 0 {
		memory, megabytes = bigOf(j.MemoryUsed), real(float64(j.MemoryUsed)/(1<<20))
	}
	if j.FinishedAt != 0 && j.StartedAt != 0 {
		cpu, percent = bigOf(j.CPUUsed), real(0)
		if j.Elapsed > 0 {
			percent = real(float64(j.CPUUsed) / float64(j.Elapsed) * 100)
		}
	}
	progress := j.Progress
	switch j.Status {
	case schema.JobCompleted:
		progress, result = 100, optional(j.Message)
	case schema.JobSkipped:
		result = optional(j.Message)
	case schema.JobFailed, schema.JobCancelled, schema.JobRetrying:
		failure = optional(j.Message)
	}
	namespace, table := jobTable(j.Parameters)
	return []datum.Value{
		textOf(j.ID), textOf(j.Type), textOf(j.Status), textOf(j.Status), jsonOf(j.Parameters), optional(j.Message),
		optional(j.ExceptionTrace), optional(j.IdempotencyKey), optional(j.Queue), intOf(int(j.Priority)),
		small(j.RetryCount), small(j.MaxRetries), memory, cpu, timeOf(j.CreatedAt),
		timeOf(j.UpdatedAt), optionalTime(j.StartedAt), optionalTime(j.FinishedAt), bigOf(j.NodeID), bigOf(j.NodeID),
		intOf(int(progress)), result, failure, optional(j.Trace), optional(namespace), optional(table),
		optional(string(j.Actor)), optionalTime(j.StartedAt), optionalTime(j.FinishedAt), megabytes, percent,
	}
}

// jobTable reads from the parameters of a job which table it is about, if any.
// Some name it with its namespace in one text.
func jobTable(parameters string) (namespace, name string) {
	var p struct {
		Namespace, Table string
	}
	if !strings.Contains(parameters, `"table":`) && !strings.Contains(parameters, `"namespace":`) || json.Unmarshal([]byte(parameters), &p) != nil {
		return "", ""
	}
	if p.Namespace == "" {
		if namespace, name, ok := strings.Cut(p.Table, "."); ok {
			return namespace, name
		}
	}
	return p.Namespace, p.Table
}

func jobNodeRow(j *schema.Job) []datum.Value {
	failure := datum.Value{}
	if j.Status == schema.JobFailed {
		failure = optional(j.Message)
	}
	return []datum.Value{
		textOf(j.ID), bigOf(j.NodeID), textOf(j.Status), failure, timeOf(j.CreatedAt), optionalTime(j.StartedAt),
		optionalTime(j.FinishedAt), timeOf(j.UpdatedAt),
	}
}
