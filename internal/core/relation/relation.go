// Package relation is what SQL sees as a table: hot and cold rows together, the
// system tables, and views over running state.
//
// A View is one moment. A table opened in it, for one scope, delivers each live
// row once: from the hot store, or from a window of a cold file when no mark
// says that it was superseded. The two never hold the same row, so nothing is
// merged by key at read time. Order is kept whichever side a row comes from.
//
// A scan holds at most 16 MiB of rows ahead of its reader, and of each cold
// file it reads in order one page per column; it decodes pages once, or, in key
// order, once per lookahead and not at all while they are in the tier's cache.
//
// Goroutines: none. Locks: registry.mu. A View may be used by many goroutines,
// a scan by one.
package relation

import (
	"log/slog"
	"sync/atomic"
	"time"

	"kalamdb/internal/cold"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/catalog"
)

// Options say what the relations read.
type Options struct {
	// Cold reads the files of the cold tier; required.
	Cold *cold.Tier
	// View returns the current durable moment, Applied the newest applied one;
	// both are held for the caller. Required.
	View, Applied func() *catalog.View
	// LiveJob completes the row of a job that is not finished with what is known
	// of it while it runs; nil adds nothing.
	LiveJob func(*schema.Job)
	// Present knows the rows of tables with PRESENCE; without it they are empty.
	Present Present
	// NodeID is shown by views of the cluster.
	NodeID uint16
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// Logger gets what operators should know; slog.Default when nil.
	Logger *slog.Logger
}

// Relations hands out views.
type Relations struct {
	o        Options
	registry *registry
	stats    struct{ scans, points, segments, pruned atomic.Int64 }
}

// Stats are figures since the start.
type Stats struct {
	// Scans counts scans of stored tables, Points the keys that were read
	// singly.
	Scans, Points int64
	// Segments counts segments of cold files that scans had to look into,
	// SegmentsPruned those that bounds and statistics spared.
	Segments, SegmentsPruned int64
}

// Stats returns the figures.
func (r *Relations) Stats() Stats {
	return Stats{
		Scans: r.stats.scans.Load(), Points: r.stats.points.Load(), Segments: r.stats.segments.Load(), SegmentsPruned: r.stats.pruned.Load(),
	}
}

// New returns the relations over a store and a cold tier.
func New(o Options) *Relations {
	fault.Assert(o.Cold != nil && o.View != nil && o.Applied != nil, "relations need a cold tier and views")
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return &Relations{o: o, registry: newRegistry()}
}

// View returns the current durable moment; the caller releases it.
func (r *Relations) View() *View { return &View{relations: r, moment: r.o.View()} }

// Applied returns the newest applied moment, which may not be durable yet: for
// writers, whose own commit is synced after it. The caller releases it.
func (r *Relations) Applied() *View { return &View{relations: r, moment: r.o.Applied()} }

// View is one moment of the whole database. It is counted: Release belongs to
// View, Applied and each Retain.
type View struct {
	relations *Relations
	moment    *catalog.View
	staged    *Staged // of a transaction, or nil
}

// Position returns the position of the last commit that the view shows.
func (v *View) Position() uint64 { return v.moment.Position() }

// DefinitionsVersion changes with every change of a definition.
func (v *View) DefinitionsVersion() uint64 { return v.moment.Definitions().Version() }

// Retain counts one user more and returns the view.
func (v *View) Retain() *View {
	v.moment.Retain()
	return v
}

// Release counts one user less; the last one ends the view.
func (v *View) Release() { v.moment.Release() }

// HistoryFloor returns the position below which changes are forgotten.
func (v *View) HistoryFloor() uint64 { return v.moment.History().Floor }

// LostRanges returns the positions (from, to] that crashes took back.
func (v *View) LostRanges() [][2]uint64 {
	lost := v.moment.History().Lost
	ranges := make([][2]uint64, len(lost))
	for i, r := range lost {
		ranges[i] = [2]uint64{r.From, r.To}
	}
	return ranges
}

// CheckCursor returns CURSOR_EXPIRED when the changes after a position cannot
// be given.
func (v *View) CheckCursor(from uint64) error { return v.moment.CheckCursor(from) }

// reader returns the state of the moment.
func (v *View) reader() store.Reader { return v.moment.Reader() }

// Table returns a definition by its folded name, those of system tables and
// information_schema included.
func (v *View) Table(namespace, name string) (*schema.Table, error) {
	if t, ok := v.relations.registry.find(namespace, name); ok {
		return t.def, nil
	}
	d := v.moment.Definitions()
	if t, ok := d.Table(namespace, name); ok {
		return t, nil
	}
	_, known := d.Namespace(namespace)
	if !known && namespace != schema.SystemNamespace && namespace != InformationSchema && namespace != PGCatalog {
		return nil, fault.New(fault.NamespaceNotFound, "Namespace '%s' does not exist", namespace)
	}
	return nil, fault.New(fault.TableNotFound, "%s.%s", namespace, name)
}

// TableByID returns the newest version of a stored table by its number.
func (v *View) TableByID(id schema.TableID) (*schema.Table, bool) {
	return v.moment.Definitions().TableByID(id)
}
