package ddl

import (
	"context"
	"fmt"
	"strings"

	"kalamdb/internal/command"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// maxColumns bounds the width of a table.
const maxColumns = 1600

// CreateTable runs CREATE TABLE in the given namespace.
func (d *Definer) CreateTable(ctx context.Context, actor schema.UserID, namespace string, s *parse.CreateTable) (string, error) {
	t, err := d.define(namespace, s)
	if err != nil {
		return "", err
	}
	exists := fmt.Sprintf("Table %s already exists (skipped)", t.QualifiedName())
	if _, ok := d.o.Definitions().Table(t.Namespace, t.Name); ok && s.IfNotExists {
		return exists, nil
	}
	_, err = d.commit(ctx, actor, &command.CreateTable{Table: *t})
	if _, ok := d.o.Definitions().Table(t.Namespace, t.Name); ok && s.IfNotExists && fault.Is(err, fault.AlreadyExists) {
		return exists, nil
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("CREATE TABLE: %s table %s created successfully", t.Kind, t.QualifiedName()), nil
}

// KindOf returns the kind of table a CREATE TABLE makes: its prefix, its TYPE
// option, or SHARED.
func KindOf(s *parse.CreateTable) (schema.Kind, error) {
	kind, err := kindNamed(s.Kind)
	if err != nil {
		return 0, err
	}
	for _, o := range s.Options {
		if o.Name != "TYPE" {
			continue
		}
		named, err := kindNamed(o.Value)
		if err != nil {
			return 0, err
		}
		if kind != 0 && named != kind {
			return 0, fault.At(fault.InvalidDefinition, o.Offset, "TYPE '%s' disagrees with CREATE %s TABLE", o.Value, s.Kind)
		}
		kind = named
	}
	if kind == 0 {
		kind = schema.Shared
	}
	return kind, nil
}

// define builds and checks the definition of a CREATE TABLE.
func (d *Definer) define(namespace string, s *parse.CreateTable) (*schema.Table, error) {
	kind, err := KindOf(s)
	if err != nil {
		return nil, err
	}
	if IsSystemNamespace(namespace) {
		return nil, fault.New(fault.InvalidOperation, "tables cannot be created in the system namespace '%s'", namespace)
	}
	if err := checkName("table", s.Table.Name); err != nil {
		return nil, err
	}
	if _, ok := d.o.Definitions().Namespace(namespace); !ok {
		return nil, fault.New(fault.NamespaceNotFound, "Namespace '%s' does not exist. Create it first with CREATE NAMESPACE %s", namespace, namespace)
	}
	now := d.now()
	t := &schema.Table{Namespace: namespace, Name: s.Table.Name, Kind: kind, Version: 1, CreatedAt: now, UpdatedAt: now}
	if err := d.defineColumns(t, s); err != nil {
		return nil, err
	}
	if err := defineKey(t, s); err != nil {
		return nil, err
	}
	if err := d.refuseForeign(s.Foreign); err != nil {
		return nil, err
	}
	if err := defineChecks(t, s.Checks, false); err != nil {
		return nil, err
	}
	addSystemColumns(t)
	if err := d.addUnique(t, s.Unique, false); err != nil {
		return nil, err
	}
	if t.Options, err = d.tableOptions(kind, s.Options); err != nil {
		return nil, err
	}
	if kind == schema.Stream && t.Options.TTLSeconds == 0 {
		return nil, fault.New(fault.InvalidDefinition, "STREAM tables must specify 'TTL_SECONDS'")
	}
	if err := checkPresence(t); err != nil {
		return nil, err
	}
	return t, checkLocation(t)
}

func (d *Definer) defineColumns(t *schema.Table, s *parse.CreateTable) error {
	if s.Unsupported != "" {
		return fault.New(fault.NotImplemented, "%s constraints are not enforced yet, so they are not accepted", s.Unsupported)
	}
	if len(s.Columns) == 0 {
		return fault.New(fault.InvalidDefinition, "Table must have at least one column")
	}
	if len(s.Columns) > maxColumns {
		return fault.New(fault.LimitExceeded, "a table may have at most %d columns, this one has %d", maxColumns, len(s.Columns))
	}
	for i := range s.Columns {
		c, err := d.defineColumn(t, &s.Columns[i])
		if err != nil {
			return err
		}
		if t.Column(c.Name) >= 0 {
			return fault.At(fault.InvalidDefinition, s.Columns[i].Name.Offset, "Duplicate column name '%s'. Column names are case-insensitive.", c.Name)
		}
		c.ID = schema.ColumnID(i + 1)
		t.Columns = append(t.Columns, c)
	}
	return nil
}

func (d *Definer) defineColumn(t *schema.Table, def *parse.ColumnDef) (schema.Column, error) {
	name := def.Name.Name
	if err := checkColumnName(name); err != nil {
		return schema.Column{}, err
	}
	switch {
	case def.Unsupported != "":
		return schema.Column{}, fault.At(fault.NotImplemented, def.Name.Offset, "column '%s': %s is not enforced yet, so it is not accepted", name, def.Unsupported)
	case def.Type.Kind == datum.Interval || def.Type.Kind == datum.Null:
		return schema.Column{}, fault.At(fault.InvalidDefinition, def.Name.Offset, "column '%s' cannot have type %s", name, def.Type)
	case def.Type.Kind == datum.File && t.Kind == schema.Stream:
		return schema.Column{}, fault.At(fault.InvalidDefinition, def.Name.Offset, "column '%s': STREAM tables cannot have FILE columns", name)
	case def.NotNull && def.Null:
		return schema.Column{}, fault.At(fault.InvalidDefinition, def.Name.Offset, "column '%s' is declared both NULL and NOT NULL", name)
	}
	c := schema.Column{Name: name, Type: def.Type, NotNull: def.NotNull, Identity: schema.Identity(def.Identity)}
	if def.Identity != "" {
		switch {
		case def.Default != nil:
			return c, fault.At(fault.InvalidDefinition, def.Name.Offset, "column '%s' has both a DEFAULT and an IDENTITY", name)
		case def.Null:
			return c, fault.At(fault.InvalidDefinition, def.Name.Offset, "column '%s' is an IDENTITY and cannot be NULL", name)
		}
		c.NotNull = true
	}
	if def.Serial {
		err := d.defineNumbers(t, &c, def)
		return c, err
	}
	var err error
	c.Default, err = d.defineDefault(def)
	return c, err
}

// defineNumbers gives a column generated numbers: those of a sequence of its own,
// or SNOWFLAKE_ID() where it is wide enough and nothing is said of them.
func (d *Definer) defineNumbers(t *schema.Table, c *schema.Column, def *parse.ColumnDef) error {
	switch {
	case !def.Type.Kind.IsInteger():
		return fault.At(fault.InvalidDefinition, def.Name.Offset, "column '%s' of type %s cannot be numbered; use SMALLINT, INT or BIGINT", c.Name, def.Type)
	case def.Type.Kind != datum.BigInt || def.Sequence != nil:
		return d.defineSerial(t, c, def)
	}
	c.Default = &schema.Default{Function: schema.DefaultSnowflake, Text: "SNOWFLAKE_ID()"}
	return nil
}

// defineKey finds the one primary key and makes its columns NOT NULL.
func defineKey(t *schema.Table, s *parse.CreateTable) error {
	switch {
	case len(s.Keys) > 1:
		return fault.New(fault.InvalidDefinition, "Multiple PRIMARY KEY definitions found")
	case len(s.Keys) == 0 && t.Kind == schema.Stream:
		return nil
	case len(s.Keys) == 0:
		return fault.New(fault.InvalidDefinition, "a %s table needs a PRIMARY KEY", t.Kind)
	}
	for _, name := range s.Keys[0] {
		position := t.Column(name.Name)
		if position < 0 {
			return fault.At(fault.InvalidDefinition, name.Offset, "PRIMARY KEY column '%s' not found in column list", name.Name)
		}
		if t.IsKey(position) {
			return fault.At(fault.InvalidDefinition, name.Offset, "column '%s' appears twice in the PRIMARY KEY", name.Name)
		}
		switch k := t.Columns[position].Type.Kind; k {
		case datum.JSON, datum.File, datum.Embedding, datum.Array:
			return fault.At(fault.InvalidDefinition, name.Offset, "column '%s' of type %s cannot be part of the PRIMARY KEY", name.Name, t.Columns[position].Type)
		}
		t.Columns[position].NotNull = true
		t.Key = append(t.Key, t.Columns[position].ID)
	}
	return nil
}

// addSystemColumns appends _seq and _deleted.
func addSystemColumns(t *schema.Table) {
	id := schema.ColumnID(len(t.Columns) + 1)
	t.Columns = append(t.Columns,
		schema.Column{ID: id, Name: schema.SeqName, Type: datum.Type{Kind: datum.BigInt}, NotNull: true, System: schema.SeqColumn},
		schema.Column{ID: id + 1, Name: schema.DeletedName, Type: datum.Type{Kind: datum.Bool}, NotNull: true, System: schema.DeletedColumn},
	)
	t.NextColumnID = id + 2
}

// DropTable runs DROP TABLE; the kind written before TABLE is advisory.
func (d *Definer) DropTable(ctx context.Context, actor schema.UserID, namespace string, s *parse.DropTable) (string, *schema.Table, error) {
	if IsSystemNamespace(namespace) {
		return "", nil, fault.New(fault.InvalidOperation, "system table '%s.%s' cannot be dropped", namespace, s.Table.Name)
	}
	t, ok := d.o.Definitions().Table(namespace, s.Table.Name)
	if !ok {
		if s.IfExists {
			return fmt.Sprintf("Table %s.%s does not exist (skipped)", namespace, s.Table.Name), nil, nil
		}
		return "", nil, d.missingTable(namespace, s.Table)
	}
	if err := d.refuseSubscribed(t); err != nil {
		return "", nil, err
	}
	if _, err := d.commit(ctx, actor, &command.DropTable{Table: t.ID}); err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("Table %s dropped successfully", t.QualifiedName()), t, nil
}

func (d *Definer) refuseSubscribed(t *schema.Table) error {
	if d.o.DropWithSubscribers != Refuse || d.o.Subscribers == nil {
		return nil
	}
	if n := d.o.Subscribers(t.ID); n > 0 {
		return fault.New(fault.InvalidOperation, "table %s has %d active subscription(s); end them first, or set ddl.drop_with_subscribers = \"end\"", t.QualifiedName(), n)
	}
	return nil
}

// kindNamed reads the kind of a table; "" is none.
func kindNamed(text string) (schema.Kind, error) {
	switch strings.ToLower(text) {
	case "":
		return 0, nil
	case "user":
		return schema.User, nil
	case "shared":
		return schema.Shared, nil
	case "stream":
		return schema.Stream, nil
	}
	return 0, fault.New(fault.InvalidDefinition, "unknown table TYPE '%s'; use USER, SHARED or STREAM", text)
}
