package ddl

import (
	"context"
	"fmt"
	"math"

	"kalamdb/internal/command"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
	"kalamdb/internal/store/catalog"
)

// CreateSequence runs CREATE SEQUENCE.
func (d *Definer) CreateSequence(ctx context.Context, actor schema.UserID, namespace string, s *parse.CreateSequence) (string, error) {
	if IsSystemNamespace(namespace) {
		return "", fault.New(fault.InvalidOperation, "sequences cannot be created in the system namespace '%s'", namespace)
	}
	if err := checkName("sequence", s.Sequence.Name); err != nil {
		return "", err
	}
	if _, ok := d.o.Definitions().Sequence(namespace, s.Sequence.Name); ok && s.IfNotExists {
		return fmt.Sprintf("Sequence %s.%s already exists (skipped)", namespace, s.Sequence.Name), nil
	}
	kind := s.Options.Type
	if kind == datum.Null {
		kind = datum.BigInt
	}
	q, err := d.defineSequence(namespace, s.Sequence.Name, kind, &s.Options, s.Sequence.Offset)
	if err != nil {
		return "", err
	}
	if err := d.ownSequence(d.o.Definitions(), q, &s.Options); err != nil {
		return "", err
	}
	if _, err := d.commit(ctx, actor, &command.CreateSequence{Sequence: *q}); err != nil {
		return "", err
	}
	return fmt.Sprintf("Sequence %s created successfully", q.QualifiedName()), nil
}

// ownSequence gives a sequence to the column of OWNED BY: it goes with it.
func (d *Definer) ownSequence(all *catalog.Definitions, q *schema.Sequence, o *parse.SequenceOptions) error {
	if o.NoOwner {
		q.Table, q.Column = 0, 0
	}
	if o.Owner.Name == "" {
		return nil
	}
	if o.Owner.Namespace == "" {
		o.Owner.Namespace = q.Namespace
	}
	t, ok := all.Table(o.Owner.Namespace, o.Owner.Name)
	if !ok {
		return d.missingTable(o.Owner.Namespace, o.Owner)
	}
	at := t.Column(o.OwnerColumn.Name)
	switch {
	case at < 0 || t.Columns[at].System != schema.NotSystem:
		return fault.At(fault.ColumnNotFound, o.OwnerColumn.Offset, "Column '%s' does not exist", o.OwnerColumn.Name)
	case t.Namespace != q.Namespace:
		return fault.At(fault.InvalidOperation, o.Owner.Offset, "a sequence must be in the namespace of the table that owns it: %s is not in %s", t.QualifiedName(), q.Namespace)
	}
	q.Table, q.Column = t.ID, t.Columns[at].ID
	return nil
}

// AlterSequence runs ALTER SEQUENCE; state reads how far the sequence has come.
func (d *Definer) AlterSequence(ctx context.Context, actor schema.UserID, namespace string, s *parse.AlterSequence, state func(*schema.Sequence) (schema.SequenceState, error)) (string, error) {
	from := s.Sequence.Name
	skipped := false
	err := d.redefine(ctx, actor, func(all *catalog.Definitions) (*command.Redefine, error) {
		q, ok := all.Sequence(namespace, from)
		if !ok {
			if skipped = s.IfExists; skipped {
				return nil, nil
			}
			return nil, fault.At(fault.ObjectNotFound, s.Sequence.Offset, "sequence %s.%s does not exist", namespace, from)
		}
		at, err := state(q)
		if err != nil {
			return nil, err
		}
		if s.NewName.Name != "" {
			return d.renameSequence(all, q, at, s.NewName)
		}
		return d.changeSequence(all, q, at, s)
	})
	switch {
	case err != nil:
		return "", err
	case skipped:
		return fmt.Sprintf("Sequence %s.%s does not exist (skipped)", namespace, from), nil
	case s.NewName.Name != "":
		return fmt.Sprintf("Sequence %s.%s renamed to %s", namespace, from, s.NewName.Name), nil
	}
	return fmt.Sprintf("Sequence %s.%s altered successfully", namespace, from), nil
}

