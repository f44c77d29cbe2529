package ddl

import (
	"context"
	"fmt"

	"kalamdb/internal/command"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// Comment runs COMMENT ON. It makes no new version of a table: nothing changes
// for its rows.
func (d *Definer) Comment(ctx context.Context, actor schema.UserID, namespace string, s *parse.Comment) (string, error) {
	text := ""
	if s.Text != nil {
		text = *s.Text
	}
	if s.On == "NAMESPACE" {
		ns, err := d.namespace(s.Name.Name)
		if err != nil {
			return "", err
		}
		ns.Description, ns.UpdatedAt = text, d.now()
		if _, err := d.commit(ctx, actor, &command.PutNamespace{Namespace: ns}); err != nil {
			return "", err
		}
		return fmt.Sprintf("Comment on namespace '%s' set", ns.Name), nil
	}
	if IsSystemNamespace(namespace) {
		return "", fault.New(fault.InvalidOperation, "system table '%s.%s' cannot be altered", namespace, s.Name.Name)
	}
	t, ok := d.o.Definitions().Table(namespace, s.Name.Name)
	if v, isView := d.o.Definitions().View(namespace, s.Name.Name); isView {
		return d.commentView(ctx, actor, v, s, text)
	}
	if !ok {
		if s.On == "VIEW" {
			return "", fault.At(fault.ObjectNotFound, s.Name.Offset, "view %s.%s does not exist", namespace, s.Name.Name)
		}
		return "", d.missingTable(namespace, s.Name)
	}
	if s.On == "VIEW" {
		return "", fault.At(fault.InvalidOperation, s.Name.Offset, "%s is a table, not a view", t.QualifiedName())
	}
	next := t.Clone()
	next.UpdatedAt = d.now()
	what := "table " + t.QualifiedName()
	if s.On == "COLUMN" {
		at := t.Column(s.Column.Name)
		if at < 0 || t.Columns[at].System != schema.NotSystem {
			return "", fault.At(fault.ColumnNotFound, s.Column.Offset, "Column '%s' does not exist", s.Column.Name)
		}
		next.Columns[at].Comment = text
		what = "column " + t.QualifiedName() + "." + s.Column.Name
	} else {
		next.Comment = text
	}
	if _, err := d.commit(ctx, actor, &command.AmendTable{Table: *next, FromVersion: t.Version}); err != nil {
		return "", err
	}
	return fmt.Sprintf("Comment on %s set", what), nil
}

func (d *Definer) commentView(ctx context.Context, actor schema.UserID, v *schema.View, s *parse.Comment, text string) (string, error) {
	next := *v
	next.Outputs = append([]schema.ViewColumn(nil), v.Outputs...)
	next.UpdatedAt = d.now()
	what := "view " + v.QualifiedName()
	switch s.On {
	case "TABLE":
		return "", fault.At(fault.InvalidOperation, s.Name.Offset, "%s is a view, not a table", v.QualifiedName())
	case "VIEW":
		next.Comment = text
	default:
		at := -1
		for i := range next.Outputs {
			if next.Outputs[i].Name == s.Column.Name {
				at = i
			}
		}
		if at < 0 {
			return "", fault.At(fault.ColumnNotFound, s.Column.Offset, "Column '%s' does not exist", s.Column.Name)
		}
		next.Outputs[at].Comment = text
		what = "column " + v.QualifiedName() + "." + s.Column.Name
	}
	if _, err := d.commit(ctx, actor, &command.PutView{View: next, Replace: true}); err != nil {
		return "", err
	}
	return fmt.Sprintf("Comment on %s set", what), nil
}
