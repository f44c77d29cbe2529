package relation

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/plan"
	"kalamdb/internal/sql/source"
)

// Caller is on whose behalf a system table or view is read.
type Caller struct {
	User      schema.UserID
	Role      schema.Role
	Namespace string
	Now       int64 // microseconds since the Unix epoch
	// Variables are the settings that the session has chosen; nil for none.
	Variables plan.Variables
}

// Produce returns the rows of a view over running state, each aligned to the
// columns of its definition.
type Produce func(ctx context.Context, c Caller) ([][]datum.Value, error)

// systemTable is a table of the server itself.
type systemTable struct {
	def  *schema.Table
	page pageOf
	// point returns the row of a name, where that is cheaper than all rows.
	point func(v *View, name string) (row []datum.Value, ok bool, err error)
}

// pageOf returns the rows of a system table behind a name, at least those
// inside the bounds, and whether there may be more; the name is the first
// column of the last row.
type pageOf func(ctx context.Context, v *View, c Caller, b *keyBounds, after string) (rows [][]datum.Value, more bool, err error)

// pageRows is how many rows of a system table are read at a time.
const pageRows = 1000

// registry holds the system tables by namespace and name.
type registry struct {
	mu struct {
		sync.RWMutex
		tables map[[2]string]*systemTable
		next   schema.TableID
	}
}

// newRegistry fills in every layout; those without rows of their own are empty
// until someone registers them.
func newRegistry() *registry {
	g := &registry{}
	g.mu.tables = map[[2]string]*systemTable{}
	g.mu.next = firstSystemID
	for _, l := range slices.Concat(layouts[:], infoLayouts[:], pgLayouts[:]) {
		t := &systemTable{def: l.define(g.mu.next), page: func(context.Context, *View, Caller, *keyBounds, string) ([][]datum.Value, bool, error) {
			return nil, false, nil
		}}
		rows := catalogRows[l.namespace+"."+l.name]
		if l.namespace == PGCatalog {
			rows = pgRows[l.name]
		}
		if rows != nil {
			t.page = whole(rows)
		}
		g.add(t)
	}
	g.mu.tables[[2]string{schema.SystemNamespace, "users"}].page = userPage
	g.mu.tables[[2]string{schema.SystemNamespace, "users"}].point = userPoint
	for _, name := range []string{"jobs", "job_nodes"} {
		g.mu.tables[[2]string{schema.SystemNamespace, name}].page = jobPage(name)
	}
	g.mu.tables[[2]string{schema.SystemNamespace, "jobs"}].point = jobPoint
	g.mu.tables[[2]string{schema.SystemNamespace, "audit_log"}].page = auditPage
	g.mu.tables[[2]string{schema.SystemNamespace, "audit_log"}].point = auditPoint
	return g
}

// whole makes a page of all rows.
func whole(rows rowsOf) pageOf {
	return func(ctx context.Context, v *View, c Caller, b *keyBounds, _ string) ([][]datum.Value, bool, error) {
		all, err := rows(ctx, v, c, b)
		return all, false, err
	}
}

// add puts a table under its name and, for the tables of the namespace system,
// under its second names.
func (g *registry) add(t *systemTable) {
	g.mu.tables[[2]string{t.def.Namespace, t.def.Name}] = t
	g.mu.next++
	if t.def.Namespace != schema.SystemNamespace {
		return
	}
	for _, second := range secondNames {
		if second.of == t.def.Name {
			alias := *t
			alias.def = t.def.Clone()
			alias.def.Name, alias.def.ID = second.name, g.mu.next
			g.mu.tables[[2]string{schema.SystemNamespace, second.name}] = &alias
			g.mu.next++
		}
	}
}

// Definition returns the definition of a system table of this room, for whoever
// registers its rows.
func (r *Relations) Definition(namespace, name string) (*schema.Table, bool) {
	t, ok := r.registry.find(namespace, name)
	if !ok {
		return nil, false
	}
	return t.def, true
}

// Register gives a system table its rows, under its second names too. A
// definition with a name of its own adds a table. It is called before the first
// statement runs.
func (r *Relations) Register(def *schema.Table, rows Produce) {
	fault.Assert(def.Kind == schema.System, "view %s is not of kind system", def.QualifiedName())
	g := r.registry
	g.mu.Lock()
	defer g.mu.Unlock()
	t := &systemTable{def: def, page: whole(func(ctx context.Context, _ *View, c Caller, _ *keyBounds) ([][]datum.Value, error) {
		return rows(ctx, c)
	})}
	if known, ok := g.mu.tables[[2]string{def.Namespace, def.Name}]; ok {
		t.def = def.Clone()
		t.def.ID = known.def.ID
	}
	g.add(t)
}

func (g *registry) find(namespace, name string) (*systemTable, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	t, ok := g.mu.tables[[2]string{namespace, name}]
	return t, ok
}

// all returns the definitions of every system table, by namespace and name.
func (g *registry) all() []*schema.Table {
	g.mu.RLock()
	defs := make([]*schema.Table, 0, len(g.mu.tables))
	for _, t := range g.mu.tables {
		defs = append(defs, t.def)
	}
	g.mu.RUnlock()
	slices.SortFunc(defs, func(a, b *schema.Table) int {
		return bytes.Compare([]byte(a.Namespace+"\x00"+a.Name), []byte(b.Namespace+"\x00"+b.Name))
	})
	return defs
}

// systemSource is a system table at one moment for one caller.
type systemSource struct {
	table  *systemTable
	view   *View
	caller Caller
}

