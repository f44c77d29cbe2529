package core

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"kalamdb/internal/auth"
	"kalamdb/internal/command"
	"kalamdb/internal/core/write"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// RecorderOptions say what is kept in the namespace dba.
type RecorderOptions struct {
	// Tables makes the namespace and its tables at start where they are missing.
	Tables bool
	// Every is the time between two samples; 0 takes none.
	Every time.Duration
	// Keep is how long samples stay; 0 is 7 days.
	Keep time.Duration
	// Sample returns the present figures.
	Sample func() []Metric
}

// Metric is one figure of a sample.
type Metric struct {
	Name, Unit string
	Value      float64
}

const (
	dbaNamespace = "dba"
	// pruneEvery is how often samples that are too old are removed.
	pruneEvery = 12 * time.Hour
	// pruneStep is how much of the past one statement removes.
	pruneStep = time.Hour
	// millisDigits is how many digits the time in an id has.
	millisDigits = 13
)

// The tables of the namespace dba: what dashboards and the server itself write,
// kept like the tables of users.
const (
	createNotifications = `CREATE SHARED TABLE dba.notifications (id TEXT PRIMARY KEY, user_id TEXT NOT NULL, title TEXT NOT NULL, body TEXT,
		is_read BOOLEAN NOT NULL DEFAULT FALSE, created_at TIMESTAMP NOT NULL DEFAULT NOW(), updated_at TIMESTAMP NOT NULL DEFAULT NOW())
		WITH (ACCESS_LEVEL = 'PUBLIC')`
	createStats = `CREATE SHARED TABLE dba.stats (id TEXT PRIMARY KEY, node_id TEXT NOT NULL, metric_name TEXT NOT NULL,
		metric_value DOUBLE NOT NULL, metric_unit TEXT, sampled_at TIMESTAMP NOT NULL) WITH (ACCESS_LEVEL = 'DBA', DELETED_RETENTION = '1h')`
	oldestSample  = `SELECT id FROM dba.stats ORDER BY id LIMIT 1`
	deleteSamples = `DELETE FROM dba.stats WHERE id < $1`
)

// bootstrapTables makes the namespace dba and its tables where they are missing.
// A server that cannot write starts without them.
func (db *DB) bootstrapTables(ctx context.Context) error {
	if !db.o.Recorder.Tables {
		return nil
	}
	err := db.makeTables(ctx)
	if fault.Is(err, fault.ReadOnly) {
		db.o.Logger.Warn("tables of the namespace dba are missing", "error", err)
		return nil
	}
	return err
}

func (db *DB) makeTables(ctx context.Context) error {
	if _, ok := db.apply.Definitions().Namespace(dbaNamespace); !ok {
		now := db.o.Now().UnixMicro()
		body := &command.PutNamespace{Create: true, Namespace: schema.Namespace{Name: dbaNamespace, CreatedAt: now, UpdatedAt: now}}
		if _, err := db.apply.Commit(ctx, &command.Command{Time: now, Body: body}); err != nil {
			return err
		}
	}
	for _, made := range [...][2]string{{"notifications", createNotifications}, {"stats", createStats}} {
		name, text := made[0], made[1]
		if _, ok := db.apply.Definitions().Table(dbaNamespace, name); ok {
			continue
		}
		stmt, err := parse.Parse(text)
		if err != nil {
			return fmt.Errorf("parse the definition of dba.%s: %w", name, err)
		}
		create, ok := stmt.(*parse.CreateTable)
		fault.Assert(ok, "the definition of dba.%s is a %T", name, stmt)
		if _, err := db.definer.CreateTable(ctx, auth.Root, dbaNamespace, create); err != nil {
			return fmt.Errorf("make dba.%s: %w", name, err)
		}
	}
	return nil
}

// record takes samples until ctx ends. What goes wrong is logged once, until it
// goes well again: a full disk must not fill the log.
func (db *DB) record(ctx context.Context) error {
	o := &db.o.Recorder
	if o.Every <= 0 || o.Sample == nil {
		return nil
	}
	select {
	case <-db.ready:
	case <-ctx.Done():
		return nil
	}
	sample, prune := time.NewTicker(o.Every), time.NewTicker(pruneEvery)
	defer sample.Stop()
	defer prune.Stop()
	failing := false
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-sample.C:
			err = db.RecordStats(ctx)
		case <-prune.C:
			err = db.PruneStats(ctx)
		}
		if err != nil && !failing && ctx.Err() == nil {
			db.o.Logger.Warn("samples of dba.stats are missing", "error", err)
		}
		failing = err != nil
	}
}

