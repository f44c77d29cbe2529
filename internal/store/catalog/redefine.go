package catalog

import (
	"encoding/binary"
	"hash/fnv"

	"kalamdb/internal/schema"
)

// Digest tells definitions from others: namespaces, tables, views and sequences
// with their versions. Equal definitions have equal digests on every node, also
// after a restart.
func (d *Definitions) Digest() uint64 {
	h := fnv.New64a()
	var number [8]byte
	put := func(name string, numbers ...int64) {
		h.Write([]byte(name))
		h.Write([]byte{0})
		for _, n := range numbers {
			binary.BigEndian.PutUint64(number[:], uint64(n))
			h.Write(number[:])
		}
	}
	for name, n := range d.namespaces.all() {
		put(name, n.definition.UpdatedAt)
		for _, v := range n.views.all() {
			put(v.Name, int64(v.Version), v.CreatedAt, v.UpdatedAt)
		}
		for _, s := range n.sequences.all() {
			put(s.Name, s.Start, s.Increment, s.Min, s.Max, s.CreatedAt, int64(s.Table), int64(s.Column))
		}
		for _, t := range n.tables.all() {
			put(t.Name, int64(t.ID), int64(t.Version), t.UpdatedAt, unsettled(t))
		}
	}
	return h.Sum64()
}

// unsettled counts what is still being looked at in a table: it ends without a
// new version.
func unsettled(t *schema.Table) (n int64) {
	for i := range t.Indexes {
		if t.Indexes[i].Building {
			n++
		}
	}
	for i := range t.Columns {
		if t.Columns[i].Unproven {
			n++
		}
	}
	for i := range t.Checks {
		if t.Checks[i].Unproven {
			n++
		}
	}
	return n
}

// RenameNamespace gives a namespace another name, and so its sequences. Its
// tables and views are for the caller to put, under their new names.
func (e *Edit) RenameNamespace(from string, n schema.Namespace) error {
	if err := Namespaces().Insert(e.Reader, e.Batch, n); err != nil {
		return err
	}
	if err := Namespaces().Delete(e.Reader, e.Batch, from); err != nil {
		return err
	}
	d := e.copy()
	d.namespaces = d.namespaces.without(from).with(n.Name, namespace{definition: &n})
	for s := range e.Definitions.Sequences(from) {
		next := *s
		next.Namespace = n.Name
		if err := e.moveSequence(s.QualifiedName(), &next, nil, false); err != nil {
			return err
		}
		d.putSequence(&next)
	}
	for v := range e.Definitions.Views(from) {
		if err := StoredViews().Delete(e.Reader, e.Batch, v.QualifiedName()); err != nil {
			return err
		}
	}
	e.Definitions = d
	return nil
}

// RedefineTable puts another definition of the same version in the place of a
// table's.
func (e *Edit) RedefineTable(t *schema.Table) error { return e.putTable(t) }

// RedefineView puts a view in the place of one that may have another name.
func (e *Edit) RedefineView(from schema.ObjectName, v *schema.View) error {
	d := e.copy()
	if n, ok := d.namespaces.get(from.Namespace); ok {
		if err := StoredViews().Delete(e.Reader, e.Batch, from.Namespace+"."+from.Name); err != nil {
			return err
		}
		n.views = n.views.without(from.Name)
		d.namespaces = d.namespaces.with(from.Namespace, n)
	}
	if err := StoredViews().put(e.Batch, *v); err != nil {
		return err
	}
	d.putView(v)
	e.Definitions = d
	return nil
}

// RedefineSequence puts a sequence in the place of one that may have another
// name; next is the number to give out next, nil for the one that stands; restart says
// that it has not been drawn before.
func (e *Edit) RedefineSequence(from schema.ObjectName, s *schema.Sequence, next *int64, restart bool) error {
	if err := e.moveSequence(from.Namespace+"."+from.Name, s, next, restart); err != nil {
		return err
	}
	d := e.copy()
	if n, ok := d.namespaces.get(from.Namespace); ok {
		n.sequences = n.sequences.without(from.Name)
		d.namespaces = d.namespaces.with(from.Namespace, n)
	}
	d.putSequence(s)
	e.Definitions = d
	return nil
}

// moveSequence writes a sequence, and how far it has come, under its name.
func (e *Edit) moveSequence(from string, s *schema.Sequence, next *int64, restart bool) error {
	state, ok, err := SequenceStates().Get(e.Reader, from)
	if err != nil {
		return err
	}
	if !ok {
		return SequenceStates().notFound(from)
	}
	if next != nil {
		state.Next, state.Ended, state.Drawn = *next, false, state.Drawn && !restart
	}
	state.Namespace, state.Name = s.Namespace, s.Name
	if err := Sequences().Delete(e.Reader, e.Batch, from); err != nil {
		return err
	}
	if err := SequenceStates().Delete(e.Reader, e.Batch, from); err != nil {
		return err
	}
	if err := Sequences().put(e.Batch, *s); err != nil {
		return err
	}
	return SequenceStates().put(e.Batch, state)
}