// renameSequence follows a sequence into the defaults and views that draw from
// it.
func (d *Definer) renameSequence(all *catalog.Definitions, q *schema.Sequence, at schema.SequenceState, to parse.Name) (*command.Redefine, error) {
	if to.Name == q.Name {
		return nil, nil
	}
	if err := checkName("sequence", to.Name); err != nil {
		return nil, err
	}
	if err := d.free(q.Namespace, to.Name, to.Offset); err != nil {
		return nil, err
	}
	next := *q
	next.Name = to.Name
	moved := command.RedefinedSequence{From: schema.ObjectName{Namespace: q.Namespace, Name: q.Name}, Sequence: next}
	if !at.Ended {
		moved.Next = &at.Next
	}
	body := &command.Redefine{Sequences: []command.RedefinedSequence{moved}}
	return body, d.renameIn(all, body, parse.Renamed{Sequence: q.QualifiedName(), NewSequence: next.QualifiedName()})
}

// changeSequence makes the next definition of a sequence. The number to come
// stays, unless another step or RESTART moves it, and must lie within the bounds.
func (d *Definer) changeSequence(all *catalog.Definitions, q *schema.Sequence, at schema.SequenceState, s *parse.AlterSequence) (*command.Redefine, error) {
	o, offset := s.Options, s.Sequence.Offset
	if t, ok := all.TableByID(q.Table); ok && (o.NoOwner || o.Owner.Name != "") {
		if c := t.ColumnByID(q.Column); c >= 0 && t.Columns[c].Default != nil && t.Columns[c].Default.Sequence != nil {
			return nil, fault.At(fault.InvalidOperation, offset, "sequence %s belongs to a generated column of table %s and cannot have another owner", q.QualifiedName(), t.QualifiedName())
		}
	}
	kind := o.Type
	if kind == datum.Null {
		kind = kindHolding(q)
	}
	full := o
	keep := func(v **int64, none bool, old int64) {
		if *v == nil && !none {
			*v = &old
		}
	}
	keep(&full.Increment, false, q.Increment)
	keep(&full.Start, false, q.Start)
	// A bound that is that of its type follows the type and the direction.
	keep(&full.Min, o.NoMin || o.Type != datum.Null && q.Min == -mostOf(kindHolding(q))-1, q.Min)
	keep(&full.Max, o.NoMax || o.Type != datum.Null && q.Max == mostOf(kindHolding(q)), q.Max)
	full.Cycle = o.Cycle || q.Cycle && !o.NoCycle
	next, err := d.defineSequence(q.Namespace, q.Name, kind, &full, offset)
	if err != nil {
		return nil, err
	}
	next.Table, next.Column = q.Table, q.Column
	if err := d.ownSequence(all, next, &o); err != nil {
		return nil, err
	}
	changed := command.RedefinedSequence{From: schema.ObjectName{Namespace: q.Namespace, Name: q.Name}, Sequence: *next, Restart: o.Restart}
	if changed.Next, err = nextNumber(q, next, at, &o, offset); err != nil {
		return nil, err
	}
	return &command.Redefine{Sequences: []command.RedefinedSequence{changed}}, nil
}

// nextNumber is what a changed sequence gives out next, nil for what its state
// says.
func nextNumber(old, next *schema.Sequence, at schema.SequenceState, o *parse.SequenceOptions, offset int) (*int64, error) {
	to := at.Next
	switch {
	case o.RestartAt != nil:
		to = *o.RestartAt
	case o.Restart:
		to = next.Start
	case at.Ended:
		return nil, nil // it begins anew with CYCLE, or gives no number
	case at.Drawn && old.Increment != next.Increment:
		to += next.Increment - old.Increment
	}
	if to < next.Min || to > next.Max {
		word := "the number to come"
		if o.Restart {
			word = "RESTART"
		}
		return nil, fault.At(fault.InvalidDefinition, offset, "%s (%d) of a sequence must lie between %d and %d", word, to, next.Min, next.Max)
	}
	return &to, nil
}

// kindHolding is the least kind of integer whose bounds a sequence may have been
// given by its column.
func kindHolding(q *schema.Sequence) datum.Kind {
	for _, kind := range []datum.Kind{datum.SmallInt, datum.Int} {
		if most := mostOf(kind); q.Max == most || q.Min == -most-1 {
			return kind
		}
	}
	return datum.BigInt
}

// mostOf is the greatest number of a kind of integer.
func mostOf(kind datum.Kind) int64 {
	switch kind {
	case datum.SmallInt:
		return math.MaxInt16
	case datum.Int:
		return math.MaxInt32
	}
	return math.MaxInt64
}

