package table

import (
	"slices"

	"kalamdb/internal/schema"
)

// Bounds of what is watched: files at a time, and changed rows of one. Beyond
// them rows are looked up again.
const (
	watchedFiles = 16
	watchedRows  = 1 << 16
)

// watch knows which rows of a partition, of a whole table for a file that many
// share, have been changed since a file was reserved for them. It is in memory
// only and spares looking for rows that nobody has changed; without it the same
// is found in the store.
type watch struct {
	file  uint64
	table schema.TableID
	scope schema.Scope
	all   bool
	rows  map[rowName]struct{}
}

type rowName struct {
	scope schema.Scope
	key   string
}

// changed reports whether a row has been changed.
func (w *watch) changed(scope schema.Scope, key []byte) bool {
	if len(w.rows) == 0 {
		return false
	}
	_, yes := w.rows[rowName{scope, string(key)}]
	return yes
}

// watches are those of the files that are being written.
type watches struct{ list []*watch }

// begin watches what a file is reserved for. Files of a compaction take no hot
// rows.
func (s *watches) begin(f *schema.File) {
	if len(f.Sources) > 0 {
		return
	}
	if len(s.list) == watchedFiles {
		s.end(s.list[0].file)
	}
	s.list = append(s.list, &watch{file: f.Number, table: f.Table, scope: f.Scope, all: f.Packed(), rows: map[rowName]struct{}{}})
}

// of returns the watch of a file, or nil.
func (s *watches) of(file uint64) *watch {
	for _, w := range s.list {
		if w.file == file {
			return w
		}
	}
	return nil
}

// end forgets the watch of a file.
func (s *watches) end(file uint64) {
	for i, w := range s.list {
		if w.file == file {
			s.list = slices.Delete(s.list, i, i+1)
			return
		}
	}
}

// arrive ends the watches of other files for rows that a file takes now.
func (s *watches) arrive(file uint64, id schema.TableID, scope schema.Scope) {
	for i := len(s.list) - 1; i >= 0; i-- {
		if w := s.list[i]; w.file != file && w.table == id && (w.all || w.scope == scope) {
			s.end(w.file)
		}
	}
}

// note remembers that a row which was there has been changed.
func (s *watches) note(id schema.TableID, scope schema.Scope, key []byte) {
	for i := 0; i < len(s.list); i++ {
		w := s.list[i]
		if w.table != id || !w.all && w.scope != scope {
			continue
		}
		if len(w.rows) == watchedRows {
			s.end(w.file)
			i--
			continue
		}
		w.rows[rowName{scope, string(key)}] = struct{}{}
	}
}

// Unwatch makes adoptions look up all rows: something has changed or removed
// rows in another way than Write and Adopt do.
func (w *Writer) Unwatch() { w.watches.list = nil }
