package ddl

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"kalamdb/internal/command"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// alteration is one ALTER TABLE on its way from a table version to the next.
type alteration struct {
	definer *Definer
	actor   schema.UserID
	old     *schema.Table
	next    *schema.Table
	s       *parse.AlterTable
	// what says what is done, as messages show it.
	what string
	// changed is set by a form that has an effect.
	changed bool
	// proof says that rows which are there must be looked at first.
	proof bool
	// empty is why the table must have no rows, or nil.
	empty error
}

// AlterTable runs ALTER TABLE. Each change that has an effect makes the next
// version of the table.
func (d *Definer) AlterTable(ctx context.Context, actor schema.UserID, namespace string, s *parse.AlterTable) (string, error) {
	t, ok := d.o.Definitions().Table(namespace, s.Table.Name)
	if !ok {
		if s.IfExists {
			return fmt.Sprintf("Table %s.%s does not exist (skipped)", namespace, s.Table.Name), nil
		}
		return "", d.missingTable(namespace, s.Table)
	}
	a := &alteration{definer: d, actor: actor, old: t, next: t.Clone(), s: s}
	a.next.Version++
	a.next.UpdatedAt = d.now()
	if err := a.change(); err != nil {
		return "", err
	}
	if !a.changed {
		return fmt.Sprintf("Table %s unchanged: %s (version %d - no changes needed)", t.QualifiedName(), a.what, t.Version), nil
	}
	if err := a.commit(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("Table %s altered successfully: %s (version %d)", t.QualifiedName(), a.what, a.next.Version), nil
}

// missingTable is the fault for a name that no table has.
func (d *Definer) missingTable(namespace string, n parse.Name) error {
	if _, ok := d.o.Definitions().View(namespace, n.Name); ok {
		return fault.At(fault.InvalidOperation, n.Offset, "%s.%s is a view, not a table", namespace, n.Name)
	}
	return fault.New(fault.TableNotFound, "table %s.%s does not exist", namespace, n.Name)
}

// change makes the next version.
func (a *alteration) change() error {
	s := a.s
	if a.old.Present() && !(s.Action == parse.SetProperties && len(s.Properties) == 1 && s.Properties[0].Name == "ACCESS_LEVEL") {
		return fault.New(fault.InvalidOperation, "table %s has PRESENCE and cannot be altered but for its access level; drop it and create it again: nothing of it is stored", a.old.QualifiedName())
	}
	switch s.Action {
	case parse.SetProperties:
		return a.setProperties()
	case parse.AddColumn:
		return a.addColumn()
	case parse.AddConstraint:
		return a.addConstraint()
	case parse.DropConstraint:
		return a.dropConstraint()
	case parse.RenameConstraint:
		return a.renameConstraint()
	case parse.RenameTable:
		return a.renameTable()
	case parse.DropColumn:
		if s.Guard && a.old.Column(s.Column.Name) < 0 {
			a.what = "DROP COLUMN " + s.Column.Name
			return nil
		}
	}
	at, err := a.column(s.Column)
	if err != nil {
		return err
	}
	c := &a.next.Columns[at]
	switch s.Action {
	case parse.DropColumn:
		return a.dropColumn(at)
	case parse.ModifyColumn:
		a.what = fmt.Sprintf("MODIFY COLUMN %s %s", c.Name, s.Definition.Type)
		return a.modifyColumn(at)
	case parse.SetType:
		a.what = fmt.Sprintf("ALTER COLUMN %s TYPE %s", c.Name, s.Definition.Type)
		return a.setType(at)
	case parse.SetNotNull:
		a.what = fmt.Sprintf("ALTER COLUMN %s SET NOT NULL", c.Name)
		a.setNotNull(c)
		return nil
	case parse.DropNotNull:
		a.what = fmt.Sprintf("ALTER COLUMN %s DROP NOT NULL", c.Name)
		return a.dropNotNull(at)
	case parse.SetDefault, parse.DropDefault:
		return a.setDefault(c)
	case parse.AddIdentity, parse.SetIdentity, parse.DropIdentity:
		return a.changeIdentity(c)
	case parse.RenameColumn:
		return a.renameColumn(c)
	}
	return fault.New(fault.NotImplemented, "ALTER TABLE %s is not supported yet", s.Action)
}

// column finds a column that may be changed.
func (a *alteration) column(n parse.Name) (int, error) {
	at := a.old.Column(n.Name)
	if at < 0 {
		return 0, fault.At(fault.ColumnNotFound, n.Offset, "Column '%s' does not exist", n.Name)
	}
	if a.old.Columns[at].System == schema.NotSystem {
		return at, nil
	}
	verb, rest := "alter", "altered"
	if a.s.Action == parse.DropColumn {
		verb, rest = "drop", "modified"
	} else if a.s.Action == parse.ModifyColumn {
		verb = "modify"
	} else if a.s.Action == parse.RenameColumn {
		verb, rest = "rename", "renamed"
	}
	return 0, fault.At(fault.InvalidOperation, n.Offset, "Cannot %s column '%s': system column cannot be %s", verb, n.Name, rest)
}

// addColumn appends a column. Rows that are there show its default, as far as
// that is one value for all of them.
func (a *alteration) addColumn() error {
	def := a.s.Definition
	name := def.Name.Name
	a.what = "ADD COLUMN " + name
	if strings.HasPrefix(name, "_") {
		return fault.At(fault.InvalidDefinition, def.Name.Offset, "Cannot add column '%s': reserved system column name", name)
	}
	if a.old.Column(name) >= 0 {
		if a.s.Guard {
			return nil
		}
		return fault.At(fault.AlreadyExists, def.Name.Offset, "Column '%s' already exists", name)
	}
	if len(a.old.Columns) >= maxColumns {
		return fault.New(fault.LimitExceeded, "a table may have at most %d columns", maxColumns)
	}
	c, err := a.definer.defineColumn(a.old, def)
	if err != nil {
		return err
	}
	c.ID, c.Since = a.next.NextColumnID, a.next.Version
	a.next.NextColumnID++
	if err := a.fillOld(&c); err != nil {
		return err
	}
	a.next.Columns = append(a.next.Columns, c)
	a.changed = true
	if err := a.definer.refuseForeign(a.s.Foreign); err != nil {
		return err
	}
	if len(a.s.Unique) > 0 && len(c.Missing) > 0 {
		a.empty = fault.At(fault.InvalidOperation, def.Name.Offset,
			"column '%s' cannot be added as UNIQUE with a default: every row of table %s would have the same value", name, a.old.QualifiedName())
	}
	if err := a.definer.addUnique(a.next, a.s.Unique, true); err != nil {
		return err
	}
	return a.addChecks(a.s.Checks)
}

// fillOld decides what rows show that are older than a column.
func (a *alteration) fillOld(c *schema.Column) error {
	offset := a.s.Definition.Name.Offset
	v, one, err := a.definer.valueForAll(c, a.actor)
	if err != nil {
		return err
	}
	switch {
	case !one:
		a.empty = fault.At(fault.InvalidOperation, offset,
			"column '%s' cannot be added with a default that differs from row to row, for table %s is not empty; add it without a default, UPDATE the rows, then SET DEFAULT",
			c.Name, a.old.QualifiedName())
	case !v.IsNull():
		c.Missing = datum.AppendValue(nil, v)
	case c.NotNull:
		a.empty = fault.At(fault.NotNull, offset,
			"column '%s' cannot be added as NOT NULL without a DEFAULT: one is required, for table %s is not empty", c.Name, a.old.QualifiedName())
	}
	return nil
}

// dropColumn removes a column for good: its number is never given again. The
// constraints that read it go with it, as in PostgreSQL.
func (a *alteration) dropColumn(at int) error {
	c := a.old.Columns[at]
	a.what = "DROP COLUMN " + c.Name
	switch {
	case a.old.IsKey(at):
		return fault.At(fault.InvalidOperation, a.s.Column.Offset, "Cannot drop column '%s': it is part of the PRIMARY KEY", c.Name)
	case a.old.IndexOf(c.ID) != nil, a.old.VectorIndexOf(c.ID) != nil:
		return a.refuseIndexed(c.ID, "drop", "")
	case userColumns(a.old) == 1:
		return fault.At(fault.InvalidOperation, a.s.Column.Offset, "Cannot drop column '%s': it is the last one of the table", c.Name)
	}
	a.next.Columns = append(a.next.Columns[:at], a.next.Columns[at+1:]...)
	a.dropChecksOf(c.ID)
	a.changed = true
	return nil
}

func userColumns(t *schema.Table) (n int) {
	for i := range t.Columns {
		if t.Columns[i].System == schema.NotSystem {
			n++
		}
	}
	return n
}

// modifyColumn changes type and nullability; what is not written stays.
func (a *alteration) modifyColumn(at int) error {
	c, def := &a.next.Columns[at], a.s.Definition
	if def.NotNull && def.Null {
		return fault.At(fault.InvalidDefinition, def.Name.Offset, "column '%s' is declared both NULL and NOT NULL", c.Name)
	}
	if err := a.setType(at); err != nil {
		return err
	}
	if def.NotNull {
		a.setNotNull(c)
	}
	if def.Null {
		return a.dropNotNull(at)
	}
	return nil
}

// setType widens a column. Stored rows are not rewritten, they are converted
// when they are read; so no value may be lost or fail.
func (a *alteration) setType(at int) error {
	c, def := &a.next.Columns[at], a.s.Definition
	if def.Unsupported != "" {
		return fault.At(fault.NotImplemented, def.Name.Offset, "column '%s': %s is not supported here", c.Name, def.Unsupported)
	}
	from, to := c.Type, def.Type
	if from == to {
		return nil
	}
	switch {
	case !widens(from, to):
		return fault.At(fault.InvalidOperation, def.Name.Offset,
			"column '%s' of type %s cannot become %s: a type can only be widened, such as INT to BIGINT, FLOAT to DOUBLE, DECIMAL to more digits, or anything to TEXT", c.Name, from, to)
	case c.Identity != "" && !to.Kind.IsInteger():
		return fault.At(fault.InvalidOperation, def.Name.Offset, "column '%s' is an IDENTITY and cannot become %s; use ALTER COLUMN %s DROP IDENTITY first", c.Name, to, c.Name)
	case a.old.IsKey(at) && !sameKeyForm(from, to):
		return fault.At(fault.InvalidOperation, def.Name.Offset, "column '%s' is part of the PRIMARY KEY and cannot become %s", c.Name, to)
	}
	if !sameKeyForm(from, to) {
		if err := a.refuseIndexed(c.ID, "modify", " to "+to.String()); err != nil {
			return err
		}
	}
	c.Type = to
	if err := retypeDefault(c, def.Name.Offset); err != nil {
		return err
	}
	a.changed = true
	return a.rebindChecks()
}

// widens reports whether every value of one type is one of another, in the same
// spelling where that is text.
func widens(from, to datum.Type) bool {
	switch {
	case to.Kind == datum.Text:
		return from.Kind != datum.File
	case from.Kind.IsInteger() && to.Kind.IsInteger():
		return from.Kind < to.Kind
	case from.Kind == datum.Float && to.Kind == datum.Double:
		return true
	case from.Kind == datum.Decimal && to.Kind == datum.Decimal:
		return to.Scale >= from.Scale && to.Precision-to.Scale >= from.Precision-from.Scale
	}
	return false
}

// sameKeyForm reports whether a widened key has the bytes that it had before.
func sameKeyForm(from, to datum.Type) bool {
	return from.Kind.IsInteger() && to.Kind.IsInteger() || from.Kind == to.Kind || from.Kind == datum.Float && to.Kind == datum.Double ||
		from.Kind == datum.JSON && to.Kind == datum.Text
}

// retypeDefault gives a literal default the new type of its column; what
// generates values has to fit it.
func retypeDefault(c *schema.Column, offset int) error {
	d := c.Default
	if d == nil || d.Function != "" || len(d.Literal) == 0 {
		return nil
	}
	v, _, err := datum.DecodeValue(d.Literal)
	if err == nil {
		v, err = datum.Cast(v, c.Type)
	}
	if err != nil {
		return fault.At(fault.InvalidOperation, offset, "the default of column '%s' is not of type %s; change it first", c.Name, c.Type)
	}
	c.Default = &schema.Default{Literal: datum.AppendValue(nil, v), Text: d.Text}
	return nil
}

// setNotNull asks that every row has a value, those that are there too.
func (a *alteration) setNotNull(c *schema.Column) {
	if c.NotNull {
		return
	}
	c.NotNull, c.Unproven = true, true
	a.changed, a.proof = true, true
}

func (a *alteration) dropNotNull(at int) error {
	c := &a.next.Columns[at]
	if a.old.IsKey(at) {
		return fault.At(fault.InvalidOperation, a.s.Column.Offset, "Column '%s' is a PRIMARY KEY and cannot be nullable", c.Name)
	}
	if c.Identity != "" {
		return fault.At(fault.InvalidOperation, a.s.Column.Offset, "column '%s' is an IDENTITY and cannot be NULL", c.Name)
	}
	if c.NotNull {
		c.NotNull, c.Unproven, a.changed = false, false, true
	}
	return nil
}

// setDefault changes what new rows get; rows that are there stay as they are.
func (a *alteration) setDefault(c *schema.Column) error {
	a.what = fmt.Sprintf("ALTER COLUMN %s DROP DEFAULT", c.Name)
	if c.Identity != "" {
		return fault.At(fault.InvalidOperation, a.s.Column.Offset, "column '%s' is an IDENTITY, so its default stays; use ALTER COLUMN %s DROP IDENTITY", c.Name, c.Name)
	}
	var d *schema.Default
	if a.s.Action == parse.SetDefault {
		a.what = fmt.Sprintf("ALTER COLUMN %s SET DEFAULT", c.Name)
		def := *a.s.Definition
		def.Type = c.Type
		var err error
		if d, err = a.definer.defineDefault(&def); err != nil {
			return err
		}
	}
	a.changed = !sameDefault(c.Default, d)
	c.Default = d
	return nil
}

func sameDefault(a, b *schema.Default) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Function == b.Function && a.Text == b.Text && string(a.Literal) == string(b.Literal)
}

