package relation

import (
	"hash/fnv"
	"slices"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/plan"
)

// Object ids are made of numbers that are never used twice, or of names, so that
// they are the same on each start and each node. Those below 16384 are
// PostgreSQL's own.
const (
	oidPGCatalog = 11
	oidPublic    = 2200
	oidRoot      = 10
	oidHeap      = 2 // of pg_am
	oidBtree     = 403
	oidClassRel  = 1259 // pg_class in pg_description
	oidSpace     = 1663
	oidDatabase  = 1
	oidCollation = 100 // the default one of pg_collation
	oidSystemRel = 20_000
	oidStored    = 1_000_000
	// oidsPerTable are kept for a stored table and what belongs to it.
	oidsPerTable = 4096
	oidKeyIndex  = 1
	oidKey       = 2
	oidCheck     = 3    // and those behind it
	oidDefault   = 1024 // and the number of its column
	// Secondary indexes and their constraints have numbers of their own.
	oidIndex      = 1 << 29
	oidConstraint = 1<<29 + 1<<28
)

// nameOID hashes a name to an id between 2^30 and 2^31.
func nameOID(kind, name string) int64 {
	h := fnv.New32a()
	h.Write([]byte(kind + "\x00" + name))
	return 1<<30 | int64(h.Sum32()&(1<<30-1))
}

func namespaceOID(name string) int64 {
	switch name {
	case PGCatalog:
		return oidPGCatalog
	case "public":
		return oidPublic
	}
	return nameOID("namespace", name)
}

func roleOID(name schema.UserID) int64 {
	if name == "root" {
		return oidRoot
	}
	return nameOID("role", string(name))
}

// catalogOIDs are the numbers that PostgreSQL gives its own tables. Comments and
// dependencies name them.
var catalogOIDs = map[string]int64{
	"pg_type": 1247, "pg_attribute": 1249, "pg_proc": 1255, "pg_class": oidClassRel, "pg_database": 1262, "pg_am": 2601, "pg_attrdef": 2604,
	"pg_cast": 2605, "pg_constraint": 2606, "pg_depend": 2608, "pg_description": 2609, "pg_index": 2610, "pg_inherits": 2611,
	"pg_language": 2612, "pg_namespace": 2615, "pg_opclass": 2616, "pg_operator": 2617, "pg_rewrite": 2618, "pg_trigger": 2620,
	"pg_opfamily": 2753, "pg_collation": 3456, "pg_enum": 3501, "pg_event_trigger": 3466, "pg_extension": 3079, "pg_sequence": 2224,
	"pg_tablespace": 1213, "pg_policy": 3256, "pg_statistic_ext": 3381, "pg_shdescription": 2396,
}

// tableOID is where the ids of a table and its parts begin.
func tableOID(t *schema.Table) int64 {
	if oid, ok := catalogOIDs[t.Name]; ok && t.Namespace == PGCatalog {
		return oid
	}
	if t.ID >= firstSystemID {
		return oidSystemRel + int64(t.ID-firstSystemID)
	}
	return oidStored + int64(t.ID)*oidsPerTable
}

// object is a table, a view or an index as PostgreSQL's catalog shows it.
type object struct {
	oid  int64
	kind string // "r", "v" or "i"
	def  *schema.Table
	view *schema.View // of a stored view
	name string
}

// attributes returns the positions of the columns that a user has made, in
// order: those of the system have no positive number.
func (o *object) attributes() []int {
	var at []int
	for i := range o.def.Columns {
		if o.def.Columns[i].System == schema.NotSystem {
			at = append(at, i)
		}
	}
	return at
}

// numberOf returns the number of a column among those a user has made.
func (o *object) numberOf(id schema.ColumnID) int {
	for n, i := range o.attributes() {
		if o.def.Columns[i].ID == id {
			return n + 1
		}
	}
	return 0
}

