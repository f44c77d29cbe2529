package ddl

import (
	"context"
	"fmt"
	"slices"

	"kalamdb/internal/command"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// Bounds of views.
const (
	maxViewText  = 64 << 10 // bytes of one, which is always in memory
	maxViewDepth = 32       // views that stand on each other
)

// CreateView runs CREATE VIEW in the given namespace. unqualified is where the
// names of its SELECT are looked up, outputs are the columns that it gives.
func (d *Definer) CreateView(ctx context.Context, actor schema.UserID, namespace, unqualified string, s *parse.CreateView, outputs []schema.ViewColumn) (string, error) {
	if IsSystemNamespace(namespace) {
		return "", fault.New(fault.InvalidOperation, "views cannot be created in the system namespace '%s'", namespace)
	}
	if err := checkName("view", s.View.Name); err != nil {
		return "", err
	}
	if kind := d.o.Definitions().Relation(namespace, s.View.Name); kind != "" && kind != "View" {
		return "", d.free(namespace, s.View.Name, s.View.Offset)
	}
	if len(s.Text) > maxViewText {
		return "", fault.New(fault.LimitExceeded, "the SELECT of a view may have at most %d bytes, this one has %d", maxViewText, len(s.Text))
	}
	now := d.now()
	v := schema.View{
		Namespace: namespace, Name: s.View.Name, Version: 1, Text: s.Text, Default: unqualified, CreatedAt: now, UpdatedAt: now,
	}
	if err := nameOutputs(&v, s, outputs); err != nil {
		return "", err
	}
	for _, n := range s.Select.Tables {
		if n.Namespace == "" {
			n.Namespace = unqualified
		}
		v.Reads = append(v.Reads, schema.ObjectName{Namespace: n.Namespace, Name: n.Name})
	}
	if old, ok := d.o.Definitions().View(namespace, v.Name); ok && s.Replace {
		v.Comment = old.Comment
	}
	if err := d.standsOn(&v, &v, s.View.Offset, 1); err != nil {
		return "", err
	}
	if _, err := d.commit(ctx, actor, &command.PutView{View: v, Replace: s.Replace}); err != nil {
		return "", err
	}
	return fmt.Sprintf("View %s created successfully", v.QualifiedName()), nil
}

// nameOutputs names the columns of a view: those listed first, then as the
// SELECT does.
func nameOutputs(v *schema.View, s *parse.CreateView, outputs []schema.ViewColumn) error {
	if n := len(s.Columns); n > len(outputs) {
		return fault.At(fault.InvalidDefinition, s.Columns[len(outputs)].Offset, "the view lists %d columns, but its SELECT gives %d", n, len(outputs))
	}
	v.Outputs = slices.Clone(outputs)
	for i, n := range s.Columns {
		v.Columns = append(v.Columns, n.Name)
		v.Outputs[i].Name = n.Name
	}
	seen := map[string]bool{}
	for i, c := range v.Outputs {
		at := s.View.Offset
		if i < len(s.Columns) {
			at = s.Columns[i].Offset
		}
		if c.Name == "" || seen[c.Name] {
			return fault.At(fault.InvalidDefinition, at, "column '%s' of the view appears twice; list the names of its columns, or use AS", c.Name)
		}
		seen[c.Name] = true
	}
	return nil
}

// standsOn refuses a view that reads itself, or stands on too many others.
func (d *Definer) standsOn(v, below *schema.View, offset, depth int) error {
	if depth > maxViewDepth {
		return fault.At(fault.LimitExceeded, offset, "views may stand on each other at most %d deep", maxViewDepth)
	}
	for _, n := range below.Reads {
		if n.Namespace == v.Namespace && n.Name == v.Name {
			return fault.At(fault.InvalidDefinition, offset, "view %s cannot stand on itself", v.QualifiedName())
		}
		if next, ok := d.o.Definitions().View(n.Namespace, n.Name); ok {
			if err := d.standsOn(v, next, offset, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// DropView runs DROP VIEW. Views that stand on it stay and fail when they are
// used.
func (d *Definer) DropView(ctx context.Context, actor schema.UserID, namespace string, s *parse.DropView) (string, error) {
	v, ok := d.o.Definitions().View(namespace, s.View.Name)
	if !ok {
		if _, table := d.o.Definitions().Table(namespace, s.View.Name); table {
			return "", fault.At(fault.InvalidOperation, s.View.Offset, "%s.%s is a table, not a view; use DROP TABLE", namespace, s.View.Name)
		}
		if s.IfExists {
			return fmt.Sprintf("View %s.%s does not exist (skipped)", namespace, s.View.Name), nil
		}
		return "", fault.At(fault.ObjectNotFound, s.View.Offset, "view %s.%s does not exist", namespace, s.View.Name)
	}
	if _, err := d.commit(ctx, actor, &command.DropView{Namespace: v.Namespace, Name: v.Name}); err != nil {
		return "", err
	}
	return fmt.Sprintf("View %s dropped successfully", v.QualifiedName()), nil
}
