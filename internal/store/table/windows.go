package table

import (
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/internal/engine"
)

// DropWindows forgets the windows of a partition of which no row is cold any
// more: every row in them has a mark. Files that no other window names are
// removed at a position. It returns how many windows went, and refuses before it
// writes.
func (w *Writer) DropWindows(t *schema.Table, scope schema.Scope, position uint64) (dropped int64, err error) {
	counts, err := Counts(w.reader, t, scope)
	if err != nil {
		return 0, err
	}
	if counts.ColdRows != 0 {
		return 0, fault.New(fault.Conflict, "%d rows of table %s are cold", counts.ColdRows, t.QualifiedName())
	}
	segments, err := Segments(w.reader, t.ID, scope)
	if err != nil {
		return 0, err
	}
	files := make([]schema.File, 0, len(segments))
	for _, s := range segments {
		f, ok, err := File(w.reader, s.File)
		if err != nil {
			return 0, err
		}
		if ok && f.Scope == scope && s.To < f.Rows {
			return 0, fault.New(fault.Conflict, "file %d of table %s is still being filled", f.Number, t.QualifiedName())
		}
		if ok && (f.Scope == scope || f.Packed()) {
			files = append(files, f)
		}
	}
	for _, s := range segments {
		engine.Delete(w.batch, appendSeg(w.key[:0], t.ID, scope, s.File))
	}
	for i := range files {
		leaveFile(&files[i], position)
		if err := w.putFile(&files[i]); err != nil {
			return 0, err
		}
	}
	return int64(len(segments)), nil
}