// viewTable gives a stored view the form of a table.
func viewTable(v *schema.View) *schema.Table {
	t := &schema.Table{Namespace: v.Namespace, Name: v.Name, Kind: schema.System, Version: v.Version, Comment: v.Comment,
		CreatedAt: v.CreatedAt, UpdatedAt: v.UpdatedAt}
	for i, c := range v.Outputs {
		t.Columns = append(t.Columns, schema.Column{ID: schema.ColumnID(i + 1), Name: c.Name, Type: c.Type, Comment: c.Comment})
	}
	return t
}

// storedViews returns the views of every namespace.
func (v *View) storedViews() []*schema.View {
	var views []*schema.View
	d := v.moment.Definitions()
	for n := range d.Namespaces() {
		views = slices.AppendSeq(views, d.Views(n.Name))
	}
	return views
}

// objects returns what a caller may use, without indexes.
func (v *View) objects(c Caller) []object {
	var all []object
	for _, t := range v.usable(c) {
		kind := "r"
		if t.Kind == schema.System {
			kind = "v"
		}
		all = append(all, object{oid: tableOID(t), kind: kind, def: t, name: t.Name})
	}
	for _, s := range v.readableViews(c) {
		all = append(all, object{oid: nameOID("view", s.QualifiedName()), kind: "v", def: viewTable(s), view: s, name: s.Name})
	}
	return all
}

// keyName is the name of the primary key of a table, and of its index.
func keyName(t *schema.Table) string { return t.Name + "_pkey" }

// index is the index of a primary key, or a secondary one.
type index struct {
	oid, constraint int64  // 0 for one that no constraint has made
	name, kind      string // of the constraint: "p", "u" or ""
	columns         []schema.ColumnID
	unique, ready   bool
	method          int64 // of pg_am
}

// indexes returns the indexes of a table, that of its key first.
func (o *object) indexes() []index {
	if o.kind != "r" {
		return nil
	}
	var all []index
	if len(o.def.Key) > 0 {
		all = append(all, index{o.oid + oidKeyIndex, o.oid + oidKey, keyName(o.def), "p", o.def.Key, true, true, oidBtree})
	}
	for i := range o.def.Indexes {
		x := &o.def.Indexes[i]
		made := index{oid: oidIndex + int64(x.ID), name: x.Name, columns: x.Columns, unique: x.Unique, ready: !x.Building, method: oidBtree}
		if x.Constraint {
			made.constraint, made.kind = oidConstraint+int64(x.ID), "u"
		}
		all = append(all, made)
	}
	for i := range o.def.Vectors {
		x := &o.def.Vectors[i]
		all = append(all, index{oid: nameOID("index", o.def.Namespace+"."+x.Name), name: x.Name, columns: []schema.ColumnID{x.Column}, ready: true,
			method: vectorMethods[x.Metric]})
	}
	return all
}

// vectorMethods are the rows of pg_am for vector indexes, methodNames those of
// all indexes.
var (
	vectorMethods = map[schema.Metric]int64{schema.Cosine: 404, schema.Straight: 406, schema.Dot: 407}
	methodNames   = map[int64]string{oidBtree: "btree", 404: string(schema.Cosine), 406: string(schema.Straight), 407: string(schema.Dot)}
)

// definition is an index as a statement.
func (o *object) definition(x *index) string {
	unique := ""
	if x.unique {
		unique = "UNIQUE "
	}
	return "CREATE " + unique + "INDEX " + quoteName(x.name) + " ON " + quoteName(o.def.Namespace) + "." + quoteName(o.name) +
		" USING " + methodNames[x.method] + " (" + o.columnNames(x.columns) + ")"
}

// columnNames writes columns with commas between them.
func (o *object) columnNames(columns []schema.ColumnID) string {
	names := make([]string, len(columns))
	for i, id := range columns {
		names[i] = quoteName(o.def.Columns[o.def.ColumnByID(id)].Name)
	}
	return strings.Join(names, ", ")
}

// numbers are the numbers of columns.
func (o *object) numbers(columns []schema.ColumnID) []int {
	numbers := make([]int, len(columns))
	for i, id := range columns {
		numbers[i] = o.numberOf(id)
	}
	return numbers
}

