package ddl

import (
	"context"
	"fmt"
	"slices"

	"kalamdb/internal/command"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// createVectorIndex runs CREATE [VECTOR] INDEX … USING COSINE, L2 or DOT. There
// is nothing to build: a search scans.
func (d *Definer) createVectorIndex(ctx context.Context, actor schema.UserID, t *schema.Table, s *parse.CreateIndex) (string, error) {
	column := s.Columns[0]
	at := t.Column(column.Name)
	switch {
	case t.Present():
		return "", fault.At(fault.InvalidOperation, column.Offset, "a table with PRESENCE cannot have an index or a UNIQUE constraint")
	case t.Kind == schema.Stream:
		return "", fault.At(fault.InvalidOperation, column.Offset, "a STREAM table cannot have a vector index")
	case at < 0:
		return "", fault.At(fault.ColumnNotFound, column.Offset, "Column '%s' does not exist", column.Name)
	case t.Columns[at].Type.Kind != datum.Embedding:
		return "", fault.At(fault.InvalidDefinition, column.Offset, "Column '%s' is not EMBEDDING", column.Name)
	case len(t.Vectors)+len(t.Indexes) >= schema.MaxIndexes:
		return "", fault.At(fault.LimitExceeded, column.Offset, "a table may have at most %d indexes", schema.MaxIndexes)
	}
	x := schema.VectorIndex{Name: s.Index.Name, Column: t.Columns[at].ID, Metric: schema.Metric(s.Metric)}
	what := fmt.Sprintf("%s.%s (%s)", t.QualifiedName(), column.Name, x.Metric.Title())
	named := x.Name != "" && d.indexNamed(t.Namespace, x.Name)
	if old := t.VectorIndexOf(x.Column); old != nil || named {
		switch {
		case s.IfNotExists:
			return fmt.Sprintf("Vector index on %s.%s already exists (skipped)", t.QualifiedName(), column.Name), nil
		case old != nil:
			return "", fault.At(fault.AlreadyExists, column.Offset, "Column '%s' has a vector index already: %s (%s)", column.Name, old.Name, old.Metric.Title())
		}
		return "", d.free(t.Namespace, x.Name, s.Index.Offset)
	}
	if x.Name == "" {
		x.Name = d.freeIndexName(t, s.Columns, "_idx")
	}
	if err := checkName("index", x.Name); err != nil {
		return "", err
	}
	if err := d.free(t.Namespace, x.Name, s.Index.Offset); err != nil {
		return "", err
	}
	err := d.changeVectors(ctx, actor, t, func(next *schema.Table) { next.Vectors = append(next.Vectors, x) })
	if err != nil {
		return "", err
	}
	return "Vector index enabled on " + what, nil
}

// vectorPlace is a vector index of a table.
type vectorPlace struct {
	table *schema.Table
	at    int
}

// vectorIndex finds what DROP INDEX names: the index of that name or, of a table
// that stands before it, of that column.
func (d *Definer) vectorIndex(namespace string, of *schema.Table, s *parse.DropIndex) vectorPlace {
	for t := range d.o.Definitions().Tables(namespace) {
		for i := range t.Vectors {
			x := &t.Vectors[i]
			column := t.Columns[t.ColumnByID(x.Column)].Name
			if s.Table.Name == "" && x.Name == s.Index.Name || s.Table.Name != "" && t.ID == of.ID && (column == s.Index.Name || x.Name == s.Index.Name) {
				return vectorPlace{t, i}
			}
		}
	}
	return vectorPlace{}
}

// dropVectorIndex takes the index away; the column stays.
func (d *Definer) dropVectorIndex(ctx context.Context, actor schema.UserID, x vectorPlace) (string, error) {
	t := x.table
	column := t.Columns[t.ColumnByID(t.Vectors[x.at].Column)].Name
	err := d.changeVectors(ctx, actor, t, func(next *schema.Table) { next.Vectors = slices.Delete(next.Vectors, x.at, x.at+1) })
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("Vector index disabled on %s.%s", t.QualifiedName(), column), nil
}

// changeVectors makes the next version of a table.
func (d *Definer) changeVectors(ctx context.Context, actor schema.UserID, t *schema.Table, change func(*schema.Table)) error {
	next := t.Clone()
	next.Version++
	next.UpdatedAt = d.now()
	change(next)
	_, err := d.commit(ctx, actor, &command.AlterTable{Table: *next, FromVersion: t.Version})
	return err
}

// indexNamed reports whether an index of a namespace, of any kind, has a name.
func (d *Definer) indexNamed(namespace, name string) bool {
	return d.o.Definitions().Relation(namespace, name) == "Index"
}
