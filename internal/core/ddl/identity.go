package ddl

import (
	"fmt"
	"strings"

	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// changeIdentity makes a column GENERATED AS IDENTITY, says anew who gives its
// numbers, or lets it be a plain column. Rows that are there keep theirs; the
// sequence of the column comes and goes with its default.
func (a *alteration) changeIdentity(c *schema.Column) error {
	offset := a.s.Column.Offset
	if a.s.Action == parse.AddIdentity {
		return a.addIdentity(c)
	}
	a.what = fmt.Sprintf("ALTER COLUMN %s DROP IDENTITY", c.Name)
	if a.s.Action == parse.SetIdentity {
		a.what = fmt.Sprintf("ALTER COLUMN %s SET GENERATED %s", c.Name, strings.ToUpper(a.s.Definition.Identity))
	}
	switch {
	case c.Identity == "" && a.s.Guard:
		return nil
	case c.Identity == "":
		return fault.At(fault.InvalidOperation, offset, "column '%s' of table %s is not an IDENTITY", c.Name, a.old.QualifiedName())
	case a.s.Action == parse.DropIdentity:
		c.Identity, c.Default, a.changed = "", nil, true
		return nil
	}
	next := schema.Identity(a.s.Definition.Identity)
	a.changed = c.Identity != next
	c.Identity = next
	return nil
}

// addIdentity numbers a column that is NOT NULL and has no default.
func (a *alteration) addIdentity(c *schema.Column) error {
	def, offset := *a.s.Definition, a.s.Column.Offset
	a.what = fmt.Sprintf("ALTER COLUMN %s ADD GENERATED %s AS IDENTITY", c.Name, strings.ToUpper(def.Identity))
	switch {
	case c.Identity != "":
		return fault.At(fault.InvalidOperation, offset, "column '%s' of table %s is an IDENTITY already", c.Name, a.old.QualifiedName())
	case c.Default != nil:
		return fault.At(fault.InvalidOperation, offset, "column '%s' of table %s has a DEFAULT already; drop it first", c.Name, a.old.QualifiedName())
	case !c.NotNull:
		return fault.At(fault.InvalidOperation, offset, "column '%s' of table %s must be NOT NULL before it becomes an IDENTITY", c.Name, a.old.QualifiedName())
	}
	def.Type = c.Type
	if err := a.definer.defineNumbers(a.old, c, &def); err != nil {
		return err
	}
	c.Identity, a.changed = schema.Identity(def.Identity), true
	return nil
}