// collations are the orders of texts of columns, 0 for other types.
func (o *object) collations(columns []schema.ColumnID) []int64 {
	all := make([]int64, len(columns))
	for i, id := range columns {
		if o.def.Columns[o.def.ColumnByID(id)].Type.Kind == datum.Text {
			all[i] = oidCollation
		}
	}
	return all
}

// classes are the orders of the types of columns.
func (o *object) classes(columns []schema.ColumnID) []int64 {
	all := make([]int64, len(columns))
	for i, id := range columns {
		all[i] = pgTypes[o.def.Columns[o.def.ColumnByID(id)].Type.Kind].operators()
	}
	return all
}

// quoteName writes a name as SQL takes it.
func quoteName(name string) string { return plan.QuoteName(name) }

// Catalog answers what functions of PostgreSQL's catalog ask about objects.
type Catalog struct {
	view   *View
	caller Caller
	byOID  map[int64]found
	byName map[[2]string]int64
	// functions are those of pg_proc, once one was asked for.
	functions map[int64]plan.Procedure
}

// Catalog returns the objects of a view that a caller may use. It reads the view
// at the first question, and is used by one goroutine at a time while the view
// is held.
func (v *View) Catalog(c Caller) *Catalog { return &Catalog{view: v, caller: c} }

// found is what stands behind a number: a relation, or an index or a constraint
// of one.
type found struct {
	*object
	index *index
	check *schema.Check
	// constraint says that the number is that of the constraint of index.
	constraint bool
}

func (k *Catalog) find(oid int64) (found, bool) {
	if k.byOID == nil {
		k.byOID = map[int64]found{}
		for _, o := range k.view.objects(k.caller) {
			k.byOID[o.oid] = found{object: &o}
			for _, x := range o.indexes() {
				k.byOID[x.oid] = found{object: &o, index: &x}
				if x.constraint != 0 {
					k.byOID[x.constraint] = found{object: &o, index: &x, constraint: true}
				}
			}
			for i := range o.def.Checks {
				k.byOID[o.oid+oidCheck+int64(i)] = found{object: &o, check: &o.def.Checks[i]}
			}
		}
		for _, s := range k.view.sequences(k.caller) {
			oid := sequenceOID(s)
			k.byOID[oid] = found{object: &object{oid: oid, kind: "S", def: &schema.Table{Namespace: s.Namespace, Name: s.Name}, name: s.Name}}
		}
	}
	f, ok := k.byOID[oid]
	return f, ok
}

// Relation returns the namespace and name of a table, view or index.
func (k *Catalog) Relation(oid int64) (namespace, name string, ok bool) {
	f, ok := k.find(oid)
	switch {
	case !ok || f.constraint || f.check != nil:
		return "", "", false
	case f.index != nil:
		return f.def.Namespace, f.index.name, true
	}
	return f.def.Namespace, f.name, true
}

// OID returns the id of a table, view or index.
func (k *Catalog) OID(namespace, name string) (int64, bool) {
	if k.byName == nil {
		k.find(0)
		k.byName = make(map[[2]string]int64, len(k.byOID))
		for oid := range k.byOID {
			if in, called, ok := k.Relation(oid); ok {
				k.byName[[2]string{in, called}] = oid
			}
		}
	}
	oid, ok := k.byName[[2]string{namespace, name}]
	return oid, ok
}

// Comment returns the comment on a relation, or, when column is not 0, on one of
// its columns.
func (k *Catalog) Comment(oid int64, column int) (string, bool) {
	f, ok := k.find(oid)
	if !ok || f.index != nil || f.check != nil {
		return "", false
	}
	if column == 0 {
		return f.def.Comment, f.def.Comment != ""
	}
	at := f.attributes()
	if column < 1 || column > len(at) {
		return "", false
	}
	text := f.def.Columns[at[column-1]].Comment
	return text, text != ""
}

