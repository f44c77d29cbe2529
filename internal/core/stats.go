package core

import (
	"kalamdb/internal/core/apply"
	"kalamdb/internal/core/job"
	"kalamdb/internal/core/live"
	"kalamdb/internal/core/maint"
)

// Stats counts what a DB has done since it was opened, room by room.
type Stats struct {
	Statements int64 // requests of SQL
	Failures   int64 // of them answered with a fault
	Conflicts  int64 // statements run again because a row or definition had changed
	Plans      int   // plans in the cache
	PlanHits   int64
	PlanMisses int64
	SortBytes  int64 // that running sorts and groupings keep
	Shared     int64 // groupings of the row path that goroutines have shared
	Analytics  AnalyticsStats
	// Transactions are the explicit ones.
	Transactions TransactionStats
	Running      StatementStats
	Apply        apply.Stats
	Live         live.Stats
	Jobs         job.Stats
	Maint        maint.Stats
	Files        maint.BlobStats
}

// Stats returns the present figures.
func (db *DB) Stats() Stats {
	return Stats{
		Statements: db.stats.statements.Load(), Failures: db.stats.failures.Load(), Conflicts: db.stats.conflicts.Load(),
		Plans: db.plans.size(), PlanHits: db.plans.hits.Load(), PlanMisses: db.plans.misses.Load(),
		SortBytes: db.memory.Used(), Shared: db.helpers.Shared(), Analytics: db.analytics.Stats(), Transactions: db.transactions.stats(), Running: db.statements.stats(),
		Apply: db.apply.Stats(), Live: db.hub.Stats(), Jobs: db.jobs.Stats(), Maint: db.maint.Stats(), Files: db.maint.BlobStats(),
	}
}
