package relation

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"kalamdb/internal/auth"
	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
)

// catalogName is the name of the one catalog in information_schema.
const catalogName = "kalam"

// storedTables returns every stored table by namespace and name.
func (v *View) storedTables() []*schema.Table {
	var tables []*schema.Table
	d := v.moment.Definitions()
	for n := range d.Namespaces() {
		tables = slices.AppendSeq(tables, d.Tables(n.Name))
	}
	return tables
}

// mayRead reports whether a caller may read a table.
func (c Caller) mayRead(t *schema.Table) bool {
	return auth.AllowTable(&auth.Session{UserID: c.User, Role: c.Role}, auth.Read, t) == nil
}

// usable returns the tables that a caller may read, the server's own included.
func (v *View) usable(c Caller) []*schema.Table {
	tables := append(v.storedTables(), v.relations.registry.all()...)
	return slices.DeleteFunc(tables, func(t *schema.Table) bool { return !c.mayRead(t) })
}

// describeRows has the columns of every table, whoever may read it: the caller
// of DESCRIBE has been authorised for the one he names.
func describeRows(_ context.Context, v *View, _ Caller, b *keyBounds) ([][]datum.Value, error) {
	var rows [][]datum.Value
	tables := append(v.storedTables(), v.relations.registry.all()...)
	for _, s := range v.storedViews() {
		tables = append(tables, viewTable(s))
	}
	for _, t := range tables {
		if !b.mayHold(textOf(t.Namespace), textOf(t.Name)) {
			continue
		}
		for i := range t.Columns {
			c := &t.Columns[i]
			rows = append(rows, []datum.Value{
				textOf(c.Name), intOf(i + 1), bigOf(c.ID), textOf(c.Type.String()), boolOf(!c.NotNull), boolOf(t.IsKey(i)),
				defaultCell(c), optional(c.Comment), intOf(int(t.Version)), textOf(t.Namespace), textOf(t.Name),
			})
		}
	}
	return rows, nil
}

func defaultCell(c *schema.Column) datum.Value {
	text, ok := defaultText(c)
	if !ok {
		return datum.Value{}
	}
	return textOf(text)
}

// tableRows lists the newest version of every stored table.
func tableRows(_ context.Context, v *View, _ Caller, _ *keyBounds) ([][]datum.Value, error) {
	var rows [][]datum.Value
	for _, t := range v.storedTables() {
		options, err := optionsJSON(t)
		if err != nil {
			return nil, err
		}
		rows = append(rows, []datum.Value{
			textOf(t.Namespace), textOf(t.Name), textOf(t.Kind.String()), optional(t.Options.StorageID), bigOf(t.Version),
			textOf(options.Text()), optional(t.Comment), timeOf(t.UpdatedAt), timeOf(t.CreatedAt),
		})
	}
	return rows, nil
}

// keyPlace returns the place of a column in the primary key from 1 on, or NULL.
func keyPlace(t *schema.Table, c *schema.Column, kind datum.Kind) datum.Value {
	place := slices.Index(t.Key, c.ID)
	if place < 0 {
		return datum.Value{}
	}
	return datum.NewInt(kind, int64(place+1))
}

// columnRows lists the columns of every stored table.
func columnRows(_ context.Context, v *View, _ Caller, b *keyBounds) ([][]datum.Value, error) {
	var rows [][]datum.Value
	for _, t := range v.storedTables() {
		if !b.mayHold(textOf(t.Namespace), textOf(t.Name)) {
			continue
		}
		for i := range t.Columns {
			c := &t.Columns[i]
			rows = append(rows, []datum.Value{
				textOf(t.Namespace), textOf(t.Name), bigOf(t.Version), bigOf(c.ID), textOf(c.Name), optional(c.Comment),
				textOf(c.Type.String()), defaultCell(c), intOf(i + 1), boolOf(!c.NotNull), boolOf(t.IsKey(i)),
				keyPlace(t, c, datum.Int),
			})
		}
	}
	return rows, nil
}

// schemataRows lists the namespaces, those of the server's own tables included.
func schemataRows(_ context.Context, v *View, _ Caller, _ *keyBounds) ([][]datum.Value, error) {
	var rows [][]datum.Value
	for _, name := range v.namespaceNames() {
		rows = append(rows, []datum.Value{textOf(catalogName), textOf(name), {}, {}, {}, {}, {}})
	}
	return rows, nil
}

func infoTableRows(_ context.Context, v *View, c Caller, _ *keyBounds) ([][]datum.Value, error) {
	var rows [][]datum.Value
	for _, t := range v.usable(c) {
		if t.Kind == schema.System {
			rows = append(rows, []datum.Value{
				textOf(catalogName), textOf(t.Namespace), textOf(t.Name), textOf("VIEW"), textOf(t.Namespace), textOf("system"),
				{}, bigOf(t.Version), {}, {}, {}, {},
			})
			continue
		}
		options, err := optionsJSON(t)
		if err != nil {
			return nil, err
		}
		rows = append(rows, []datum.Value{
			textOf(catalogName), textOf(t.Namespace), textOf(t.Name), textOf("BASE TABLE"), textOf(t.Namespace),
			textOf(t.Kind.String()), optional(t.Options.StorageID), bigOf(t.Version), textOf(options.Text()),
			optional(t.Comment), timeOf(t.UpdatedAt), timeOf(t.CreatedAt),
		})
	}
	for _, s := range v.readableViews(c) {
		rows = append(rows, []datum.Value{
			textOf(catalogName), textOf(s.Namespace), textOf(s.Name), textOf("VIEW"), textOf(s.Namespace), textOf("view"),
			{}, bigOf(s.Version), {}, optional(s.Comment), timeOf(s.UpdatedAt), timeOf(s.CreatedAt),
		})
	}
	return rows, nil
}

