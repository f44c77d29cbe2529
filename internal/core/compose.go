package core

import (
	"context"
	"fmt"

	"kalamdb/internal/command"
	"kalamdb/internal/core/apply"
	"kalamdb/internal/core/ddl"
	"kalamdb/internal/core/job"
	"kalamdb/internal/core/live"
	"kalamdb/internal/core/maint"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/core/write"
	"kalamdb/internal/schema"
)

// compose makes the rooms and joins them: apply is the one Committer, and every
// room that changes something proposes to it.
func (db *DB) compose() error {
	o := &db.o
	local, err := apply.Open(apply.Options{
		Store: o.Store, NodeID: o.NodeID, Now: o.Now, Logger: o.Logger, Fatal: o.Fatal,
		QueueCommands: o.Commit.QueueCommands, QueueBytes: o.Commit.QueueBytes,
		MaxRows: o.Commit.MaxRows, MaxBytes: o.Commit.MaxBytes,
		// Hub and maintainer are made below, before Run starts the publisher.
		Publish: func(commits []command.Commit) {
			db.hub.Committed(commits)
			db.maint.Committed(commits)
		},
	})
	if err != nil {
		return fmt.Errorf("open the commit log: %w", err)
	}
	db.apply = local
	proposer := o.committer(local)
	db.ids.start(o.NodeID, local.Position(), o.Now)
	present := o.Presence
	present.Announce, present.Since, present.OldestView, present.Now = local.Announce, local.Position(), local.OldestView, o.Now
	o.Live.Presence = live.NewPresence(present)
	db.relations = relation.New(relation.Options{
		Present: o.Live.Presence,
		Cold:    o.Cold, View: local.View, Applied: local.Applied, NodeID: o.NodeID, Now: o.Now, Logger: o.Logger,
		LiveJob: func(j *schema.Job) { db.jobs.Live(j) }, // made below, before the first statement
	})
	o.Live.Relations, o.Live.NodeID = db.relations, o.NodeID
	o.Live.Now, o.Live.Logger = o.Now, o.Logger
	db.hub = live.NewHub(o.Live)
	db.writer = write.New(write.Options{
		Relations: db.relations, Committer: auditor{proposer}, MaxRows: o.Commit.MaxRows, MaxBytes: o.Commit.MaxBytes,
		Durability: o.Commit.Durability, Limits: db.execLimits(), Analytics: db.analytics, Listens: db.hub.Listens, Present: o.Live.Presence,
	})
	db.transactions = newTransactions(o.Transactions, o.Now, db.writer)
	db.definer = ddl.New(ddl.Options{
		Committer: auditor{proposer}, Cold: o.Cold, Definitions: local.Definitions, User: local.AppliedUser, Subscribers: db.hub.OnTable,
		Now: o.Now, Passwords: o.Passwords, Verify: db.verify, BuildIndex: db.buildIndex, Leftovers: db.leftovers, Evaluate: db.evaluate, IgnoreForeignKeys: o.IgnoreForeignKeys,
		DropWithSubscribers: o.DropWithSubscribers, DropNonemptyNamespace: o.DropNonemptyNamespace,
	})
	db.jobs = job.New(job.Options{
		Committer: local, View: local.View, NodeID: o.NodeID, Workers: o.Jobs.Workers, Queue: o.Jobs.Queue,
		Trace: o.traceJob(), Now: o.Now, Logger: o.Logger,
	})
	db.maint = maint.New(maint.Options{
		Committer: proposer, View: local.View, OldestView: local.OldestView, Jobs: db.jobs, Cold: o.Cold, Store: o.Store, Version: o.Version, Relations: db.relations,
		Now: o.Now, Logger: o.Logger, HistoryAge: o.HistoryAge, HistoryBytes: o.HistoryBytes,
		DeletedRetention: o.DeletedRetention, JobRetention: o.Jobs.Retention, Flush: o.Flush, Definitions: local.Definitions,
		Compaction: o.Compaction, Grace: o.ColdGrace, OrphanAge: o.OrphanAge, Archive: o.Archive, ExportRetention: o.ExportRetention, EndLive: db.endLive,
		Statements: db.stats.statements.Load,
	})
	db.registerViews()
	return nil
}

// leftovers asks the maintainer, which is made after the definer.
func (db *DB) leftovers(ctx context.Context, storage string) (int, error) {
	return db.maint.Leftovers(ctx, storage)
}

// buildIndex completes an index for the definer, which is made before the
// maintainer.
func (db *DB) buildIndex(ctx context.Context, actor schema.UserID, table schema.TableID, index schema.IndexID) error {
	return db.maint.BuildIndex(ctx, actor, table, index)
}