// defineSequence builds a definition as PostgreSQL does.
func (d *Definer) defineSequence(namespace, name string, kind datum.Kind, o *parse.SequenceOptions, offset int) (*schema.Sequence, error) {
	most := mostOf(kind)
	q := &schema.Sequence{Namespace: namespace, Name: name, Increment: 1, Min: 1, Max: most, Cycle: o.Cycle, CreatedAt: d.now()}
	if o.Increment != nil {
		q.Increment = *o.Increment
	}
	if q.Increment < 0 {
		q.Min, q.Max = -most-1, -1
	}
	if o.Min != nil {
		q.Min = *o.Min
	}
	if o.Max != nil {
		q.Max = *o.Max
	}
	q.Start = q.Min
	if q.Increment < 0 {
		q.Start = q.Max
	}
	if o.Start != nil {
		q.Start = *o.Start
	}
	switch {
	case q.Increment == 0:
		return nil, fault.At(fault.InvalidDefinition, offset, "INCREMENT of a sequence must not be zero")
	case q.Min >= q.Max:
		return nil, fault.At(fault.InvalidDefinition, offset, "MINVALUE (%d) of a sequence must be less than MAXVALUE (%d)", q.Min, q.Max)
	case q.Max > most || q.Min < -most-1:
		return nil, fault.At(fault.OutOfRange, offset, "MINVALUE and MAXVALUE of a sequence must fit %s", kind)
	case q.Start < q.Min || q.Start > q.Max:
		return nil, fault.At(fault.InvalidDefinition, offset, "START (%d) of a sequence must lie between %d and %d", q.Start, q.Min, q.Max)
	}
	return q, nil
}

// defineSerial gives a column numbers of a sequence of its own.
func (d *Definer) defineSerial(t *schema.Table, c *schema.Column, def *parse.ColumnDef) error {
	o := def.Sequence
	if o == nil {
		o = &parse.SequenceOptions{}
	}
	base := t.Name + "_" + c.Name
	if most := maxName - len("_seq") - 4; len(base) > most {
		base = base[:most]
	}
	name := base + "_seq"
	for n := 1; d.sequenceTaken(t, name); n++ {
		name = fmt.Sprintf("%s_seq%d", base, n)
	}
	q, err := d.defineSequence(t.Namespace, name, c.Type.Kind, o, def.Name.Offset)
	if err != nil {
		return err
	}
	c.NotNull = true
	c.Default = &schema.Default{Function: schema.DefaultExpression, Text: "nextval('" + q.QualifiedName() + "')", Sequence: q}
	return nil
}

func (d *Definer) sequenceTaken(t *schema.Table, name string) bool {
	if d.o.Definitions().Relation(t.Namespace, name) != "" || t.HasIndexNamed(name) {
		return true
	}
	for i := range t.Columns {
		if o := t.Columns[i].Default; o != nil && o.Sequence != nil && o.Sequence.Name == name {
			return true
		}
	}
	return false
}

// DropSequence runs DROP SEQUENCE; it returns the name of what is gone.
func (d *Definer) DropSequence(ctx context.Context, actor schema.UserID, namespace string, s *parse.DropSequence) (message, gone string, err error) {
	q, ok := d.o.Definitions().Sequence(namespace, s.Sequence.Name)
	if !ok {
		if s.IfExists {
			return fmt.Sprintf("Sequence %s.%s does not exist (skipped)", namespace, s.Sequence.Name), "", nil
		}
		return "", "", fault.At(fault.ObjectNotFound, s.Sequence.Offset, "sequence %s.%s does not exist", namespace, s.Sequence.Name)
	}
	if t, ok := d.o.Definitions().TableByID(q.Table); ok {
		return "", "", fault.At(fault.InvalidOperation, s.Sequence.Offset, "sequence %s belongs to a column of table %s and goes with it", q.QualifiedName(), t.QualifiedName())
	}
	if _, err := d.commit(ctx, actor, &command.DropSequence{Namespace: q.Namespace, Name: q.Name}); err != nil {
		return "", "", err
	}
	return fmt.Sprintf("Sequence %s dropped successfully", q.QualifiedName()), q.QualifiedName(), nil
}
