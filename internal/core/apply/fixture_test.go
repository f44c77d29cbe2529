package apply_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"kalamdb/internal/command"
	"kalamdb/internal/core/apply"
	"kalamdb/internal/datum"
	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/catalog"
	"kalamdb/internal/store/table"
)

// moment0 is the clock of the fixtures: one hour after the epoch of _seq.
const moment0 = (schema.SeqEpochMillis + 3_600_000) * 1000

// node is a store with a running Local.
type node struct {
	t     testing.TB
	disk  disk.FS
	store *store.Store
	local *apply.Local

	mu      sync.Mutex
	commits []command.Commit // as published

	stop func() error // ends Run
}

// options are what a test turns.
type options struct {
	disk    disk.FS
	apply   apply.Options
	reserve int64
	now     func() time.Time
	idle    bool // Run is not started
	fatal   func(string, ...any)
}

func clockAt(micros int64) func() time.Time {
	return func() time.Time { return time.UnixMicro(micros) }
}

func openNode(t testing.TB, o options) *node {
	t.Helper()
	if o.disk == nil {
		o.disk = disk.NewMem()
	}
	if o.now == nil {
		o.now = clockAt(moment0)
	}
	if o.reserve == 0 {
		o.reserve = -1
	}
	s, err := store.Open(store.Options{FS: o.disk, Dir: "data", Now: o.now, Reserve: o.reserve, Fatal: o.fatal})
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, disk: o.disk, store: s}
	a := o.apply
	a.Store, a.Now, a.Fatal = s, o.now, o.fatal
	a.NodeID = 1
	publish := a.Publish
	a.Publish = func(commits []command.Commit) {
		n.mu.Lock()
		n.commits = append(n.commits, commits...)
		n.mu.Unlock()
		if publish != nil {
			publish(commits)
		}
	}
	if n.local, err = apply.Open(a); err != nil {
		t.Fatal(err)
	}
	if !o.idle {
		n.run()
	}
	return n
}

func (n *node) run() {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.local.Run(ctx) }()
	n.stop = func() error {
		cancel()
		n.stop = nil
		return <-ended
	}
}

// close ends the node as a server ends.
func (n *node) close() {
	n.t.Helper()
	if n.stop != nil {
		if err := n.stop(); err != nil {
			n.t.Fatal(err)
		}
	}
	n.local.Close()
	if err := n.store.Close(); err != nil {
		n.t.Fatal(err)
	}
}

// commit commits a body at the fixtures' time.
func (n *node) commit(body command.Body) (command.Receipt, error) {
	return n.local.Commit(context.Background(), &command.Command{Time: moment0, Body: body})
}

func (n *node) must(body command.Body) command.Receipt {
	n.t.Helper()
	receipt, err := n.commit(body)
	if err != nil {
		n.t.Fatal(err)
	}
	return receipt
}

func (n *node) published() []command.Commit {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.commits
}

// definition returns a table of (id BIGINT, body TEXT).
func definition(name string, kind schema.Kind) schema.Table {
	t := schema.Table{
		Namespace: "app", Name: name, Kind: kind, Version: 1,
		Columns: []schema.Column{
			{ID: 1, Name: "id", Type: datum.Type{Kind: datum.BigInt}, NotNull: true},
			{ID: 2, Name: "body", Type: datum.Type{Kind: datum.Text}},
			{ID: 3, Name: schema.SeqName, Type: datum.Type{Kind: datum.BigInt}, System: schema.SeqColumn},
			{ID: 4, Name: schema.DeletedName, Type: datum.Type{Kind: datum.Bool}, System: schema.DeletedColumn},
		},
		Key: []schema.ColumnID{1}, NextColumnID: 5,
	}
	if kind == schema.Stream {
		t.Options.TTLSeconds = 10
	}
	return t
}

// create makes namespace app, if it is not there, and a table in it.
func (n *node) create(name string, kind schema.Kind) *schema.Table {
	n.t.Helper()
	if _, ok := n.local.Definitions().Namespace("app"); !ok {
		n.must(command.PutNamespace{Create: true, Namespace: schema.Namespace{Name: "app"}})
	}
	return n.must(command.CreateTable{Table: definition(name, kind)}).Table
}

func keyOf(ids ...int64) []byte {
	var key []byte
	for _, id := range ids {
		key = datum.AppendKey(key, datum.NewInt(datum.BigInt, id))
	}
	return key
}

func rowOf(t *schema.Table, id int64, text string) []byte {
	row := make([]datum.Value, len(t.Columns))
	row[0], row[1] = datum.NewInt(datum.BigInt, id), datum.NewText(text)
	return t.AppendRow(nil, row)
}

// insert is a Write of one row.
func insert(t *schema.Table, scope schema.Scope, id int64, text string) *command.Write {
	return write(t, command.RowWrite{Op: command.Insert, Scope: scope, Key: keyOf(id), Row: rowOf(t, id, text)})
}

func update(t *schema.Table, scope schema.Scope, id int64, read uint64, text string) *command.Write {
	return write(t, command.RowWrite{Op: command.Update, Scope: scope, Key: keyOf(id), ReadSeq: read, Row: rowOf(t, id, text)})
}

func remove(t *schema.Table, scope schema.Scope, id int64, read uint64, text string) *command.Write {
	return write(t, command.RowWrite{Op: command.Delete, Scope: scope, Key: keyOf(id), ReadSeq: read, Row: rowOf(t, id, text)})
}

func write(t *schema.Table, rows ...command.RowWrite) *command.Write {
	return &command.Write{Tables: []command.TableWrite{{Table: t.ID, SchemaVersion: t.Version, Rows: rows}}}
}

// dump prints all that a view of the node shows.
func (n *node) dump() string {
	n.t.Helper()
	view := n.local.View()
	defer view.Release()
	return dump(n.t, view)
}

func dump(t testing.TB, view *catalog.View) string {
	t.Helper()
	var out strings.Builder
	if err := table.Dump(view.Reader(), &out, view.Definitions().TableByID); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// rows returns the newest rows of a partition as "id text".
func rows(t testing.TB, view *catalog.View, of *schema.Table, scope schema.Scope) []string {
	t.Helper()
	scan, err := table.NewScan(view.Reader(), of, scope, table.ScanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := scan.Close(); err != nil {
			t.Error(err)
		}
	}()
	var out []string
	row := make([]datum.Value, len(of.Columns))
	for scan.Next(context.Background()) {
		if err := of.DecodeRow(scan.Version().Row, row); err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%d %s", row[0].Int(), row[1].Text()))
	}
	if err := scan.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
