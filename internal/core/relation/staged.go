package relation

import (
	"bytes"
	"slices"
	"sync"

	"kalamdb/internal/command"
	"kalamdb/internal/schema"
)

// Staged are changes that a transaction has made and not committed: the net
// change of each key it has touched. A View of With shows them over its moment.
//
// Staged rows have no final _seq yet; each carries one above all of the moment,
// in the order of their writing, so that they sort behind what was there.
//
// One goroutine changes it, and not while a statement reads; those that read
// see what was there when they opened the table.
type Staged struct {
	mu    sync.Mutex // for the sorted lists, which readers make, and reads
	parts map[partition]*stagedPart
	order []*stagedPart        // as they were touched first
	reads map[partition]uint32 // versions of what was read; nil when nobody asks
}

type partition struct {
	table schema.TableID
	scope schema.Scope
}

// StagedRow is the net change of one key. It is never changed once it is
// staged: a later change of the key takes its place.
type StagedRow struct {
	// Write is what a commit does to the row of the moment.
	Write command.RowWrite
	// Seq is what the transaction sees as _seq.
	Seq uint64
	// Order tells which keys were touched first.
	Order uint64
}

// deleted reports whether the transaction sees no row.
func (r *StagedRow) deleted() bool { return r.Write.Op == command.Delete }

// lives counts the rows that a change adds.
func (r *StagedRow) lives() int64 {
	switch {
	case r == nil || r.Write.Op == command.Update:
		return 0
	case r.Write.Op == command.Insert:
		return 1
	}
	return -1
}

// stagedPart is what is staged in one partition of a table.
type stagedPart struct {
	table  *schema.Table
	scope  schema.Scope
	rows   map[string]*StagedRow
	sorted []*StagedRow // by key; nil when a change has come since
	lives  int64        // rows more than at the moment
	// holders are the keys of the rows that hold values of unique indexes.
	holders map[string]string
}

// NewStaged returns an empty set of changes.
func NewStaged() *Staged { return &Staged{parts: map[partition]*stagedPart{}} }

// NoteReads begins to remember which partitions are read, or ends that.
func (s *Staged) NoteReads(on bool) {
	s.reads = nil
	if on {
		s.reads = map[partition]uint32{}
	}
}

// Reads returns which partitions were read since NoteReads.
func (s *Staged) Reads() []command.Partition {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]command.Partition, 0, len(s.reads))
	for p, version := range s.reads {
		out = append(out, command.Partition{Table: p.table, SchemaVersion: version, Scope: p.scope})
	}
	return out
}

// NoteRead remembers that a partition was read, for a view of a transaction that
// wants to know. Opening a table does so.
func (v *View) NoteRead(t *schema.Table, scope schema.Scope) {
	s := v.staged
	if s == nil || s.reads == nil || t.Kind == schema.System {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads[partition{t.ID, scope}] = t.Version
}

// Find returns the staged change of a key, or nil.
func (s *Staged) Find(t *schema.Table, scope schema.Scope, key []byte) *StagedRow {
	if s == nil {
		return nil
	}
	p := s.parts[partition{t.ID, scope}]
	if p == nil {
		return nil
	}
	return p.rows[string(key)]
}

// Put stages the net change of a key, or forgets it when r is nil, and returns
// the one that it replaces, or nil.
func (s *Staged) Put(t *schema.Table, scope schema.Scope, key []byte, r *StagedRow) (before *StagedRow) {
	at := partition{t.ID, scope}
	p := s.parts[at]
	if p == nil {
		if r == nil {
			return nil
		}
		p = &stagedPart{table: t, scope: scope, rows: map[string]*StagedRow{}}
		s.parts[at], s.order = p, append(s.order, p)
	}
	before = p.rows[string(key)]
	if r == nil {
		delete(p.rows, string(key))
	} else {
		p.rows[string(key)] = r
	}
	p.lives += r.lives() - before.lives()
	p.hold(string(key), before, r)
	s.mu.Lock()
	defer s.mu.Unlock()
	p.sorted = nil
	return before
}

// Tables counts the tables with changes.
func (s *Staged) Tables() int {
	n := 0
	seen := map[schema.TableID]struct{}{}
	for _, p := range s.order {
		if _, twice := seen[p.table.ID]; len(p.rows) > 0 && !twice {
			seen[p.table.ID] = struct{}{}
			n++
		}
	}
	return n
}

// Writes returns the changes for one command, by table in the order in which
// tables and keys were touched first, with the definitions they were made under.
func (s *Staged) Writes() (writes []command.TableWrite, tables []*schema.Table) {
	rows := map[schema.TableID][]*StagedRow{}
	for _, p := range s.order {
		if len(p.rows) == 0 {
			continue
		}
		if _, seen := rows[p.table.ID]; !seen {
			tables = append(tables, p.table)
		}
		list := rows[p.table.ID]
		for _, r := range p.rows {
			list = append(list, r)
		}
		rows[p.table.ID] = list
	}
	for _, t := range tables {
		list := rows[t.ID]
		slices.SortFunc(list, func(a, b *StagedRow) int {
			if a.Order < b.Order {
				return -1
			}
			return 1
		})
		w := command.TableWrite{Table: t.ID, SchemaVersion: t.Version, Rows: make([]command.RowWrite, len(list))}
		for i, r := range list {
			w.Rows[i] = r.Write
		}
		writes = append(writes, w)
	}
	return writes, tables
}

// part returns what is staged in a partition, or nil.
func (s *Staged) part(t *schema.Table, scope schema.Scope) *stagedPart {
	if s == nil {
		return nil
	}
	p := s.parts[partition{t.ID, scope}]
	if p == nil || len(p.rows) == 0 {
		return nil
	}
	return p
}

// list returns the changes of a partition by key. The list is not changed any
// more.
func (s *Staged) list(p *stagedPart) []*StagedRow {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.sorted == nil {
		p.sorted = make([]*StagedRow, 0, len(p.rows))
		for _, r := range p.rows {
			p.sorted = append(p.sorted, r)
		}
		slices.SortFunc(p.sorted, func(a, b *StagedRow) int { return bytes.Compare(a.Write.Key, b.Write.Key) })
	}
	return p.sorted
}

// With returns a view of the same moment that shows staged changes over it.
// Both are the same view where it is counted.
func (v *View) With(s *Staged) *View {
	return &View{relations: v.relations, moment: v.moment, staged: s}
}