// renameColumn gives a column another name; what is stored names it by number.
func (a *alteration) renameColumn(c *schema.Column) error {
	from, to := a.s.Column.Name, a.s.NewName.Name
	a.what = fmt.Sprintf("RENAME COLUMN %s TO %s", from, to)
	if from == to {
		return nil
	}
	if strings.HasPrefix(to, "_") {
		return fault.At(fault.InvalidDefinition, a.s.NewName.Offset, "Cannot rename column '%s' to '%s': reserved system column name", from, to)
	}
	if err := checkColumnName(to); err != nil {
		return err
	}
	if a.old.Column(to) >= 0 {
		return fault.At(fault.AlreadyExists, a.s.NewName.Offset, "Column '%s' already exists", to)
	}
	for i := range a.next.Checks {
		text, err := parse.RenameColumns(a.next.Checks[i].Text, from, to)
		if err != nil {
			return err
		}
		a.next.Checks[i].Text = text
	}
	c.Name, a.changed = to, true
	return a.rebindChecks()
}

// renameTable gives a table another name in its namespace. Its files stay in
// the folder where they are.
func (a *alteration) renameTable() error {
	to := a.s.NewName.Name
	a.what = "RENAME TO " + to
	if to == a.old.Name {
		return nil
	}
	if err := checkName("table", to); err != nil {
		return err
	}
	a.definer.pinFolder(a.next)
	a.next.Name, a.changed = to, true
	return nil
}