// Definition returns the columns and key.
func (s *systemSource) Definition() *schema.Table { return s.table.def }

// Count is not known without reading.
func (s *systemSource) Count(context.Context) (int64, bool, error) { return 0, false, nil }

// Scan starts a scan. Pages come in the order of their names; another order
// makes the scan read all rows first.
func (s *systemSource) Scan(ctx context.Context, r source.Request) (source.Rows, error) {
	def := s.table.def
	scan := &systemScan{source: s, bounds: boundsOf(def, r)}
	if s.table.point != nil && scan.bounds.keys != nil && len(def.Key) == 1 {
		return scan.points(r.Keys)
	}
	if r.Order == source.ByKey && len(def.Key) > 0 {
		if err := scan.sortAll(ctx); err != nil {
			return nil, err
		}
	}
	return scan, nil
}

// systemScan delivers the rows of a system table.
type systemScan struct {
	source  *systemSource
	bounds  keyBounds
	pending [][]datum.Value // of the page being delivered
	after   string          // the name the next page begins behind
	done    bool            // no further page
}

// points reads rows by name.
func (s *systemScan) points(keys [][]datum.Value) (source.Rows, error) {
	s.done = true
	seen := map[string]struct{}{}
	for _, key := range keys {
		name := key[0].Text()
		if _, twice := seen[name]; twice || key[0].IsNull() {
			continue
		}
		seen[name] = struct{}{}
		row, ok, err := s.source.table.point(s.source.view, name)
		if err != nil {
			return nil, err
		}
		if ok {
			s.pending = append(s.pending, row)
		}
	}
	s.sort()
	return s, nil
}

// sortAll reads every page and orders the rows by key.
func (s *systemScan) sortAll(ctx context.Context) error {
	var all [][]datum.Value
	for !s.done {
		if err := s.turn(ctx); err != nil {
			return err
		}
		all = append(all, s.pending...)
	}
	s.pending = all
	s.sort()
	return nil
}

func (s *systemScan) sort() {
	def := s.source.table.def
	slices.SortStableFunc(s.pending, func(a, b []datum.Value) int {
		return bytes.Compare(def.KeyOf(nil, a), def.KeyOf(nil, b))
	})
}

// turn reads the next page.
func (s *systemScan) turn(ctx context.Context) error {
	page, more, err := s.source.table.page(ctx, s.source.view, s.source.caller, &s.bounds, s.after)
	if err != nil {
		return err
	}
	s.done = !more
	if more && len(page) > 0 {
		s.after = page[len(page)-1][0].Text()
	}
	s.pending = slices.DeleteFunc(page, func(row []datum.Value) bool { return !s.bounds.contains(row) })
	return nil
}

// Next returns the next batch.
func (s *systemScan) Next(ctx context.Context) (*source.Batch, error) {
	for len(s.pending) == 0 {
		if s.done {
			return nil, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := s.turn(ctx); err != nil {
			return nil, err
		}
	}
	n := min(len(s.pending), source.BatchRows)
	batch := &source.Batch{Rows: s.pending[:n]}
	s.pending = s.pending[n:]
	return batch, nil
}

// Close ends the scan.
func (s *systemScan) Close() { s.pending, s.done = nil, true }

// keyBounds are the encoded bounds of a request over the rows of a system
// table.
type keyBounds struct {
	def       *schema.Table
	keys      map[string]struct{}
	low, high []byte // [low, high), nil for none
}

// contains reports whether a row lies inside.
func (b *keyBounds) contains(row []datum.Value) bool {
	if b.keys == nil && b.low == nil && b.high == nil {
		return true
	}
	key := b.def.KeyOf(nil, row)
	if b.keys != nil {
		if _, ok := b.keys[string(key)]; !ok {
			return false
		}
	}
	return bytes.Compare(key, b.low) >= 0 && (b.high == nil || bytes.Compare(key, b.high) < 0)
}

// mayHold reports whether a row whose key begins with the values may lie inside.
func (b *keyBounds) mayHold(values ...datum.Value) bool {
	prefix := schema.AppendKeyValues(nil, values)
	if b.keys != nil {
		for key := range b.keys {
			if strings.HasPrefix(key, string(prefix)) {
				return true
			}
		}
		return false
	}
	return bytes.Compare(above(prefix), b.low) > 0 && (b.high == nil || bytes.Compare(prefix, b.high) < 0)
}

// boundsOf encodes the bounds of a request.
func boundsOf(def *schema.Table, r source.Request) keyBounds {
	b := keyBounds{def: def}
	if r.Keys != nil {
		b.keys = make(map[string]struct{}, len(r.Keys))
		for _, key := range r.Keys {
			b.keys[string(schema.AppendKeyValues(nil, key))] = struct{}{}
		}
	}
	b.low, b.high = keyRange(r)
	return b
}

// keyRange returns the encoded keys [low, high) that the bounds of a request
// enclose; nil for none. Key parts are self-delimiting, so all keys with a
// prefix lie between it and the least bytes above every one that begins so.
func keyRange(r source.Request) (low, high []byte) {
	if len(r.Low.Values) > 0 {
		low = schema.AppendKeyValues(nil, r.Low.Values)
		if !r.Low.Inclusive {
			low = above(low)
		}
	}
	if len(r.High.Values) > 0 {
		high = schema.AppendKeyValues(nil, r.High.Values)
		if r.High.Inclusive {
			high = above(high)
		}
	}
	return low, high
}

// above returns bytes above every key that begins with prefix: no encoded value
// begins with 0xFF.
func above(prefix []byte) []byte { return append(slices.Clip(prefix), 0xFF) }
