package relation

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"kalamdb/internal/cold"
	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
)

// rowsOf returns the rows of a system table, at least those inside the bounds.
type rowsOf func(ctx context.Context, v *View, c Caller, b *keyBounds) ([][]datum.Value, error)

// catalogRows maps a system table to its rows. It is never written after the
// program has started.
var catalogRows = map[string]rowsOf{
	"system.namespaces":           namespaceRows,
	"system.sequences":            sequenceRows,
	"system.schemas":              schemaRows,
	"system.storages":             storageRows,
	"system.manifest":             manifestRows,
	"system.cluster_groups":       groupRows,
	"system.datatypes":            datatypeRows,
	"system.describe":             describeRows,
	"system.tables":               tableRows,
	"system.columns":              columnRows,
	"information_schema.schemata": schemataRows,
	"information_schema.tables":   infoTableRows,
	"information_schema.columns":  infoColumnRows,

	"information_schema.views":                   infoViewRows,
	"information_schema.table_constraints":       infoConstraintRows,
	"information_schema.key_column_usage":        infoKeyRows,
	"information_schema.constraint_column_usage": infoUsageRows,
	"information_schema.check_constraints":       infoCheckRows,
	"information_schema.sequences":               infoSequenceRows,
}

func textOf(s string) datum.Value { return datum.NewText(s) }
func boolOf(b bool) datum.Value   { return datum.NewBool(b) }
func intOf(n int) datum.Value     { return datum.NewInt(datum.Int, int64(n)) }
func bigOf[N ~int | ~int64 | ~uint64 | ~uint32 | ~uint16](n N) datum.Value {
	return datum.NewInt(datum.BigInt, int64(n))
}
func timeOf(micros int64) datum.Value { return datum.NewInt(datum.Timestamp, micros) }

// optional returns NULL for what is empty.
func optional(s string) datum.Value {
	if s == "" {
		return datum.Value{}
	}
	return datum.NewText(s)
}

// optionalTime returns NULL for 0.
func optionalTime(micros int64) datum.Value {
	if micros == 0 {
		return datum.Value{}
	}
	return timeOf(micros)
}

// jsonOf returns a JSON cell; what is not JSON stands in it as a string.
func jsonOf(s string) datum.Value {
	if s == "" {
		return datum.Value{}
	}
	if v, err := datum.NewJSON(s); err == nil {
		return v
	}
	quoted, err := json.Marshal(s)
	if err != nil {
		return datum.Value{}
	}
	v, err := datum.NewJSON(string(quoted))
	if err != nil {
		return datum.Value{}
	}
	return v
}

// userPage lists users by name.
func userPage(_ context.Context, v *View, _ Caller, _ *keyBounds, after string) ([][]datum.Value, bool, error) {
	users, err := catalog.Users().List(v.moment.Reader(), after, pageRows)
	if err != nil {
		return nil, false, err
	}
	rows := make([][]datum.Value, len(users))
	for i := range users {
		rows[i] = userRow(&users[i])
	}
	return rows, len(users) == pageRows, nil
}

func userPoint(v *View, name string) ([]datum.Value, bool, error) {
	u, ok, err := catalog.Users().Get(v.moment.Reader(), name)
	if err != nil || !ok {
		return nil, false, err
	}
	return userRow(&u), true, nil
}

// authTypes and storageModes are spelled as 0.4.3 shows them.
var authTypes = map[schema.AuthType]string{
	schema.AuthPassword: "Password", schema.AuthOAuth: "OAuth", schema.AuthInternal: "Internal",
}

func userRow(u *schema.UserRecord) []datum.Value {
	authType := authTypes[u.AuthType]
	if authType == "" {
		authType = string(u.AuthType)
	}
	mode := "Table"
	if strings.EqualFold(u.StorageMode, "region") {
		mode = "Region"
	}
	return []datum.Value{
		textOf(string(u.ID)), textOf(u.PasswordHash), textOf(u.Role.String()), optional(u.Email), textOf(authType),
		jsonOf(u.AuthData), textOf(mode), optional(u.StorageID), intOf(int(u.FailedLoginAttempts)),
		optionalTime(u.LockedUntil), optionalTime(u.LastLoginAt), timeOf(u.CreatedAt), timeOf(u.UpdatedAt),
		optionalTime(u.LastSeen), optionalTime(u.DeletedAt),
	}
}

func namespaceRows(_ context.Context, v *View, _ Caller, _ *keyBounds) ([][]datum.Value, error) {
	d := v.moment.Definitions()
	var rows [][]datum.Value
	for n := range d.Namespaces() {
		rows = append(rows, []datum.Value{
			textOf(n.Name), textOf(n.Name), timeOf(n.CreatedAt), jsonOf(n.Options), intOf(d.TableCount(n.Name)),
		})
	}
	return rows, nil
}

