package ddl

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kalamdb/internal/command"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
	"kalamdb/internal/store/catalog"
)

// maxRedefinitions bounds how often a change of names is made anew because other
// definitions have changed meanwhile.
const maxRedefinitions = 16

// redefine makes a change from the newest definitions and proposes it, until
// none has come between. make returns nil when there is nothing to do.
func (d *Definer) redefine(ctx context.Context, actor schema.UserID, change func(*catalog.Definitions) (*command.Redefine, error)) error {
	for range maxRedefinitions {
		definitions := d.o.Definitions()
		body, err := change(definitions)
		if err != nil || body == nil {
			return err
		}
		body.Digest = definitions.Digest()
		if _, err = d.commit(ctx, actor, body); !errors.Is(err, command.ErrStaleSchema) {
			return err
		}
	}
	return fault.New(fault.Conflict, "other definitions kept changing meanwhile; nothing was changed, and it may be run again")
}

// renameNamespace runs ALTER NAMESPACE … RENAME TO. What is stored names tables
// by number; files stay in their folders.
func (d *Definer) renameNamespace(ctx context.Context, actor schema.UserID, s *parse.AlterNamespace) (string, error) {
	from, to := s.Name.Name, s.NewName.Name
	if IsSystemNamespace(from) || contains(reservedNamespaces, from) {
		return "", fault.At(fault.InvalidOperation, s.Name.Offset, "namespace '%s' belongs to the system and cannot be renamed", from)
	}
	if contains(reservedNamespaces, to) {
		return "", fault.At(fault.InvalidDefinition, s.NewName.Offset, "namespace name '%s' is reserved", to)
	}
	if err := checkName("namespace", to); err != nil {
		return "", err
	}
	err := d.redefine(ctx, actor, func(all *catalog.Definitions) (*command.Redefine, error) {
		ns, ok := all.Namespace(from)
		if !ok {
			return nil, missingNamespace(from)
		}
		if _, taken := all.Namespace(to); taken {
			return nil, fault.At(fault.AlreadyExists, s.NewName.Offset, "Namespace '%s' already exists", to)
		}
		body := &command.Redefine{From: from, Namespace: *ns}
		body.Namespace.Name, body.Namespace.UpdatedAt = to, d.now()
		return body, d.renameIn(all, body, parse.Renamed{Namespace: from, To: to})
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("Namespace '%s' renamed to '%s'", from, to), nil
}

// renameIn adds the tables and views that a change of names touches: those that
// are renamed with their namespace, and those whose texts name what is.
func (d *Definer) renameIn(all *catalog.Definitions, body *command.Redefine, r parse.Renamed) error {
	for t := range all.AllTables() {
		next := t.Clone()
		changed := r.Namespace != "" && t.Namespace == r.Namespace
		if changed {
			d.pinFolder(next)
			next.Namespace = r.To
		}
		named, err := renameDefaults(next, r)
		if err != nil {
			return err
		}
		if changed || named {
			next.UpdatedAt = d.now()
			body.Tables = append(body.Tables, *next)
		}
	}
	for n := range all.Namespaces() {
		for v := range all.Views(n.Name) {
			next, changed, err := d.renameView(v, r)
			if err != nil {
				return err
			}
			if changed {
				body.Views = append(body.Views, command.RedefinedView{From: schema.ObjectName{Namespace: v.Namespace, Name: v.Name}, View: *next})
			}
		}
	}
	return nil
}

// renameDefaults rewrites the defaults of a table that name what is renamed.
func renameDefaults(t *schema.Table, r parse.Renamed) (changed bool, err error) {
	for i := range t.Columns {
		old := t.Columns[i].Default
		if old == nil || old.Function != schema.DefaultExpression {
			continue
		}
		next := *old
		if next.Text, err = parse.RenameInExpr(old.Text, r); err != nil {
			return false, fmt.Errorf("rename in the default of column %s of table %d: %w", t.Columns[i].Name, t.ID, err)
		}
		if q := old.Sequence; q != nil && next.Text != old.Text {
			s := *q
			if r.Namespace != "" {
				s.Namespace = r.To
			} else {
				_, s.Name, _ = strings.Cut(r.NewSequence, ".")
			}
			next.Sequence = &s
		}
		if next.Text != old.Text {
			t.Columns[i].Default, changed = &next, true
		}
	}
	return changed, nil
}

// renameView rewrites a view that is renamed with its namespace, or whose SELECT
// names what is.
func (d *Definer) renameView(v *schema.View, r parse.Renamed) (next *schema.View, changed bool, err error) {
	w := *v
	if w.Text, err = parse.RenameInQuery(v.Text, r); err != nil {
		return nil, false, fmt.Errorf("rename in view %s: %w", v.QualifiedName(), err)
	}
	changed = w.Text != v.Text
	if r.Namespace != "" {
		for _, name := range []*string{&w.Namespace, &w.Default} {
			if *name == r.Namespace {
				*name, changed = r.To, true
			}
		}
		w.Reads = slices.Clone(v.Reads)
		for i := range w.Reads {
			if w.Reads[i].Namespace == r.Namespace {
				w.Reads[i].Namespace, changed = r.To, true
			}
		}
	}
	if changed {
		w.UpdatedAt = d.now()
		w.Version++
	}
	return &w, changed, nil
}

// Rename runs ALTER VIEW and ALTER INDEX … RENAME TO.
func (d *Definer) Rename(ctx context.Context, actor schema.UserID, namespace string, s *parse.RenameObject) (string, error) {
	if s.Kind == "INDEX" {
		return d.renameIndex(ctx, actor, namespace, s)
	}
	from, to := s.Object.Name, s.NewName.Name
	if err := checkName("view", to); err != nil {
		return "", err
	}
	skipped := false
	err := d.redefine(ctx, actor, func(all *catalog.Definitions) (*command.Redefine, error) {
		v, ok := all.View(namespace, from)
		if !ok {
			if _, table := all.Table(namespace, from); table {
				return nil, fault.At(fault.InvalidOperation, s.Object.Offset, "%s.%s is a table, not a view; use ALTER TABLE", namespace, from)
			}
			if skipped = s.IfExists; skipped {
				return nil, nil
			}
			return nil, fault.At(fault.ObjectNotFound, s.Object.Offset, "view %s.%s does not exist", namespace, from)
		}
		if from == to {
			return nil, nil
		}
		if err := d.free(namespace, to, s.NewName.Offset); err != nil {
			return nil, err
		}
		if reader := readerOf(all, namespace, from); reader != nil {
			return nil, fault.At(fault.InvalidOperation, s.Object.Offset, "view %s cannot be renamed: view %s reads it", v.QualifiedName(), reader.QualifiedName())
		}
		w := *v
		w.Name, w.UpdatedAt = to, d.now()
		return &command.Redefine{Views: []command.RedefinedView{{From: schema.ObjectName{Namespace: namespace, Name: from}, View: w}}}, nil
	})
	if err != nil {
		return "", err
	}
	if skipped {
		return fmt.Sprintf("View %s.%s does not exist (skipped)", namespace, from), nil
	}
	return fmt.Sprintf("View %s.%s renamed to %s", namespace, from, to), nil
}

// readerOf returns a view that reads a table or view, or nil.
func readerOf(all *catalog.Definitions, namespace, name string) *schema.View {
	for n := range all.Namespaces() {
		for v := range all.Views(n.Name) {
			if slices.Contains(v.Reads, schema.ObjectName{Namespace: namespace, Name: name}) {
				return v
			}
		}
	}
	return nil
}

// renameIndex gives an index another name, and the constraint that has made it.
func (d *Definer) renameIndex(ctx context.Context, actor schema.UserID, namespace string, s *parse.RenameObject) (string, error) {
	from, to := s.Object.Name, s.NewName.Name
	t, at, ok := d.o.Definitions().Index(namespace, from)
	switch {
	case !ok && s.IfExists:
		return fmt.Sprintf("Index %s.%s does not exist (skipped)", namespace, from), nil
	case !ok:
		return "", fault.At(fault.ObjectNotFound, s.Object.Offset, "index '%s' does not exist", from)
	}
	message := fmt.Sprintf("Index %s.%s renamed to %s", namespace, from, to)
	if from == to {
		return message, nil
	}
	if err := checkName("index", to); err != nil {
		return "", err
	}
	if err := d.free(namespace, to, s.NewName.Offset); err != nil {
		return "", err
	}
	if t.Check(to) >= 0 {
		return "", fault.At(fault.AlreadyExists, s.NewName.Offset, "constraint '%s' of table %s already exists", to, t.QualifiedName())
	}
	next := t.Clone()
	next.Version++
	next.UpdatedAt = d.now()
	if at >= 0 {
		next.Indexes[at].Name = to
	}
	for i := range next.Vectors {
		if next.Vectors[i].Name == from {
			next.Vectors[i].Name = to
		}
	}
	_, err := d.commit(ctx, actor, &command.AlterTable{Table: *next, FromVersion: t.Version})
	return message, err
}
