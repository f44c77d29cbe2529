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
	if _, err := d.commit(ctx, actor, &command.CreateSequence{Sequence: *q}); err != nil {
		return "", err
	}
	return fmt.Sprintf("Sequence %s created successfully", q.QualifiedName()), nil
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
	if _, ok := d.o.Definitions().Sequence(t.Namespace, name); ok {
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
