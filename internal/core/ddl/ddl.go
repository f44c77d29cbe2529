// Package ddl changes definitions: namespaces, tables, users and storages, a file
// per noun.
//
// A Definer checks a statement against the newest applied definitions and
// proposes one command; what another statement may have changed in between is
// checked again when the command is applied. Every method answers with the
// sentence that the user sees.
//
// Goroutines: none. Locks: none.
package ddl

import (
	"context"
	"time"

	"kalamdb/internal/auth"
	"kalamdb/internal/cold"
	"kalamdb/internal/command"
	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/plan"
	"kalamdb/internal/store/catalog"
)

// What DROP does when it meets something inside or attached.
const (
	End    = "end"    // DROP TABLE ends its subscriptions
	Drop   = "drop"   // DROP NAMESPACE drops what is inside
	Refuse = "refuse" // either is refused
)

// Options say what a Definer works with.
type Options struct {
	// Committer takes the commands.
	Committer command.Committer
	// Cold reaches storages.
	Cold *cold.Tier
	// Definitions returns the newest applied definitions.
	Definitions func() *catalog.Definitions
	// User reads the newest applied row of a user.
	User func(ctx context.Context, id schema.UserID) (schema.UserRecord, bool, error)
	// Subscribers counts the live queries on a table.
	Subscribers func(id schema.TableID) int
	// Verify looks at the rows of a table whose _seq is above a position, under
	// a definition, and returns the fault of the first unproven constraint that
	// one of them breaks, or the position up to which all rows have been seen.
	Verify func(ctx context.Context, t *schema.Table, after uint64) (upTo uint64, err error)
	// Evaluate computes an expression without rows in the name of a user.
	Evaluate func(x plan.Expr, actor schema.UserID) (datum.Value, error)
	// Leftovers removes what may go from a storage and returns how many files of
	// dropped tables and of compactions have to stay a while, for those who read
	// them.
	Leftovers func(ctx context.Context, storage string) (int, error)
	// BuildIndex completes an index that is being built, or drops it.
	BuildIndex func(ctx context.Context, actor schema.UserID, table schema.TableID, index schema.IndexID) error
	// IgnoreForeignKeys passes foreign keys over instead of refusing them
	// (sql.ignore_foreign_keys).
	IgnoreForeignKeys bool
	// Now is the proposer's clock.
	Now func() time.Time
	// Passwords checks and hashes passwords.
	Passwords *auth.Passwords
	// DropWithSubscribers is End (default) or Refuse.
	DropWithSubscribers string
	// DropNonemptyNamespace is Drop (default) or Refuse.
	DropNonemptyNamespace string
}

// Definer proposes changes of definitions. It is safe for concurrent use.
type Definer struct{ o Options }

// New returns a Definer.
func New(o Options) *Definer { return &Definer{o: o} }

// commit proposes one body in the name of actor.
func (d *Definer) commit(ctx context.Context, actor schema.UserID, body command.Body) (command.Receipt, error) {
	return d.o.Committer.Commit(ctx, &command.Command{
		Time:       d.o.Now().UnixMicro(),
		Durability: schema.Sync,
		Actor:      actor,
		Body:       body,
	})
}

// now is the time of a definition in microseconds since the Unix epoch.
func (d *Definer) now() int64 { return d.o.Now().UnixMicro() }
