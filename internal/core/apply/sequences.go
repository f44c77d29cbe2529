package apply

import (
	"slices"

	"kalamdb/internal/command"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
)

// ownSequences makes the sequences of columns that t has and old has not, and
// removes those whose column is gone or has no such default any more; either
// may be nil.
func ownSequences(edit *catalog.Edit, old, t *schema.Table) error {
	if old != nil {
		for _, s := range slices.Collect(edit.Definitions.Sequences(old.Namespace)) {
			if s.Table != old.ID || !gone(s, old, t) {
				continue
			}
			if err := edit.DeleteSequence(s.Namespace, s.Name); err != nil {
				return err
			}
		}
	}
	if t == nil {
		return nil
	}
	for i := range t.Columns {
		c := &t.Columns[i]
		if serial(c) == nil || old != nil && serial(columnOf(old, c.ID)) != nil {
			continue
		}
		s := *c.Default.Sequence
		s.Table, s.Column = t.ID, c.ID
		if err := edit.InsertSequence(&s); err != nil {
			return err
		}
	}
	return nil
}

// gone reports whether the column that owns a sequence of old has left t, or
// draws from it no more.
func gone(s *schema.Sequence, old, t *schema.Table) bool {
	if t == nil {
		return true
	}
	now := columnOf(t, s.Column)
	if now == nil {
		return true
	}
	was := serial(columnOf(old, s.Column))
	return was != nil && was.Name == s.Name && serial(now) == nil
}

// columnOf finds a column by its number, or nil.
func columnOf(t *schema.Table, id schema.ColumnID) *schema.Column {
	if at := t.ColumnByID(id); at >= 0 {
		return &t.Columns[at]
	}
	return nil
}

// serial returns the sequence that the default of a column brings, or nil.
func serial(c *schema.Column) *schema.Sequence {
	if c == nil || c.Default == nil {
		return nil
	}
	return c.Default.Sequence
}

// advanceSequence draws a block of numbers.
func (m *Machine) advanceSequence(b *command.AdvanceSequence, o *Outcome) error {
	s, state, err := m.sequence(b.Namespace, b.Name)
	if err != nil {
		return err
	}
	if b.Count < 1 {
		return fault.New(fault.InvalidOperation, "a sequence gives one number at least")
	}
	first, count := s.Draw(&state, b.Count)
	if count == 0 {
		last := s.Max
		if s.Increment < 0 {
			last = s.Min
		}
		return fault.New(fault.OutOfRange, "sequence %s has reached its last value, %d", s.QualifiedName(), last)
	}
	o.Receipt.First, o.Receipt.Rows = first, count
	return catalog.PutSequenceState(m.batch, state)
}

// setSequence moves a sequence to a value.
func (m *Machine) setSequence(b *command.SetSequence) error {
	s, state, err := m.sequence(b.Namespace, b.Name)
	if err != nil {
		return err
	}
	if b.Value < s.Min || b.Value > s.Max {
		return fault.New(fault.OutOfRange, "value %d is out of bounds for sequence %s (%d to %d)", b.Value, s.QualifiedName(), s.Min, s.Max)
	}
	state.Next, state.Ended, state.Drawn = b.Value, false, false
	if b.Called {
		s.Draw(&state, 1)
	}
	return catalog.PutSequenceState(m.batch, state)
}

func (m *Machine) sequence(ns, name string) (*schema.Sequence, schema.SequenceState, error) {
	s, ok := m.definitions.Sequence(ns, name)
	if !ok {
		return nil, schema.SequenceState{}, fault.New(fault.ObjectNotFound, "sequence %s.%s does not exist", ns, name)
	}
	state, ok, err := catalog.SequenceStates().Get(m.reader, s.QualifiedName())
	if err == nil && !ok {
		err = fault.New(fault.Internal, "sequence %s has no state", s.QualifiedName())
	}
	return s, state, err
}