// commit proposes the change, after the rows have been looked at where it says
// something of them.
func (a *alteration) commit(ctx context.Context) error {
	d := a.definer
	body := &command.AlterTable{Table: *a.next, FromVersion: a.old.Version, Empty: a.empty != nil}
	if !a.proof {
		receipt, err := d.commit(ctx, a.actor, body)
		if errors.Is(err, command.ErrNotEmpty) {
			return a.empty
		}
		if err != nil {
			return err
		}
		return d.buildIndexes(ctx, a.actor, receipt.Table)
	}
	upTo, err := d.o.Verify(ctx, a.next, 0)
	if err != nil {
		return err
	}
	receipt, err := d.commit(ctx, a.actor, body)
	if errors.Is(err, command.ErrNotEmpty) {
		return a.empty
	}
	if err != nil {
		return err
	}
	// From here on nobody writes a row that breaks the constraint; what was
	// written since the first look is looked at now.
	_, broken := d.o.Verify(ctx, receipt.Table, upTo)
	if err := d.settle(context.WithoutCancel(ctx), a.actor, receipt.Table.ID, broken == nil); err != nil {
		return err
	}
	if broken != nil {
		return broken
	}
	return d.buildIndexes(ctx, a.actor, receipt.Table)
}

// settle ends the doubt about the unproven constraints of a table: they hold,
// or they are taken back.
func (d *Definer) settle(ctx context.Context, actor schema.UserID, id schema.TableID, holds bool) error {
	for {
		t, ok := d.o.Definitions().TableByID(id)
		if !ok || !t.Unproven() {
			return nil
		}
		next := t.Clone()
		for i := range next.Columns {
			if c := &next.Columns[i]; c.Unproven {
				c.Unproven, c.NotNull = false, holds
			}
		}
		next.Checks = next.Checks[:0]
		for _, c := range t.Checks {
			if c.Unproven && !holds {
				continue
			}
			c.Unproven = false
			next.Checks = append(next.Checks, c)
		}
		_, err := d.commit(ctx, actor, &command.AmendTable{Table: *next, FromVersion: t.Version})
		if !errors.Is(err, command.ErrStaleSchema) {
			return err
		}
	}
}

// Recover takes back the constraints whose statement ended, in a crash, before
// all rows were looked at. It runs before statements do.
func (d *Definer) Recover(ctx context.Context) error {
	var doubtful []schema.TableID
	for t := range d.o.Definitions().AllTables() {
		if t.Unproven() {
			doubtful = append(doubtful, t.ID)
		}
	}
	for _, id := range doubtful {
		if err := d.settle(ctx, "", id, false); err != nil {
			return fmt.Errorf("settle the constraints of table %d: %w", id, err)
		}
	}
	return d.recoverIndexes(ctx)
}
