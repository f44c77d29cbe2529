package ddl

import (
	"fmt"
	"slices"
	"strconv"

	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
	"kalamdb/internal/sql/plan"
)

// maxChecks bounds the CHECK constraints of a table.
const maxChecks = 100

// defineChecks adds CHECK constraints to a definition.
func defineChecks(t *schema.Table, checks []parse.CheckDef, unproven bool) error {
	for i := range checks {
		def := &checks[i]
		if len(t.Checks) >= maxChecks {
			return fault.At(fault.LimitExceeded, def.Offset, "a table may have at most %d CHECK constraints", maxChecks)
		}
		if at := parse.FindSubquery(def.X); at >= 0 {
			return fault.At(fault.InvalidDefinition, at, "a subquery cannot stand in a CHECK constraint")
		}
		x, err := plan.BindCheck(def.X, t)
		if err != nil {
			return err
		}
		c := schema.Check{Name: def.Name.Name, Text: def.Text, Unproven: unproven}
		for _, at := range plan.Columns(x) {
			c.Columns = append(c.Columns, t.Columns[at].ID)
		}
		if c.Name == "" {
			c.Name = freeCheckName(t, c.Columns)
		}
		if err := checkName("constraint", c.Name); err != nil {
			return err
		}
		if t.Check(c.Name) >= 0 {
			return fault.At(fault.AlreadyExists, def.Name.Offset, "constraint '%s' of table %s already exists", c.Name, t.QualifiedName())
		}
		t.Checks = append(t.Checks, c)
	}
	return nil
}

// freeCheckName names a constraint as PostgreSQL does: after the table and the
// one column that it reads.
func freeCheckName(t *schema.Table, columns []schema.ColumnID) string {
	name := t.Name
	if len(columns) == 1 {
		name += "_" + t.Columns[t.ColumnByID(columns[0])].Name
	}
	const suffix = "_check"
	if most := maxName - len(suffix) - 4; len(name) > most {
		name = name[:most]
	}
	name += suffix
	for n := 0; ; n++ {
		free := name
		if n > 0 {
			free += strconv.Itoa(n)
		}
		if t.Check(free) < 0 {
			return free
		}
	}
}

// refuseForeign answers foreign keys, which nothing enforces: they are passed
// over where the configuration says so.
func (d *Definer) refuseForeign(foreign []parse.Name) error {
	if len(foreign) == 0 || d.o.IgnoreForeignKeys {
		return nil
	}
	return fault.At(fault.NotImplemented, foreign[0].Offset,
		"FOREIGN KEY is not enforced, so it is not accepted; set sql.ignore_foreign_keys = true to have it passed over")
}

func (a *alteration) addConstraint() error {
	if len(a.s.Foreign) > 0 {
		a.what = "ADD FOREIGN KEY"
		return a.definer.refuseForeign(a.s.Foreign)
	}
	if len(a.s.Unique) > 0 {
		err := a.definer.addUnique(a.next, a.s.Unique, true)
		if err == nil {
			a.what, a.changed = "ADD CONSTRAINT "+a.next.Indexes[len(a.next.Indexes)-1].Name, true
		}
		return err
	}
	err := a.addChecks(a.s.Checks)
	if err == nil {
		a.what = "ADD CONSTRAINT " + a.next.Checks[len(a.next.Checks)-1].Name
	}
	return err
}

// addChecks adds constraints that rows which are there have to meet.
func (a *alteration) addChecks(checks []parse.CheckDef) error {
	if len(checks) == 0 {
		return nil
	}
	a.changed, a.proof = true, true
	return defineChecks(a.next, checks, true)
}

func (a *alteration) dropConstraint() error {
	n := a.s.Column
	a.what = "DROP CONSTRAINT " + n.Name
	if a.dropUnique(n.Name) {
		return nil
	}
	at, err := a.constraint(n)
	if err != nil && a.s.Guard {
		return nil
	}
	if err != nil {
		return err
	}
	a.next.Checks = slices.Delete(a.next.Checks, at, at+1)
	a.changed = true
	return nil
}

func (a *alteration) renameConstraint() error {
	from, to := a.s.Column, a.s.NewName
	a.what = fmt.Sprintf("RENAME CONSTRAINT %s TO %s", from.Name, to.Name)
	if at := a.old.Index(from.Name); at >= 0 && a.old.Indexes[at].Constraint {
		return a.renameUnique(at)
	}
	at, err := a.constraint(from)
	if err != nil || from.Name == to.Name {
		return err
	}
	if err := checkName("constraint", to.Name); err != nil {
		return err
	}
	if a.old.Check(to.Name) >= 0 {
		return fault.At(fault.AlreadyExists, to.Offset, "constraint '%s' of table %s already exists", to.Name, a.old.QualifiedName())
	}
	a.next.Checks[at].Name, a.changed = to.Name, true
	return nil
}

// constraint finds a constraint by its name.
func (a *alteration) constraint(n parse.Name) (int, error) {
	if at := a.old.Check(n.Name); at >= 0 {
		return at, nil
	}
	return 0, fault.At(fault.ObjectNotFound, n.Offset, "constraint '%s' of table %s does not exist", n.Name, a.old.QualifiedName())
}

// dropChecksOf removes the constraints that read a column.
func (a *alteration) dropChecksOf(id schema.ColumnID) {
	a.next.Checks = slices.DeleteFunc(a.next.Checks, func(c schema.Check) bool { return slices.Contains(c.Columns, id) })
}

// rebindChecks refuses a change that a constraint cannot follow, such as a type
// that its operators do not take.
func (a *alteration) rebindChecks() error {
	if _, err := plan.BindChecks(a.next); err != nil {
		f := fault.Of(err)
		return fault.At(f.Code, a.s.Column.Offset, "a CHECK constraint of table %s does not allow this: %s", a.old.QualifiedName(), f.Message)
	}
	return nil
}
