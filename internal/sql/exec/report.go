package exec

import (
	"context"
	"time"

	"kalamdb/internal/schema"
	"kalamdb/internal/sql/plan"
	"kalamdb/internal/sql/source"
)

// ScanReport says what one scan of an analytic statement reads, for EXPLAIN.
type ScanReport struct {
	// Scan is the scan of a table, nil for rows that no table gives.
	Scan *plan.Scan
	// Estimate is how many rows were expected, 0 when nobody knows; Rows how many
	// came so far.
	Estimate, Rows int64
	// Files is how many files of the table DuckDB reads itself, FileRows how many
	// rows they have; Rows is without those.
	Files    int
	FileRows int64
	// Pieces is how many pieces of it threads have taken, 0 when one thread had it
	// to itself.
	Pieces int64
	// Tally counts what the scan reads of cold files, nil for rows that no table
	// gives.
	Tally *source.Tally
	// Time is how long they took to come, of all threads together.
	Time time.Duration
}

// Report says how an analytic statement is handed to DuckDB, for EXPLAIN.
type Report struct {
	Scans []ScanReport
	// Calls is how many expressions our code computes.
	Calls int
	// Text is what DuckDB is given.
	Text string
}

// Report says what Run would do.
func (a *Analytic) Report(ctx context.Context, open func(*schema.Table) (source.Table, error), env *Env, o Limits) (Report, error) {
	g, s, err := a.generate(ctx, open, env, o.FileRows)
	if err != nil {
		return Report{}, err
	}
	return Report{reports(g.scans), len(s.Calls), s.Text}, nil
}

// Scans says what the scans of an analytic statement have read so far.
func (r *Result) Scans() []ScanReport { return reports(r.scans) }

func reports(scans []*scanned) []ScanReport {
	out := make([]ScanReport, len(scans))
	for i, s := range scans {
		out[i] = ScanReport{
			Scan: s.node, Estimate: s.estimate, Rows: s.rows.Load(), Files: s.files, FileRows: s.fileRows,
			Pieces: s.pieces.Load(), Tally: s.tally, Time: time.Duration(s.nanos.Load()),
		}
	}
	return out
}