// RecordStats adds one sample to dba.stats. Where an administrator has dropped
// the table, there is nothing to do.
func (db *DB) RecordStats(ctx context.Context) error {
	t, ok := db.apply.Definitions().Table(dbaNamespace, "stats")
	if !ok || db.o.Recorder.Sample == nil {
		return nil
	}
	now := db.o.Now()
	node := strconv.Itoa(int(db.o.NodeID))
	var rows [][]datum.Value
	var absent [][]bool
	for _, m := range db.o.Recorder.Sample() {
		row, missing, err := sampleRow(t, now, node, m)
		if err != nil {
			return err
		}
		rows, absent = append(rows, row), append(absent, missing)
	}
	s := recorderSession()
	env := db.environment(s, &parse.Normalized{}, nil, 0, dbaNamespace)
	_, err := db.writer.InsertRows(ctx, t, rows, absent, write.Target{Scope: schema.SharedScope, Caller: caller(s, env)}, env)
	return err
}

// sampleRow is one figure as a row of dba.stats, whatever order its columns have
// by now.
func sampleRow(t *schema.Table, now time.Time, node string, m Metric) (row []datum.Value, absent []bool, err error) {
	row, absent = make([]datum.Value, len(t.Columns)), make([]bool, len(t.Columns))
	for i := range absent {
		absent[i] = true
	}
	cells := map[string]datum.Value{
		"id":      datum.NewText(fmt.Sprintf("%0*d:%s:%s", millisDigits, now.UnixMilli(), node, m.Name)),
		"node_id": datum.NewText(node), "metric_name": datum.NewText(m.Name), "metric_value": datum.NewDouble(m.Value),
		"metric_unit": textOrNull(m.Unit), "sampled_at": datum.NewInt(datum.Timestamp, now.UnixMicro()),
	}
	for name, v := range cells {
		at := t.Column(name)
		if at < 0 {
			return nil, nil, fmt.Errorf("sample dba.stats: the column %s is gone", name)
		}
		row[at], absent[at] = v, false
	}
	return row, absent, nil
}

func recorderSession() *auth.Session {
	return &auth.Session{UserID: auth.Root, Actor: auth.Root, Role: schema.RoleSystem, Local: true, RequestID: "dba.stats"}
}

// PruneStats removes the samples that are older than the recorder keeps them, an
// hour of them at a time.
func (db *DB) PruneStats(ctx context.Context) error {
	if _, ok := db.apply.Definitions().Table(dbaNamespace, "stats"); !ok {
		return nil
	}
	keep := db.o.Recorder.Keep
	if keep <= 0 {
		keep = 7 * 24 * time.Hour
	}
	end := db.o.Now().Add(-keep)
	for ctx.Err() == nil {
		oldest, ok, err := db.oldestSample(ctx)
		if err != nil || !ok || !oldest.Before(end) {
			return err
		}
		bound := oldest.Add(pruneStep)
		if bound.After(end) {
			bound = end
		}
		id := datum.NewText(fmt.Sprintf("%0*d", millisDigits, bound.UnixMilli()))
		results, err := db.Execute(ctx, recorderSession(), Request{SQL: deleteSamples, Params: []datum.Value{id}})
		if err != nil {
			return err
		}
		if results[0].Count == 0 {
			return errors.New("prune dba.stats: the oldest sample stays")
		}
	}
	return nil
}

// oldestSample returns the time in the least id, unless it is none of ours.
func (db *DB) oldestSample(ctx context.Context) (at time.Time, ok bool, err error) {
	results, err := db.Execute(ctx, recorderSession(), Request{SQL: oldestSample})
	if err != nil {
		return at, false, err
	}
	defer results[0].Close()
	rows, err := results[0].Next(ctx)
	if err != nil || len(rows) == 0 {
		return at, false, err
	}
	id := rows[0][0].Text()
	if len(id) <= millisDigits || id[millisDigits] != ':' {
		return at, false, nil
	}
	millis, err := strconv.ParseInt(id[:millisDigits], 10, 64)
	return time.UnixMilli(millis), err == nil, nil
}