func storageRows(_ context.Context, v *View, _ Caller, _ *keyBounds) ([][]datum.Value, error) {
	var rows [][]datum.Value
	for s := range v.moment.Definitions().Storages() {
		base := s.BaseDirectory
		if base == "" {
			base = v.relations.o.Cold.Base(*s)
		}
		rows = append(rows, []datum.Value{
			textOf(s.ID), textOf(s.Name), optional(s.Description), textOf(s.Type), textOf(base), jsonOf(cold.Masked(s.Credentials)),
			jsonOf(s.Config), textOf(s.SharedTemplate), textOf(s.UserTemplate), timeOf(s.CreatedAt), timeOf(s.UpdatedAt),
		})
	}
	return rows, nil
}

// schemaRows lists every version of every stored table that the caller may
// read: SHOW TABLES is for everybody.
func schemaRows(ctx context.Context, v *View, c Caller, b *keyBounds) ([][]datum.Value, error) {
	var rows [][]datum.Value
	for t := range v.moment.Definitions().AllTables() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !c.mayRead(t) || !b.mayHold(textOf(t.Namespace+":"+t.Name)) {
			continue
		}
		versions, err := catalog.TableVersions(v.moment.Reader(), t.ID)
		if err != nil {
			return nil, err
		}
		for _, version := range versions {
			version.Name = t.Name // what it was called once, another may be called now
			row, err := schemaRow(version, version.Version == t.Version)
			if err != nil {
				return nil, err
			}
			rows = append(rows, row)
		}
	}
	for _, w := range v.readableViews(c) {
		if !b.mayHold(textOf(w.Namespace + ":" + w.Name)) {
			continue
		}
		row, err := viewSchemaRow(w)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func schemaRow(t *schema.Table, latest bool) ([]datum.Value, error) {
	columns, err := columnsJSON(t)
	if err != nil {
		return nil, err
	}
	options, err := optionsJSON(t)
	if err != nil {
		return nil, err
	}
	access, ownStorage := datum.Value{}, datum.Value{}
	if t.Kind == schema.Shared {
		access = textOf(string(accessOf(t)))
	}
	if t.Kind == schema.User {
		ownStorage = boolOf(t.Options.UseUserStorage)
	}
	return []datum.Value{
		textOf(t.Namespace + ":" + t.Name), textOf(t.Name), textOf(t.Namespace), textOf(t.Kind.String()), timeOf(t.CreatedAt),
		intOf(int(t.Version)), columns, optional(t.Comment), timeOf(t.UpdatedAt), options, access, boolOf(latest),
		optional(t.Options.StorageID), ownStorage,
	}, nil
}

func accessOf(t *schema.Table) schema.Access {
	if t.Options.Access == "" {
		return schema.Private
	}
	return t.Options.Access
}

// columnJSON is one entry of system.schemas.columns.
type columnJSON struct {
	ID         schema.ColumnID `json:"column_id"`
	Name       string          `json:"column_name"`
	Ordinal    int             `json:"ordinal_position"`
	Type       json.RawMessage `json:"data_type"`
	Nullable   bool            `json:"is_nullable"`
	PrimaryKey bool            `json:"is_primary_key"`
	Default    *string         `json:"default_value"`
	Comment    *string         `json:"column_comment"`
}

func columnsJSON(t *schema.Table) (datum.Value, error) {
	columns := make([]columnJSON, len(t.Columns))
	for i := range t.Columns {
		c := &t.Columns[i]
		columns[i] = columnJSON{
			ID: c.ID, Name: c.Name, Ordinal: i + 1, Type: c.Type.AppendWire(nil), Nullable: !c.NotNull, PrimaryKey: t.IsKey(i),
		}
		if text, ok := defaultText(c); ok {
			columns[i].Default = &text
		}
		if c.Comment != "" {
			columns[i].Comment = &c.Comment
		}
	}
	return marshal(columns)
}

// defaultText returns the default of a column as the user wrote it.
func defaultText(c *schema.Column) (string, bool) {
	switch {
	case c.System == schema.DeletedColumn:
		return "false", true
	case c.Default == nil:
		return "", false
	case c.Default.Text != "":
		return c.Default.Text, true
	case c.Default.Function != "":
		return c.Default.Function + "()", true
	}
	v, _, err := datum.DecodeValue(c.Default.Literal)
	return v.String(), err == nil
}

// tableOptions is system.schemas.options.
type tableOptions struct {
	Type             string        `json:"table_type"`
	StorageID        string        `json:"storage_id,omitempty"`
	UseUserStorage   *bool         `json:"use_user_storage,omitempty"`
	FlushPolicy      *string       `json:"flush_policy,omitempty"`
	TTL              int64         `json:"ttl_seconds,omitempty"`
	Access           schema.Access `json:"access_level,omitempty"`
	Compression      string        `json:"compression,omitempty"`
	EvictionStrategy string        `json:"eviction_strategy,omitempty"`
	MaxStreamBytes   int64         `json:"max_stream_size_bytes,omitempty"`
	DeletedRetention *int64        `json:"deleted_retention_seconds,omitempty"`
	Durability       string        `json:"durability,omitempty"`
	Ephemeral        bool          `json:"ephemeral,omitempty"`
	MaxBuffer        int64         `json:"max_buffer,omitempty"`
	Location         string        `json:"location,omitempty"`
	Iceberg          bool          `json:"iceberg,omitempty"`
	Presence         int64         `json:"presence_seconds,omitempty"`
}

func optionsJSON(t *schema.Table) (datum.Value, error) {
	o := &t.Options
	out := tableOptions{
		Type: strings.ToUpper(t.Kind.String()), StorageID: o.StorageID, TTL: o.TTLSeconds, Compression: o.Compression,
		EvictionStrategy: o.EvictionStrategy, MaxStreamBytes: o.MaxStreamSizeBytes, Durability: string(o.Durability),
		Ephemeral: o.Ephemeral, MaxBuffer: o.MaxBuffer, Location: o.Location, Iceberg: o.Iceberg, Presence: o.PresenceSeconds,
	}
	if text := flushPolicyText(o.FlushPolicy); text != "" {
		out.FlushPolicy = &text
	}
	if o.DeletedRetentionSeconds != 0 {
		out.DeletedRetention = &o.DeletedRetentionSeconds
	}
	switch t.Kind {
	case schema.Shared:
		out.Access = accessOf(t)
	case schema.User:
		out.UseUserStorage = &o.UseUserStorage
	}
	return marshal(out)
}

// flushPolicyText spells a policy as FLUSH_POLICY takes it.
func flushPolicyText(p schema.FlushPolicy) string {
	var parts []string
	if p.Rows > 0 {
		parts = append(parts, fmt.Sprintf("rows:%d", p.Rows))
	}
	if p.IntervalSeconds > 0 {
		parts = append(parts, fmt.Sprintf("interval:%d", p.IntervalSeconds))
	}
	return strings.Join(parts, ",")
}

func marshal(v any) (datum.Value, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return datum.Value{}, fmt.Errorf("write a catalog cell: %w", err)
	}
	return datum.NewJSON(string(text))
}

