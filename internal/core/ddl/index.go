package ddl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"kalamdb/internal/command"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// CreateIndex runs CREATE INDEX. On a table with rows it waits until the index
// holds them all; others write meanwhile.
func (d *Definer) CreateIndex(ctx context.Context, actor schema.UserID, namespace string, s *parse.CreateIndex) (string, error) {
	t, ok := d.o.Definitions().Table(namespace, s.Table.Name)
	if !ok {
		if s.IfExists {
			return fmt.Sprintf("Table %s.%s does not exist (skipped)", namespace, s.Table.Name), nil
		}
		return "", d.missingTable(namespace, s.Table)
	}
	if s.Metric != "" {
		return d.createVectorIndex(ctx, actor, t, s)
	}
	if s.IfNotExists && d.indexNamed(namespace, s.Index.Name) {
		return fmt.Sprintf("Index %s.%s already exists (skipped)", namespace, s.Index.Name), nil
	}
	next := t.Clone()
	next.Version++
	next.UpdatedAt = d.now()
	x := schema.Index{Name: s.Index.Name, Unique: s.Unique}
	if err := d.addIndex(next, x, s.Columns, s.Index.Offset); err != nil {
		return "", err
	}
	receipt, err := d.commit(ctx, actor, &command.AlterTable{Table: *next, FromVersion: t.Version, Empty: true})
	if errors.Is(err, command.ErrNotEmpty) {
		next.Indexes[len(next.Indexes)-1].Building = true
		receipt, err = d.commit(ctx, actor, &command.AlterTable{Table: *next, FromVersion: t.Version})
	}
	if err == nil {
		err = d.buildIndexes(ctx, actor, receipt.Table)
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("Index %s created on table %s (version %d)", s.Index.Name, t.QualifiedName(), next.Version), nil
}

// buildIndexes waits until the indexes that are being built hold every row. The
// indexes of other statements that wait for theirs are left to them.
func (d *Definer) buildIndexes(ctx context.Context, actor schema.UserID, t *schema.Table) error {
	for i := range t.Indexes {
		if x := &t.Indexes[i]; x.Building && x.Since == t.Version {
			if err := d.o.BuildIndex(ctx, actor, t.ID, x.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// DropIndex runs DROP INDEX.
func (d *Definer) DropIndex(ctx context.Context, actor schema.UserID, namespace string, s *parse.DropIndex) (string, error) {
	t, at, ok := d.findIndex(namespace, s.Index.Name)
	if s.Table.Name != "" {
		named, known := d.o.Definitions().Table(namespace, s.Table.Name)
		switch {
		case !known && s.TableExists:
			return fmt.Sprintf("Table %s.%s does not exist (skipped)", namespace, s.Table.Name), nil
		case !known:
			return "", d.missingTable(namespace, s.Table)
		}
		ok = ok && t.ID == named.ID && !s.Vector
		if !ok {
			t = named
		}
	}
	if !ok {
		if x := d.vectorIndex(namespace, t, s); x.table != nil {
			return d.dropVectorIndex(ctx, actor, x)
		}
	}
	switch {
	case !ok && s.IfExists:
		return fmt.Sprintf("Index %s.%s does not exist (skipped)", namespace, s.Index.Name), nil
	case !ok:
		return "", fault.At(fault.ObjectNotFound, s.Index.Offset, "index '%s' does not exist", s.Index.Name)
	case t.Indexes[at].Constraint:
		return "", fault.At(fault.InvalidOperation, s.Index.Offset, "index '%s' belongs to a UNIQUE constraint of table %s; use ALTER TABLE … DROP CONSTRAINT %s",
			s.Index.Name, t.QualifiedName(), s.Index.Name)
	}
	next := t.Clone()
	next.Version++
	next.UpdatedAt = d.now()
	next.Indexes = slices.Delete(next.Indexes, at, at+1)
	if _, err := d.commit(ctx, actor, &command.AlterTable{Table: *next, FromVersion: t.Version}); err != nil {
		return "", err
	}
	return fmt.Sprintf("Index %s dropped from table %s (version %d)", s.Index.Name, t.QualifiedName(), next.Version), nil
}

// findIndex returns the table that has an index, and where.
func (d *Definer) findIndex(namespace, name string) (*schema.Table, int, bool) {
	t, at, ok := d.o.Definitions().Index(namespace, name)
	return t, at, ok && at >= 0
}

// addIndex adds an index on columns to the next version of a table.
func (d *Definer) addIndex(t *schema.Table, x schema.Index, columns []parse.Name, offset int) error {
	switch {
	case t.Present():
		return fault.At(fault.InvalidOperation, offset, "a table with PRESENCE cannot have an index or a UNIQUE constraint")
	case t.Kind == schema.Stream:
		return fault.At(fault.InvalidOperation, offset, "a STREAM table cannot have an index or a UNIQUE constraint")
	case len(t.Indexes) >= schema.MaxIndexes:
		return fault.At(fault.LimitExceeded, offset, "a table may have at most %d indexes", schema.MaxIndexes)
	case len(columns) > schema.MaxIndexColumns:
		return fault.At(fault.LimitExceeded, offset, "an index may have at most %d columns", schema.MaxIndexColumns)
	}
	for _, n := range columns {
		id, err := indexColumn(t, n)
		if err != nil {
			return err
		}
		if slices.Contains(x.Columns, id) {
			return fault.At(fault.InvalidDefinition, n.Offset, "column '%s' appears twice in the index", n.Name)
		}
		x.Columns = append(x.Columns, id)
	}
	if x.Name == "" {
		x.Name = d.freeIndexName(t, columns, "_key")
	}
	if err := checkName("index", x.Name); err != nil {
		return err
	}
	if err := d.free(t.Namespace, x.Name, offset); err != nil {
		return err
	}
	switch {
	case t.HasIndexNamed(x.Name):
		return fault.At(fault.AlreadyExists, offset, "Index %s.%s already exists", t.Namespace, x.Name)
	case t.Name == x.Name:
		return fault.At(fault.AlreadyExists, offset, "Table %s already exists", t.QualifiedName())
	}
	x.Since = t.Version
	t.Indexes = append(t.Indexes, x)
	return nil
}

// indexColumn finds a column whose values an index can hold in order.
func indexColumn(t *schema.Table, n parse.Name) (schema.ColumnID, error) {
	at := t.Column(n.Name)
	if at < 0 {
		return 0, fault.At(fault.ColumnNotFound, n.Offset, "Column '%s' does not exist", n.Name)
	}
	c := &t.Columns[at]
	if c.System != schema.NotSystem {
		return 0, fault.At(fault.InvalidDefinition, n.Offset, "column '%s' cannot be indexed: it is a system column", n.Name)
	}
	switch c.Type.Kind {
	case datum.Bool, datum.SmallInt, datum.Int, datum.BigInt, datum.Float, datum.Double, datum.Decimal, datum.Text, datum.Bytes,
		datum.UUID, datum.Date, datum.Time, datum.Timestamp, datum.DateTime:
		return c.ID, nil
	}
	return 0, fault.At(fault.InvalidDefinition, n.Offset, "column '%s' of type %s cannot be indexed; JSON, FILE, EMBEDDING and arrays have no order", n.Name, c.Type)
}

// freeIndexName names the index of a UNIQUE constraint as PostgreSQL does: after
// the table and its columns.
func (d *Definer) freeIndexName(t *schema.Table, columns []parse.Name, suffix string) string {
	parts := []string{t.Name}
	for _, c := range columns {
		parts = append(parts, c.Name)
	}
	name := strings.Join(parts, "_")
	if most := maxName - len(suffix) - 4; len(name) > most {
		name = name[:most]
	}
	name += suffix
	for n := 0; ; n++ {
		free := name
		if n > 0 {
			free += strconv.Itoa(n)
		}
		if d.o.Definitions().Relation(t.Namespace, free) == "" && !t.HasIndexNamed(free) {
			return free
		}
	}
}

// addUnique adds the indexes of UNIQUE constraints to a definition.
func (d *Definer) addUnique(t *schema.Table, list []parse.UniqueDef, building bool) error {
	for i := range list {
		u := &list[i]
		if u.Name.Name != "" && t.Check(u.Name.Name) >= 0 {
			return fault.At(fault.AlreadyExists, u.Name.Offset, "constraint '%s' of table %s already exists", u.Name.Name, t.QualifiedName())
		}
		x := schema.Index{Name: u.Name.Name, Unique: true, Constraint: true, Building: building}
		if err := d.addIndex(t, x, u.Columns, u.Columns[0].Offset); err != nil {
			return err
		}
	}
	return nil
}

// refuseIndexed refuses a change of a column that an index holds.
func (a *alteration) refuseIndexed(id schema.ColumnID, verb, rest string) error {
	name := ""
	if x := a.old.IndexOf(id); x != nil {
		name = x.Name
	} else if x := a.old.VectorIndexOf(id); x != nil {
		name = x.Name
	} else {
		return nil
	}
	c := &a.old.Columns[a.old.ColumnByID(id)]
	return fault.At(fault.InvalidOperation, a.s.Column.Offset, "Cannot %s column '%s'%s: index '%s' holds it; drop the index first", verb, c.Name, rest, name)
}

// dropUnique drops the index of a UNIQUE constraint, if there is one of that
// name.
func (a *alteration) dropUnique(name string) bool {
	at := a.old.Index(name)
	if at < 0 || !a.old.Indexes[at].Constraint {
		return false
	}
	a.next.Indexes = slices.Delete(a.next.Indexes, at, at+1)
	a.changed = true
	return true
}

// renameUnique renames a UNIQUE constraint with its index.
func (a *alteration) renameUnique(at int) error {
	to := a.s.NewName
	if to.Name == a.s.Column.Name {
		return nil
	}
	if err := checkName("constraint", to.Name); err != nil {
		return err
	}
	if err := a.definer.free(a.old.Namespace, to.Name, to.Offset); err != nil {
		return err
	}
	if a.old.Check(to.Name) >= 0 {
		return fault.At(fault.AlreadyExists, to.Offset, "constraint '%s' of table %s already exists", to.Name, a.old.QualifiedName())
	}
	a.next.Indexes[at].Name, a.changed = to.Name, true
	return nil
}

// recoverIndexes drops the indexes whose statement ended, in a crash, before they
// held every row.
func (d *Definer) recoverIndexes(ctx context.Context) error {
	var unfinished []*schema.Table
	for t := range d.o.Definitions().AllTables() {
		if slices.ContainsFunc(t.Indexes, func(x schema.Index) bool { return x.Building }) {
			unfinished = append(unfinished, t)
		}
	}
	for _, t := range unfinished {
		next := t.Clone()
		next.Version++
		next.UpdatedAt = d.now()
		next.Indexes = slices.DeleteFunc(next.Indexes, func(x schema.Index) bool { return x.Building })
		if _, err := d.commit(ctx, "", &command.AlterTable{Table: *next, FromVersion: t.Version}); err != nil {
			return fmt.Errorf("drop the unfinished indexes of table %d: %w", t.ID, err)
		}
	}
	return nil
}
