package relation

import (
	"context"
	"slices"
	"strings"
	"time"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/plan"
	"kalamdb/internal/store/catalog"
)

// pgRows maps a table of pg_catalog to its rows. It is never written after the
// program has started.
var pgRows = map[string]rowsOf{
	"pg_namespace":   pgNamespaceRows,
	"pg_class":       pgClassRows,
	"pg_attribute":   pgAttributeRows,
	"pg_attrdef":     pgDefaultRows,
	"pg_type":        pgTypeRows,
	"pg_database":    pgDatabaseRows,
	"pg_settings":    pgSettingRows,
	"pg_tables":      pgTableRows,
	"pg_views":       pgViewRows,
	"pg_index":       pgIndexRows,
	"pg_indexes":     pgIndexesRows,
	"pg_constraint":  pgConstraintRows,
	"pg_proc":        pgFunctionRows,
	"pg_description": pgDescriptionRows,
	"pg_roles":       pgRoleRows,
	"pg_user":        pgUserRows,
	"pg_am":          pgMethodRows,
	"pg_collation":   pgCollationRows,
	"pg_language":    pgLanguageRows,
	"pg_tablespace":  pgSpaceRows,
	"pg_sequence":    pgSequenceRows,
	"pg_sequences":   pgSequencesRows,
	"pg_opclass":     pgClassOfOperatorRows,
}

func smallOf(n int) datum.Value { return datum.NewInt(datum.SmallInt, int64(n)) }

func floatOf(f float32) datum.Value { return datum.NewFloat(f) }

// smallsOf and bigsOf are arrays of numbers.
func smallsOf(items []int) datum.Value { return numbersOf(datum.SmallInt, items) }

func bigsOf(items []int64) datum.Value { return numbersOf(datum.BigInt, items) }

func numbersOf[N int | int64](kind datum.Kind, items []N) datum.Value {
	values := make([]datum.Value, len(items))
	for i, n := range items {
		values[i] = datum.NewInt(kind, int64(n))
	}
	return datum.NewArray(kind, values)
}