// groupRows: one node has one log, which it leads.
func groupRows(_ context.Context, v *View, _ Caller, _ *keyBounds) ([][]datum.Value, error) {
	node, position := bigOf(int64(v.relations.o.NodeID)), bigOf(v.moment.Position())
	return [][]datum.Value{{
		bigOf(1), textOf("standalone"), node, textOf("data"), bigOf(1), {}, position, position, {}, {}, position,
		textOf("Leader"), node, bigOf(0),
	}}, nil
}

// datatypes are the types with the names Arrow and SQL give them.
var datatypes = [...]struct {
	arrow, sql, about string
	kind              datum.Type
}{
	{"Boolean", "BOOLEAN", "true or false", datum.Type{Kind: datum.Bool}},
	{"Int16", "SMALLINT", "16-bit integer", datum.Type{Kind: datum.SmallInt}},
	{"Int32", "INT", "32-bit integer", datum.Type{Kind: datum.Int}},
	{"Int64", "BIGINT", "64-bit integer", datum.Type{Kind: datum.BigInt}},
	{"Float32", "FLOAT", "single precision floating point number", datum.Type{Kind: datum.Float}},
	{"Float64", "DOUBLE", "double precision floating point number", datum.Type{Kind: datum.Double}},
	{"Decimal128", "DECIMAL", "exact number of up to 38 digits", datum.Type{Kind: datum.Decimal}},
	{"Utf8", "TEXT", "text of any length", datum.Type{Kind: datum.Text}},
	{"Binary", "BYTES", "bytes of any length", datum.Type{Kind: datum.Bytes}},
	{"Utf8", "JSON", "JSON document, kept as text", datum.Type{Kind: datum.JSON}},
	{"FixedSizeBinary(16)", "UUID", "universally unique identifier", datum.Type{Kind: datum.UUID}},
	{"Date32", "DATE", "days since 1970-01-01", datum.Type{Kind: datum.Date}},
	{"Time64(Microsecond)", "TIME", "microseconds since midnight", datum.Type{Kind: datum.Time}},
	{"Timestamp(Microsecond, None)", "TIMESTAMP", "microseconds since 1970-01-01, without zone", datum.Type{Kind: datum.Timestamp}},
	{"Timestamp(Microsecond, Some(\"UTC\"))", "DATETIME", "microseconds since 1970-01-01 UTC", datum.Type{Kind: datum.DateTime}},
	{"FixedSizeList(Float32)", "EMBEDDING", "vector of 1 to 8192 single precision numbers", datum.Type{Kind: datum.Embedding}},
	{"Utf8", "FILE", "reference to an uploaded file", datum.Type{Kind: datum.File}},
}

func datatypeRows(context.Context, *View, Caller, *keyBounds) ([][]datum.Value, error) {
	rows := make([][]datum.Value, len(datatypes))
	for i, d := range datatypes {
		wire := strings.Trim(string(datum.Type{Kind: d.kind.Kind}.AppendWire(nil)), `"`)
		switch d.kind.Kind {
		case datum.Decimal:
			wire = "Decimal"
		case datum.Embedding:
			wire = "Embedding"
		}
		rows[i] = []datum.Value{textOf(d.arrow), textOf(wire), textOf(d.sql), textOf(d.about)}
	}
	return rows, nil
}
