package live

import (
	"strconv"

	"kalamdb/internal/command"
	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/plan"
)

// verdict is what a change means for a result.
type verdict uint8

const (
	untouched verdict = iota
	inserted          // a new row belongs to the result
	updated           // a row of the result changed, or one came in by an update
	removed           // a row of the result was deleted
	left              // an update moved a row out of the result
)

// kind returns the kind of change frame of a verdict.
func (v verdict) kind() string {
	switch v {
	case inserted:
		return KindInsert
	case updated:
		return KindUpdate
	}
	return KindDelete
}

// event is a change with its rows decoded. It is reused: rows are valid until
// the next decode.
type event struct {
	table   *schema.Table
	change  *command.Change
	row     []datum.Value // the new version, for deletes the tombstone
	was     []datum.Value // the superseded version, if hasWas
	gone    []datum.Value // was as a delete shows it, if hasGone
	hasWas  bool
	hasGone bool
}

// decode reads a change under a definition of its table.
func (e *event) decode(t *schema.Table, ch *command.Change) error {
	e.table, e.change, e.hasWas, e.hasGone = t, ch, false, false
	e.row = resize(e.row, len(t.Columns))
	body, was := ch.Row, ch.Old
	if ch.Op == command.Delete {
		// A tombstone has the values of the row it hides, so one stands in for
		// the other where the change carries only one.
		if len(body) == 0 {
			body = was
		} else if len(was) == 0 {
			was = body
		}
	}
	if len(body) > 0 {
		if err := t.DecodeRow(body, e.row); err != nil {
			return err
		}
	}
	t.Stamp(e.row, ch.Seq, ch.Op == command.Delete)
	if len(was) == 0 || ch.Op == command.Insert {
		return nil
	}
	e.was = resize(e.was, len(t.Columns))
	if err := t.DecodeRow(was, e.was); err != nil {
		return err
	}
	t.Stamp(e.was, ch.PrevSeq, false)
	e.hasWas = true
	return nil
}

// resize returns a row of n NULLs in the memory of an old one.
func resize(row []datum.Value, n int) []datum.Value {
	if cap(row) < n {
		return make([]datum.Value, n)
	}
	row = row[:n]
	clear(row)
	return row
}

// judge returns what the event means for a result. An update whose old version
// is unknown is taken to have belonged to it: a delete too many is harmless, a
// row too many is not.
func (e *event) judge(m *matcher, env *plan.Env) (verdict, error) {
	if e.change.Op != command.Delete {
		is, err := m.matches(e.row, env)
		switch {
		case err != nil:
			return untouched, err
		case is && e.change.Op == command.Insert:
			return inserted, nil
		case is:
			return updated, nil
		}
	}
	if e.change.Op == command.Insert {
		return untouched, nil
	}
	if e.hasWas {
		was, err := m.matches(e.was, env)
		if err != nil || !was {
			return untouched, err
		}
	}
	if e.change.Op == command.Delete {
		return removed, nil
	}
	return left, nil
}

// pair is the memory for the rows of one frame.
type pair struct{ row, old Row }

// change fills in what a frame says of the event.
func (p *pair) change(e *event, s *shape, v verdict, env *plan.Env) (*Change, error) {
	p.row.reset()
	p.old.reset()
	c := &Change{Kind: v.kind()}
	var err error
	switch v {
	case inserted:
		c.Row = &p.row
		err = s.full(&p.row, e.row, env)
	case updated:
		c.Row = &p.row
		var was []datum.Value
		if e.hasWas {
			c.Old, was = &p.old, e.was
		}
		err = s.updated(&p.row, &p.old, e.row, was, env)
	case removed:
		c.Old = &p.old
		err = s.deleted(&p.old, e.row, e.rowID(), env)
	case left:
		c.Old = &p.old
		err = s.deleted(&p.old, e.leaving(), e.rowID(), env)
	}
	return c, err
}

// leaving returns the last values that matched, stamped as if the update had
// deleted them.
func (e *event) leaving() []datum.Value {
	if !e.hasWas {
		return e.row
	}
	if !e.hasGone {
		e.gone = append(e.gone[:0], e.was...)
		e.table.Stamp(e.gone, e.change.Seq, true)
		e.hasGone = true
	}
	return e.gone
}

// rowID names the event of a STREAM table that a delete hides.
func (e *event) rowID() string { return rowID(e.change.Scope, e.change.PrevSeq) }

func rowID(scope schema.Scope, seq uint64) string {
	return string(scope) + ":" + strconv.FormatUint(seq, 10)
}
