package catalog

import (
	"iter"

	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
)

// Sequences are the definitions of sequences.
func Sequences() Rows[schema.Sequence] {
	return Rows[schema.Sequence]{tagSequence, "Sequence", fault.ObjectNotFound, "does not exist",
		func(s schema.Sequence) string { return s.QualifiedName() }}
}

// SequenceStates are how far they have come.
func SequenceStates() Rows[schema.SequenceState] {
	return Rows[schema.SequenceState]{tagSequenceState, "Sequence", fault.ObjectNotFound, "does not exist",
		func(s schema.SequenceState) string { return s.QualifiedName() }}
}

// Sequence returns a sequence by its folded name.
func (d *Definitions) Sequence(ns, name string) (*schema.Sequence, bool) {
	n, ok := d.namespaces.get(ns)
	if !ok {
		return nil, false
	}
	return n.sequences.get(name)
}

// Sequences yields the sequences of a namespace by name.
func (d *Definitions) Sequences(ns string) iter.Seq[*schema.Sequence] {
	return func(yield func(*schema.Sequence) bool) {
		n, _ := d.namespaces.get(ns)
		for _, s := range n.sequences.all() {
			if !yield(s) {
				return
			}
		}
	}
}

// putSequence sets a sequence in a value that is not shared yet.
func (d *Definitions) putSequence(s *schema.Sequence) {
	if n, ok := d.namespaces.get(s.Namespace); ok {
		n.sequences = n.sequences.with(s.Name, s)
		d.namespaces = d.namespaces.with(s.Namespace, n)
	}
}

// InsertSequence adds a sequence, which begins at its start.
func (e *Edit) InsertSequence(s *schema.Sequence) error {
	if err := e.Definitions.Free(s.Namespace, s.Name); err != nil {
		return err
	}
	if err := Sequences().put(e.Batch, *s); err != nil {
		return err
	}
	if err := SequenceStates().put(e.Batch, schema.SequenceState{Namespace: s.Namespace, Name: s.Name, Next: s.Start}); err != nil {
		return err
	}
	d := e.copy()
	d.putSequence(s)
	e.Definitions = d
	return nil
}

// DeleteSequence removes a sequence.
func (e *Edit) DeleteSequence(ns, name string) error {
	if _, ok := e.Definitions.Sequence(ns, name); !ok {
		return Sequences().notFound(ns + "." + name)
	}
	if err := Sequences().Delete(e.Reader, e.Batch, ns+"."+name); err != nil {
		return err
	}
	if err := SequenceStates().Delete(e.Reader, e.Batch, ns+"."+name); err != nil {
		return err
	}
	d := e.copy()
	if n, ok := d.namespaces.get(ns); ok {
		n.sequences = n.sequences.without(name)
		d.namespaces = d.namespaces.with(ns, n)
	}
	e.Definitions = d
	return nil
}

// PutSequenceState notes how far a sequence has come.
func PutSequenceState(b *store.Batch, s schema.SequenceState) error {
	return SequenceStates().put(b, s)
}
