package core

import (
	"fmt"
	"strings"

	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/sql/parse"
)

// The one group of a node that is alone, and its term: nobody else can lead it.
const (
	soleGroup = 1
	soleTerm  = 1
)

// ClusterOptions say where the snapshots of a cluster lie.
type ClusterOptions struct {
	// SnapshotsDir is the folder of the snapshots, "" for none.
	SnapshotsDir string
	// Clear removes the snapshots; nil finds none.
	Clear func() (Cleared, error)
}

// Cleared says what CLUSTER CLEAR found and removed.
type Cleared struct {
	Exists         bool // the folder
	Found, Removed int64
	FoundBytes     int64
	RemovedBytes   int64
	Errors         int64
	FirstError     string
}

// Cluster says how the node stands as the only one of its cluster.
type Cluster struct {
	Term        uint64
	LastApplied uint64
	Groups      int
}

// Cluster returns the state that health answers and system.cluster show.
func (db *DB) Cluster() Cluster {
	return Cluster{Term: soleTerm, LastApplied: db.Position(), Groups: 1}
}

// cluster runs CLUSTER on a node that is alone: it leads its one group, whose
// log is the engine's, so that every moment of it is a snapshot.
func (db *DB) cluster(stmt *parse.Cluster, view *relation.View) (*Result, error) {
	position := view.Position()
	row := groupRow{action: stmt.Action, success: true}
	switch stmt.Action {
	case "list", "status", "ls":
		return nil, fault.New(fault.InvalidOperation, "CLUSTER %s is a CLI-only command; query system.cluster instead", strings.ToUpper(stmt.Action))
	case "leave":
		return nil, fault.New(fault.NotImplemented, "CLUSTER LEAVE is not supported yet")
	case "join":
		return nil, fault.New(fault.NotImplemented, "CLUSTER JOIN is not supported yet; this server is a cluster of one node")
	case "clear":
		return db.clearSnapshots()
	case "snapshot":
		row.index, row.dir = position, db.o.Cluster.SnapshotsDir
	case "purge":
		row.upto = &stmt.Upto
		if stmt.Upto > position {
			row.success, row.failure = false, fmt.Sprintf("index %d is above the last one, %d", stmt.Upto, position)
		}
	case "transfer-leader":
		row.target = &stmt.Node
		if stmt.Node != uint64(db.o.NodeID) {
			row.success, row.failure = false, fmt.Sprintf("node %d is not in the cluster; the only one is %d", stmt.Node, db.o.NodeID)
		}
	}
	return row.result(), nil
}

// groupRow is what an action did to the one group.
type groupRow struct {
	action       string
	success      bool
	failure, dir string
	index        uint64
	upto, target *uint64
}

func (g groupRow) result() *Result {
	text, big := datum.Type{Kind: datum.Text}, datum.Type{Kind: datum.BigInt}
	columns := []Column{
		{Name: "action", Type: text, NotNull: true}, {Name: "group_id", Type: big}, {Name: "success", Type: datum.Type{Kind: datum.Bool}},
		{Name: "error", Type: text}, {Name: "snapshot_index", Type: big}, {Name: "target_node_id", Type: big},
		{Name: "upto", Type: big}, {Name: "snapshots_dir", Type: text},
	}
	row := []datum.Value{
		datum.NewText(g.action), bigInt(soleGroup), datum.NewBool(g.success), textOrNull(g.failure),
		{}, {}, {}, textOrNull(g.dir),
	}
	if g.index != 0 {
		row[4] = bigInt(int64(g.index))
	}
	if g.target != nil {
		row[5] = bigInt(int64(*g.target))
	}
	if g.upto != nil {
		row[6] = bigInt(int64(*g.upto))
	}
	return buffered(columns, [][]datum.Value{row})
}

// clearSnapshots removes what is in the folder of snapshots.
func (db *DB) clearSnapshots() (*Result, error) {
	var c Cleared
	if db.o.Cluster.Clear != nil {
		var err error
		if c, err = db.o.Cluster.Clear(); err != nil {
			return nil, fmt.Errorf("clear snapshots: %w", err)
		}
	}
	text, big := datum.Type{Kind: datum.Text}, datum.Type{Kind: datum.BigInt}
	columns := []Column{
		{Name: "action", Type: text, NotNull: true}, {Name: "snapshots_dir", Type: text},
		{Name: "snapshots_dir_exists", Type: datum.Type{Kind: datum.Bool}}, {Name: "total_snapshots_found", Type: big},
		{Name: "total_size_bytes", Type: big}, {Name: "snapshots_cleared", Type: big}, {Name: "cleared_size_bytes", Type: big},
		{Name: "error_count", Type: big}, {Name: "error", Type: text},
	}
	row := []datum.Value{
		datum.NewText("clear"), datum.NewText(db.o.Cluster.SnapshotsDir), datum.NewBool(c.Exists), bigInt(c.Found),
		bigInt(c.FoundBytes), bigInt(c.Removed), bigInt(c.RemovedBytes), bigInt(c.Errors), textOrNull(c.FirstError),
	}
	return buffered(columns, [][]datum.Value{row}), nil
}

func bigInt(n int64) datum.Value { return datum.NewInt(datum.BigInt, n) }

func textOrNull(s string) datum.Value {
	if s == "" {
		return datum.Value{}
	}
	return datum.NewText(s)
}