// standardType is a type as information_schema names it.
type standardType struct {
	name, udt                   string
	precision, radix, timeParts int64 // 0 is NULL; timeParts is datetime_precision
}

// standardTypes maps kinds to the names of the SQL standard and of PostgreSQL.
var standardTypes = map[datum.Kind]standardType{
	datum.Bool:      {"boolean", "bool", 0, 0, 0},
	datum.SmallInt:  {"smallint", "int2", 16, 2, 0},
	datum.Int:       {"integer", "int4", 32, 2, 0},
	datum.BigInt:    {"bigint", "int8", 64, 2, 0},
	datum.Float:     {"real", "float4", 24, 2, 0},
	datum.Double:    {"double precision", "float8", 53, 2, 0},
	datum.Decimal:   {"numeric", "numeric", 38, 10, 0},
	datum.Text:      {"text", "text", 0, 0, 0},
	datum.Bytes:     {"bytea", "bytea", 0, 0, 0},
	datum.JSON:      {"json", "json", 0, 0, 0},
	datum.UUID:      {"uuid", "uuid", 0, 0, 0},
	datum.Date:      {"date", "date", 0, 0, 0},
	datum.Time:      {"time without time zone", "time", 0, 0, 6},
	datum.Timestamp: {"timestamp without time zone", "timestamp", 0, 0, 6},
	datum.DateTime:  {"timestamp with time zone", "timestamptz", 0, 0, 6},
	datum.Embedding: {"USER-DEFINED", "embedding", 0, 0, 0},
	datum.File:      {"USER-DEFINED", "file", 0, 0, 0},
}

func infoColumnRows(_ context.Context, v *View, c Caller, b *keyBounds) ([][]datum.Value, error) {
	var rows [][]datum.Value
	type place struct {
		table  schema.TableID
		column schema.ColumnID
	}
	counters := map[place]*schema.Sequence{}
	for _, s := range v.sequences(c) {
		if s.Table != 0 {
			counters[place{s.Table, s.Column}] = s
		}
	}
	for _, t := range v.usable(c) {
		if !b.mayHold(textOf(t.Namespace), textOf(t.Name)) {
			continue
		}
		for i := range t.Columns {
			rows = append(rows, infoColumn(t, i, counters[place{t.ID, t.Columns[i].ID}]))
		}
	}
	for _, s := range v.readableViews(c) {
		if !b.mayHold(textOf(s.Namespace), textOf(s.Name)) {
			continue
		}
		t := viewTable(s)
		for i := range t.Columns {
			rows = append(rows, infoColumn(t, i, nil))
		}
	}
	return rows, nil
}

// infoColumn is a column; counter is the sequence that belongs to it, if any.
func infoColumn(t *schema.Table, i int, counter *schema.Sequence) []datum.Value {
	c := &t.Columns[i]
	standard := standardTypes[c.Type.Kind]
	if c.Type.Kind == datum.Array {
		standard = standardType{name: "ARRAY", udt: "_" + standardTypes[c.Type.Elem].udt}
	}
	number := func(n int64) datum.Value {
		if n == 0 {
			return datum.Value{}
		}
		return bigOf(n)
	}
	precision, scale := number(standard.precision), datum.Value{}
	switch {
	case c.Type.Kind == datum.Decimal:
		precision, scale = bigOf(int64(c.Type.Precision)), bigOf(int64(c.Type.Scale))
	case c.Type.Kind.IsInteger():
		scale = bigOf(0)
	}
	row := []datum.Value{
		textOf(catalogName), textOf(t.Namespace), textOf(t.Name), textOf(c.Name), bigOf(i + 1), defaultCell(c),
		textOf(yesNo(!c.NotNull)), textOf(standard.name), {}, {}, precision, number(standard.radix), scale,
		number(standard.timeParts), {}, textOf("pg_catalog"), textOf(standard.udt), textOf("NEVER"),
		textOf(strings.ToLower(c.Type.String())), textOf(t.Namespace), bigOf(t.Version), bigOf(c.ID), optional(c.Comment),
		defaultCell(c), boolOf(t.IsKey(i)), keyPlace(t, c, datum.BigInt), textOf(catalogName),
	}
	return append(row, identityCells(t, c, counter)...)
}

// yesNo is how information_schema writes a truth.
func yesNo(t bool) string {
	if t {
		return "YES"
	}
	return "NO"
}

// identityCells are what information_schema.columns says about an identity
// column, and whether its table can be written. A BIGINT that is numbered
// without a sequence has no bounds.
func identityCells(t *schema.Table, c *schema.Column, counter *schema.Sequence) []datum.Value {
	cells := []datum.Value{textOf("NO"), {}, {}, {}, {}, {}, textOf("NO"), textOf(yesNo(t.Kind != schema.System))}
	if c.Identity == "" {
		return cells
	}
	cells[0], cells[1] = textOf("YES"), textOf(strings.ToUpper(string(c.Identity)))
	if counter != nil {
		for i, n := range []int64{counter.Start, counter.Increment, counter.Max, counter.Min} {
			cells[2+i] = textOf(strconv.FormatInt(n, 10))
		}
		cells[6] = textOf(yesNo(counter.Cycle))
	}
	return cells
}