// namespaceNames returns the namespaces, those of the server's own tables
// included.
func (v *View) namespaceNames() []string {
	names := []string{InformationSchema, PGCatalog, schema.SystemNamespace}
	for n := range v.moment.Definitions().Namespaces() {
		names = append(names, n.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func pgNamespaceRows(_ context.Context, v *View, _ Caller, _ *keyBounds) ([][]datum.Value, error) {
	var rows [][]datum.Value
	for _, name := range v.namespaceNames() {
		rows = append(rows, []datum.Value{bigOf(namespaceOID(name)), textOf(name), bigOf(oidRoot), {}})
	}
	return rows, nil
}

func pgClassRows(_ context.Context, v *View, c Caller, _ *keyBounds) ([][]datum.Value, error) {
	var rows [][]datum.Value
	for _, o := range v.objects(c) {
		rows = append(rows, pgClassRow(&o, o.oid, o.name, o.kind, oidHeap, len(o.attributes())))
		for _, x := range o.indexes() {
			rows = append(rows, pgClassRow(&o, x.oid, x.name, "i", x.method, len(x.columns)))
		}
	}
	for _, s := range v.sequences(c) {
		o := object{def: &schema.Table{Namespace: s.Namespace}}
		rows = append(rows, pgClassRow(&o, sequenceOID(s), s.Name, "S", 0, 0))
	}
	return rows, nil
}

func pgClassRow(o *object, oid int64, name, kind string, method int64, columns int) []datum.Value {
	checks, indexed := 0, false
	switch kind {
	case "r":
		checks, indexed = len(o.def.Checks), len(o.indexes()) > 0
	case "v":
		method = 0
	}
	zero, no := bigOf(0), boolOf(false)
	return []datum.Value{
		bigOf(oid), textOf(name), bigOf(namespaceOID(o.def.Namespace)), zero, zero, bigOf(oidRoot), bigOf(method), bigOf(oid), zero,
		intOf(0), floatOf(-1), intOf(0), zero, boolOf(indexed), no, textOf("p"), textOf(kind), smallOf(columns), smallOf(checks),
		boolOf(o.view != nil), no, no, no, no, boolOf(true), textOf("d"), no, zero, zero, zero, {}, {}, {},
	}
}

func pgAttributeRows(_ context.Context, v *View, c Caller, b *keyBounds) ([][]datum.Value, error) {
	var rows [][]datum.Value
	for _, o := range v.objects(c) {
		if b.mayHold(bigOf(o.oid)) {
			number := 0
			for i := range o.def.Columns {
				column := &o.def.Columns[i]
				n := -int(column.System)
				if column.System == schema.NotSystem {
					number++
					n = number
				}
				_, defaults := defaultText(column)
				rows = append(rows, pgAttributeRow(o.oid, column, n, column.NotNull, defaults && n > 0))
			}
		}
		for _, x := range o.indexes() {
			for n, id := range x.columns {
				rows = append(rows, pgAttributeRow(x.oid, &o.def.Columns[o.def.ColumnByID(id)], n+1, false, false))
			}
		}
	}
	return rows, nil
}

func pgAttributeRow(rel int64, column *schema.Column, number int, notNull, defaults bool) []datum.Value {
	t := pgTypeOf(column.Type)
	dimensions := 0
	if column.Type.Kind == datum.Array {
		dimensions = 1
	}
	storage, collation := "p", int64(0)
	if t.length < 0 {
		storage = "x"
	}
	if column.Type.Kind == datum.Text {
		collation = 100
	}
	identity := ""
	switch column.Identity {
	case schema.IdentityAlways:
		identity = "a"
	case schema.IdentityByDefault:
		identity = "d"
	}
	no := boolOf(false)
	return []datum.Value{
		bigOf(rel), textOf(column.Name), bigOf(t.oid), intOf(-1), smallOf(t.length), smallOf(number), intOf(dimensions), intOf(-1),
		intOf(modifierOf(column.Type)), boolOf(t.length > 0 && t.length <= 8), textOf("d"), textOf(storage), textOf(""),
		boolOf(notNull), boolOf(defaults), no, textOf(identity), textOf(""), no, boolOf(true), intOf(0), bigOf(collation), {}, {}, {}, {},
	}
}

func pgDefaultRows(_ context.Context, v *View, c Caller, _ *keyBounds) ([][]datum.Value, error) {
	var rows [][]datum.Value
	for _, o := range v.objects(c) {
		for n, i := range o.attributes() {
			if text, ok := defaultText(&o.def.Columns[i]); ok {
				oid := o.oid + oidDefault + int64(o.def.Columns[i].ID)
				rows = append(rows, []datum.Value{bigOf(oid), bigOf(o.oid), smallOf(n + 1), textOf(text)})
			}
		}
	}
	return rows, nil
}

func pgTypeRows(context.Context, *View, Caller, *keyBounds) ([][]datum.Value, error) {
	var rows [][]datum.Value
	for _, t := range pgTypes {
		rows = append(rows, pgTypeRow(t, 0))
		if t.array != 0 {
			rows = append(rows, pgTypeRow(pgType{oid: t.array, name: "_" + t.name, length: -1, category: "A"}, t.oid))
		}
	}
	for _, t := range []pgType{
		{18, "char", 1, 1002, "Z"}, {19, "name", 64, 1003, "S"}, {26, "oid", 4, 1028, "N"}, {114, "json", -1, 199, "U"},
		{1042, "bpchar", -1, 1014, "S"}, {1043, "varchar", -1, 1015, "S"}, {705, "unknown", -2, 0, "X"}, {2205, "regclass", 4, 2210, "N"},
		{2276, "any", 4, 0, "P"}, {2277, "anyarray", -1, 0, "P"}, {2283, "anyelement", 4, 0, "P"},
	} {
		rows = append(rows, pgTypeRow(t, 0))
	}
	return append(rows, pgTypeRow(pgType{22, "int2vector", -1, 1006, "A"}, 21), pgTypeRow(pgType{30, "oidvector", -1, 1013, "A"}, 26)), nil
}

func pgTypeRow(t pgType, element int64) []datum.Value {
	kind, collation, io := "b", int64(0), t.name
	switch t.category {
	case "S":
		collation = 100
	case "X", "P":
		kind = "p"
	case "A":
		if strings.HasPrefix(t.name, "_") {
			io = "array_"
		}
	}
	method := func(suffix string) datum.Value { return bigOf(plan.FunctionOID(io + suffix)) }
	zero := bigOf(0)
	return []datum.Value{
		bigOf(t.oid), textOf(t.name), bigOf(oidPGCatalog), bigOf(oidRoot), smallOf(t.length), boolOf(t.length > 0 && t.length <= 8),
		textOf(kind), textOf(t.category), boolOf(t.oid == 16 || t.oid == 25 || t.oid == 701 || t.oid == 1184), boolOf(true),
		textOf(","), zero, zero, bigOf(element), bigOf(t.array), method("in"), method("out"), method("recv"), method("send"),
		zero, zero, zero, textOf("i"), textOf("p"), boolOf(false), zero,
		intOf(-1), intOf(0), bigOf(collation), {}, {}, {},
	}
}

func pgDatabaseRows(context.Context, *View, Caller, *keyBounds) ([][]datum.Value, error) {
	return [][]datum.Value{{
		bigOf(oidDatabase), textOf(catalogName), bigOf(oidRoot), intOf(6), textOf("c"), boolOf(false), boolOf(true), intOf(-1),
		bigOf(0), bigOf(0), bigOf(oidSpace), textOf("C.UTF-8"), textOf("C.UTF-8"), {}, {}, {},
	}}, nil
}

// Activity is a session that runs a statement.
type Activity struct {
	PID                            int
	User                           schema.UserID
	Application, Address           string
	Opened, Transaction, Statement time.Time // Transaction may be zero
	Query                          string
}

// Row is the row of pg_stat_activity.
func (a *Activity) Row() []datum.Value {
	at := func(t time.Time) datum.Value {
		if t.IsZero() {
			return datum.NullValue
		}
		return timeOf(t.UnixMicro())
	}
	address := datum.NullValue
	if a.Address != "" {
		address = textOf(a.Address)
	}
	return []datum.Value{
		bigOf(oidDatabase), textOf(catalogName), intOf(a.PID), {}, bigOf(roleOID(a.User)), textOf(string(a.User)), textOf(a.Application), address, {}, {},
		at(a.Opened), at(a.Transaction), at(a.Statement), at(a.Statement), {}, {}, textOf("active"), {}, {}, {}, textOf(a.Query), textOf("client backend"),
	}
}

func pgSettingRows(_ context.Context, _ *View, c Caller, _ *keyBounds) ([][]datum.Value, error) {
	var rows [][]datum.Value
	for _, s := range plan.Settings(c.Namespace) {
		from := "default"
		if c.Variables != nil {
			if value, ok := c.Variables.Setting(s.Name); ok {
				s.Value, from = value, "session"
			}
		}
		rows = append(rows, []datum.Value{
			textOf(s.Name), textOf(s.Value), {}, textOf("Preset Options"), textOf(s.Doc), {}, textOf("user"), textOf("string"),
			textOf(from), {}, {}, {}, textOf(s.Value), textOf(s.Value), {}, {}, boolOf(false),
		})
	}
	return rows, nil
}

func pgTableRows(_ context.Context, v *View, c Caller, _ *keyBounds) ([][]datum.Value, error) {
	var rows [][]datum.Value
	no := boolOf(false)
	for _, o := range v.objects(c) {
		if o.kind == "r" {
			rows = append(rows, []datum.Value{
				textOf(o.def.Namespace), textOf(o.name), textOf("root"), {}, boolOf(len(o.indexes()) > 0), no, no, no,
			})
		}
	}
	return rows, nil
}

func pgViewRows(_ context.Context, v *View, c Caller, _ *keyBounds) ([][]datum.Value, error) {
	var rows [][]datum.Value
	for _, o := range v.objects(c) {
		if o.kind != "v" {
			continue
		}
		text := datum.Value{}
		if o.view != nil {
			text = textOf(o.view.Text)
		}
		rows = append(rows, []datum.Value{textOf(o.def.Namespace), textOf(o.name), textOf("root"), text})
	}
	return rows, nil
}

func pgIndexRows(_ context.Context, v *View, c Caller, _ *keyBounds) ([][]datum.Value, error) {
	var rows [][]datum.Value
	yes, no := boolOf(true), boolOf(false)
	for _, o := range v.objects(c) {
		for _, x := range o.indexes() {
			n := len(x.columns)
			rows = append(rows, []datum.Value{
				bigOf(x.oid), bigOf(o.oid), smallOf(n), smallOf(n), boolOf(x.unique), no, boolOf(x.kind == "p"), no, yes, no,
				boolOf(x.ready), no, yes, yes, no,
				smallsOf(o.numbers(x.columns)), bigsOf(o.collations(x.columns)), bigsOf(o.classes(x.columns)), smallsOf(make([]int, n)), {}, {},
			})
		}
	}
	return rows, nil
}

func pgIndexesRows(_ context.Context, v *View, c Caller, _ *keyBounds) ([][]datum.Value, error) {
	var rows [][]datum.Value
	for _, o := range v.objects(c) {
		for _, x := range o.indexes() {
			rows = append(rows, []datum.Value{
				textOf(o.def.Namespace), textOf(o.name), textOf(x.name), {}, textOf(o.definition(&x)),
			})
		}
	}
	return rows, nil
}

func pgConstraintRows(_ context.Context, v *View, c Caller, _ *keyBounds) ([][]datum.Value, error) {
	var rows [][]datum.Value
	for _, o := range v.objects(c) {
		if o.kind != "r" {
			continue
		}
		for _, x := range o.indexes() {
			if x.constraint != 0 {
				rows = append(rows, pgConstraintRow(&o, x.constraint, x.name, x.kind, x.oid, o.numbers(x.columns), x.ready, datum.Value{}))
			}
		}
		for i := range o.def.Checks {
			check := &o.def.Checks[i]
			numbers := o.numbers(check.Columns)
			rows = append(rows, pgConstraintRow(&o, o.oid+oidCheck+int64(i), check.Name, "c", 0, numbers, !check.Unproven, textOf(check.Text)))
		}
	}
	return rows, nil
}

func pgConstraintRow(o *object, oid int64, name, kind string, index int64, columns []int, valid bool, text datum.Value) []datum.Value {
	zero, blank, no := bigOf(0), textOf(" "), boolOf(false)
	return []datum.Value{
		bigOf(oid), textOf(name), bigOf(namespaceOID(o.def.Namespace)), textOf(kind), no, no, boolOf(valid), bigOf(o.oid), zero,
		bigOf(index), zero, zero, blank, blank, blank, boolOf(true), intOf(0), boolOf(kind == "p"), smallsOf(columns), {}, {}, {}, {}, {}, {}, text,
	}
}

// pgFunctionRows lists the functions with the types that they take and give, as
// far as PostgreSQL has names for them.
func pgFunctionRows(context.Context, *View, Caller, *keyBounds) ([][]datum.Value, error) {
	var rows [][]datum.Value
	no, zero := boolOf(false), bigOf(0)
	for _, p := range plan.Procedures() {
		cost, variadic, returned := float32(1), zero, float32(0)
		if p.Variadic {
			variadic = bigOf(p.Args[len(p.Args)-1])
		}
		if p.Set {
			returned = 1000
		}
		rows = append(rows, []datum.Value{
			bigOf(p.OID), textOf(p.Name), bigOf(oidPGCatalog), bigOf(oidRoot), bigOf(12), floatOf(cost), floatOf(returned), variadic,
			zero, textOf(p.Kind), no, no, boolOf(p.Strict), boolOf(p.Set), textOf(p.Volatility.String()[:1]), textOf("s"),
			smallOf(len(p.Args)), smallOf(0), bigOf(p.Result), bigsOf(p.Args), {}, {}, {}, {}, {}, textOf(p.Name), {}, {}, {}, {},
		})
	}
	return rows, nil
}

func pgDescriptionRows(_ context.Context, v *View, c Caller, _ *keyBounds) ([][]datum.Value, error) {
	var rows [][]datum.Value
	for _, o := range v.objects(c) {
		if o.def.Comment != "" {
			rows = append(rows, []datum.Value{bigOf(o.oid), bigOf(oidClassRel), intOf(0), textOf(o.def.Comment)})
		}
		for n, i := range o.attributes() {
			if text := o.def.Columns[i].Comment; text != "" {
				rows = append(rows, []datum.Value{bigOf(o.oid), bigOf(oidClassRel), intOf(n + 1), textOf(text)})
			}
		}
	}
	return rows, nil
}

// accounts returns who an account may know: an administrator everybody, others
// themselves.
func (v *View) accounts(ctx context.Context, c Caller) ([]schema.UserRecord, error) {
	if !c.Role.Admin() {
		u, ok, err := catalog.Users().Get(v.moment.Reader(), string(c.User))
		if err != nil || !ok {
			return nil, err
		}
		return []schema.UserRecord{u}, nil
	}
	var all []schema.UserRecord
	for after := ""; ; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		page, err := catalog.Users().List(v.moment.Reader(), after, pageRows)
		if err != nil {
			return nil, err
		}
		for _, u := range page {
			if u.DeletedAt == 0 {
				all = append(all, u)
			}
		}
		if len(page) < pageRows {
			return all, nil
		}
		after = string(page[len(page)-1].ID)
	}
}

func pgRoleRows(ctx context.Context, v *View, c Caller, _ *keyBounds) ([][]datum.Value, error) {
	accounts, err := v.accounts(ctx, c)
	if err != nil {
		return nil, err
	}
	var rows [][]datum.Value
	for _, u := range accounts {
		admin := boolOf(u.Role.Admin())
		rows = append(rows, []datum.Value{
			textOf(string(u.ID)), admin, boolOf(true), admin, admin, boolOf(true), boolOf(false), intOf(-1), textOf("********"), {},
			admin, {}, bigOf(roleOID(u.ID)),
		})
	}
	return rows, nil
}

func pgUserRows(ctx context.Context, v *View, c Caller, _ *keyBounds) ([][]datum.Value, error) {
	accounts, err := v.accounts(ctx, c)
	if err != nil {
		return nil, err
	}
	var rows [][]datum.Value
	for _, u := range accounts {
		admin := boolOf(u.Role.Admin())
		rows = append(rows, []datum.Value{
			textOf(string(u.ID)), bigOf(roleOID(u.ID)), admin, admin, boolOf(false), admin, textOf("********"), {}, {},
		})
	}
	return rows, nil
}

func pgMethodRows(context.Context, *View, Caller, *keyBounds) ([][]datum.Value, error) {
	return [][]datum.Value{
		{bigOf(oidHeap), textOf("heap"), textOf("heap_tableam_handler"), textOf("t")},
		{bigOf(oidBtree), textOf("btree"), textOf("bthandler"), textOf("i")},
		{bigOf(vectorMethods[schema.Cosine]), textOf(string(schema.Cosine)), textOf("-"), textOf("i")},
		{bigOf(vectorMethods[schema.Straight]), textOf(string(schema.Straight)), textOf("-"), textOf("i")},
		{bigOf(vectorMethods[schema.Dot]), textOf(string(schema.Dot)), textOf("-"), textOf("i")},
	}, nil
}

// pgClassOfOperatorRows are the orders of the types that an index may have.
func pgClassOfOperatorRows(context.Context, *View, Caller, *keyBounds) ([][]datum.Value, error) {
	var rows [][]datum.Value
	for _, t := range pgTypes {
		rows = append(rows, []datum.Value{
			bigOf(t.operators()), bigOf(oidBtree), textOf(t.name + "_ops"), bigOf(oidPGCatalog), bigOf(oidRoot), bigOf(nameOID("family", t.name)),
			bigOf(t.oid), boolOf(true), bigOf(0),
		})
	}
	return rows, nil
}

func pgCollationRows(context.Context, *View, Caller, *keyBounds) ([][]datum.Value, error) {
	row := func(oid int, name, provider, locale string) []datum.Value {
		return []datum.Value{
			bigOf(oid), textOf(name), bigOf(oidPGCatalog), bigOf(oidRoot), textOf(provider), boolOf(true), intOf(-1), optional(locale),
			optional(locale), {}, {},
		}
	}
	return [][]datum.Value{row(100, "default", "d", ""), row(950, "C", "c", "C"), row(951, "POSIX", "c", "POSIX")}, nil
}

func pgLanguageRows(context.Context, *View, Caller, *keyBounds) ([][]datum.Value, error) {
	row := func(oid int, name string) []datum.Value {
		return []datum.Value{bigOf(oid), textOf(name), bigOf(oidRoot), boolOf(false), boolOf(false), bigOf(0), bigOf(0), bigOf(0), {}}
	}
	return [][]datum.Value{row(12, "internal"), row(14, "sql")}, nil
}

func pgSpaceRows(context.Context, *View, Caller, *keyBounds) ([][]datum.Value, error) {
	return [][]datum.Value{{bigOf(oidSpace), textOf("pg_default"), bigOf(oidRoot), {}, {}}}, nil
}