// Definition writes an index, a constraint or a view as a statement does.
func (k *Catalog) Definition(oid int64) (string, bool) {
	f, ok := k.find(oid)
	switch {
	case !ok:
		return "", false
	case f.check != nil:
		return "CHECK ((" + f.check.Text + "))", true
	case f.constraint && f.index.kind == "p":
		return "PRIMARY KEY (" + f.columnNames(f.index.columns) + ")", true
	case f.constraint:
		return "UNIQUE (" + f.columnNames(f.index.columns) + ")", true
	case f.index != nil:
		return f.definition(f.index), true
	case f.view != nil:
		return f.view.Text, true
	}
	return "", false
}

// IndexColumn returns a column of an index, from 1 on.
func (k *Catalog) IndexColumn(oid int64, column int) (string, bool) {
	f, ok := k.find(oid)
	if !ok || f.index == nil || f.constraint || column < 1 || column > len(f.index.columns) {
		return "", false
	}
	return f.def.Columns[f.def.ColumnByID(f.index.columns[column-1])].Name, true
}

// Role returns the name of an account that the caller may know.
func (k *Catalog) Role(oid int64) (string, bool) {
	for _, name := range []schema.UserID{"root", k.caller.User} {
		if roleOID(name) == oid {
			return string(name), true
		}
	}
	return "", false
}

// Namespace returns the name of a namespace.
func (k *Catalog) Namespace(oid int64) (string, bool) {
	for _, name := range k.view.namespaceNames() {
		if namespaceOID(name) == oid {
			return name, true
		}
	}
	return "", false
}

// NamespaceOID returns the number of a namespace.
func (k *Catalog) NamespaceOID(name string) (int64, bool) {
	if !slices.Contains(k.view.namespaceNames(), name) {
		return 0, false
	}
	return namespaceOID(name), true
}

// pgType is a type as PostgreSQL numbers it.
type pgType struct {
	oid      int64
	name     string
	length   int
	array    int64
	category string
}

// pgTypeOf returns a type as PostgreSQL numbers it; arrays are named after their
// elements.
func pgTypeOf(t datum.Type) pgType {
	if t.Kind != datum.Array {
		return pgTypes[t.Kind]
	}
	element := pgTypes[t.Elem]
	return pgType{oid: element.array, name: "_" + element.name, length: -1, category: "A"}
}

// operators is the number of the order of a type in pg_opclass.
func (t pgType) operators() int64 { return nameOID("operators", t.name) }

// pgTypes are the types that columns have, by kind.
var pgTypes = map[datum.Kind]pgType{
	datum.Bool:      {16, "bool", 1, 1000, "B"},
	datum.SmallInt:  {21, "int2", 2, 1005, "N"},
	datum.Int:       {23, "int4", 4, 1007, "N"},
	datum.BigInt:    {20, "int8", 8, 1016, "N"},
	datum.Float:     {700, "float4", 4, 1021, "N"},
	datum.Double:    {701, "float8", 8, 1022, "N"},
	datum.Decimal:   {1700, "numeric", -1, 1231, "N"},
	datum.Text:      {25, "text", -1, 1009, "S"},
	datum.Bytes:     {17, "bytea", -1, 1001, "U"},
	datum.JSON:      {3802, "jsonb", -1, 3807, "U"},
	datum.UUID:      {2950, "uuid", 16, 2951, "U"},
	datum.Date:      {1082, "date", 4, 1182, "D"},
	datum.Time:      {1083, "time", 8, 1183, "D"},
	datum.Timestamp: {1114, "timestamp", 8, 1115, "D"},
	datum.DateTime:  {1184, "timestamptz", 8, 1185, "D"},
	datum.Interval:  {1186, "interval", 16, 1187, "T"},
	datum.Embedding: {16_001, "embedding", -1, 0, "U"},
	datum.File:      {16_002, "file", -1, 0, "U"},
}

// modifierOf is what PostgreSQL keeps beside a type: precision and scale, or a
// dimension; -1 for none.
func modifierOf(t datum.Type) int {
	switch {
	case t.Kind == datum.Decimal && t.Precision > 0:
		return int(t.Precision)<<16 + int(t.Scale) + 4
	case t.Kind == datum.Embedding:
		return int(t.Dim)
	}
	return -1
}
