package relation

import (
	"bytes"
	"slices"

	"kalamdb/internal/command"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/source"
)

// PresentRow is a row of a table with PRESENCE as a moment shows it.
type PresentRow struct {
	Key, Row []byte
	Seq      uint64
	// Gone says that the row has left: what it was last, and the _seq of its
	// leaving.
	Gone bool
}

// Present knows the rows that are bound to connections. They are in memory only;
// their positions are those of the commit clock.
type Present interface {
	// Rows returns the rows of a partition at a position by key, those included
	// that are known to have left. It reports false when that moment is not known
	// any more.
	Rows(t schema.TableID, scope schema.Scope, at uint64) ([]PresentRow, bool)
	// Changes returns the changes with from < _seq <= to, or false when some of
	// them are not known any more.
	Changes(t schema.TableID, scope schema.Scope, from, to uint64) ([]command.Change, bool)
	// Floor returns the position up to which changes are not known.
	Floor(t schema.TableID, scope schema.Scope) uint64
}

// present returns the rows of a partition at a position.
func (v *View) present(t *schema.Table, scope schema.Scope, at uint64) ([]PresentRow, error) {
	if v.relations.o.Present == nil {
		return nil, nil
	}
	rows, ok := v.relations.o.Present.Rows(t.ID, scope, at)
	if !ok {
		return nil, fault.New(fault.LimitExceeded, "who was present in table %s at position %d is not known any more; run the statement again", t.QualifiedName(), at)
	}
	return rows, nil
}

// openPresent is Open for a table with PRESENCE: nothing is stored, so that its
// rows are shown as those that a transaction has staged.
func (v *View) openPresent(rows *rowSource) (source.Table, error) {
	present, err := v.present(rows.def, rows.scope, v.Position())
	if err != nil {
		return nil, err
	}
	s := &stagedSource{rowSource: rows, list: make([]*StagedRow, len(present))}
	for i, p := range present {
		s.list[i] = &StagedRow{Seq: p.Seq, Write: command.RowWrite{Op: command.Insert, Scope: rows.scope, Key: p.Key, Row: p.Row}}
		if p.Gone {
			s.list[i].Write.Op = command.Delete
		} else {
			s.lives++
		}
	}
	return s, nil
}

// presentAt returns one row of a table with PRESENCE at a position.
func (v *View) presentAt(t *schema.Table, scope schema.Scope, key []byte, at uint64) (row []byte, seq uint64, deleted, found bool, err error) {
	rows, err := v.present(t, scope, at)
	i, found := slices.BinarySearchFunc(rows, key, func(r PresentRow, key []byte) int { return bytes.Compare(r.Key, key) })
	if err != nil || !found {
		return nil, 0, false, false, err
	}
	return rows[i].Row, rows[i].Seq, rows[i].Gone, true, nil
}

// presentChanges is Changes for a table with PRESENCE.
func (v *View) presentChanges(t *schema.Table, scope schema.Scope, from, to uint64, each func(*command.Change) error) error {
	if v.relations.o.Present == nil {
		return nil
	}
	if to == 0 {
		to = v.Position()
	}
	changes, ok := v.relations.o.Present.Changes(t.ID, scope, from, to)
	if !ok {
		return fault.New(fault.CursorExpired, "position %d cannot be resumed: changes after it are no longer kept; subscribe again without from", from)
	}
	for i := range changes {
		if err := each(&changes[i]); err != nil {
			return err
		}
	}
	return nil
}
