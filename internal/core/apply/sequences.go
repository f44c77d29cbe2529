package apply

import (
	"slices"

	"kalamdb/internal/command"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
)

// ownSequences makes the sequences of columns that t has and old has not, and
// removes those of columns that are gone; either may be nil.
func ownSequences(edit *catalog.Edit, old, t *schema.Table) error {
	before, after := owned(old), owned(t)
	for _, s := range before {
		if has(after, s) {
			continue
		}
		if err := edit.DeleteSequence(s.Namespace, s.Name); err != nil {
			return err
		}
	}
	for _, s := range after {
		if has(before, s) {
			continue
		}
		if err := edit.InsertSequence(s); err != nil {
			return err
		}
	}
	return nil
}

// owned returns the sequences that the columns of a table own.
func owned(t *schema.Table) (all []*schema.Sequence) {
	if t == nil {
		return nil
	}
	for i := range t.Columns {
		if d := t.Columns[i].Default; d != nil && d.Sequence != nil {
			s := *d.Sequence
			s.Table, s.Column = t.ID, t.Columns[i].ID
			all = append(all, &s)
		}
	}
	return all
}

// has reports whether a sequence is among those of another version.
func has(all []*schema.Sequence, s *schema.Sequence) bool {
	return slices.ContainsFunc(all, func(o *schema.Sequence) bool { return *o == *s })
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
	state.Next, state.Ended = b.Value, false
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
