package plan

import (
	"cmp"
	"strconv"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// Objects answers functions that ask about tables by their number in
// pg_catalog, within what the caller may use.
type Objects interface {
	// Relation returns the namespace and name of a table, view or index.
	Relation(oid int64) (namespace, name string, ok bool)
	// OID returns the number of a table, view or index.
	OID(namespace, name string) (int64, bool)
	// Comment returns the comment on a relation, or on one of its columns.
	Comment(oid int64, column int) (string, bool)
	// Definition writes an index, a constraint or a view as a statement does.
	Definition(oid int64) (string, bool)
	// IndexColumn returns a column of an index, from 1 on.
	IndexColumn(oid int64, column int) (string, bool)
	// Role returns the name of an account.
	Role(oid int64) (string, bool)
	// Function returns the function with a number of pg_proc; FunctionName and
	// FunctionOID know those behind types too.
	Function(oid int64) (Procedure, bool)
	FunctionName(oid int64) (string, bool)
	FunctionOID(name string) (int64, bool)
	// Size returns about how many bytes a table takes on the disk.
	Size(oid int64) (int64, bool)
	// Namespace returns the name of a namespace, NamespaceOID its number.
	Namespace(oid int64) (string, bool)
	NamespaceOID(name string) (int64, bool)
}

// QuoteName writes a name as SQL takes it, in quotes where they are needed.
func QuoteName(name string) string { return quoteName(name) }

// textIf is a text, or NULL when there is none.
func textIf(s string, ok bool) (value, error) {
	if !ok {
		return value{}, nil
	}
	return textValue(s)
}

// aboutObject makes a function of an oid that gives a text, in forms with so
// many further arguments, which are ignored.
func aboutObject(name, doc string, f func(Objects, int64) (string, bool), more ...[]pattern) []Function {
	forms := []Function{}
	for _, extra := range append([][]pattern{nil}, more...) {
		forms = append(forms, Function{Name: name, Doc: doc, Volatility: Stable, args: append([]pattern{intArg}, extra...), result: textType,
			calls: func(env *Env, args []value) (value, error) {
				if env.Objects == nil {
					return value{}, nil
				}
				return textIf(f(env.Objects, args[0].Int()))
			}})
	}
	return forms
}

// nullText makes a function that is there for clients and never knows anything.
func nullText(name, doc string, args ...pattern) Function {
	return Function{Name: name, Doc: doc, Volatility: Stable, args: args, result: textType,
		calls: func(*Env, []value) (value, error) { return value{}, nil }}
}

func definitionFunctions() []Function {
	define := func(o Objects, oid int64) (string, bool) { return o.Definition(oid) }
	fs := aboutObject("pg_get_constraintdef", "A constraint of pg_constraint as a statement writes it.", define, []pattern{boolArg})
	fs = append(fs, aboutObject("pg_get_viewdef", "The SELECT of a view.", define, []pattern{boolArg}, []pattern{intArg})...)
	fs = append(fs, aboutObject("pg_get_indexdef", "An index as a statement writes it.", define)...)
	fs = append(fs, Function{Name: "pg_get_indexdef", Doc: "An index as a statement writes it, or the name of one of its columns.", Volatility: Stable,
		args: []pattern{intArg, intArg, boolArg}, result: textType,
		call3: func(env *Env, oid, column, _ value) (value, error) {
			switch {
			case env.Objects == nil:
				return value{}, nil
			case column.Int() == 0:
				return textIf(env.Objects.Definition(oid.Int()))
			}
			return textIf(env.Objects.IndexColumn(oid.Int(), int(column.Int())))
		}})
	comment := func(o Objects, oid int64) (string, bool) { return o.Comment(oid, 0) }
	fs = append(fs, aboutObject("obj_description", "The comment on a table or view.", comment, []pattern{textArg})...)
	fs = append(fs,
		Function{Name: "col_description", Doc: "The comment on a column, by its number.", Volatility: Stable, args: []pattern{intArg, intArg}, result: textType,
			call2: func(env *Env, oid, column value) (value, error) {
				if env.Objects == nil {
					return value{}, nil
				}
				return textIf(env.Objects.Comment(oid.Int(), int(column.Int())))
			}},
		nullText("shobj_description", "The comment on a database; there is none.", intArg, textArg),
		nullText("pg_get_partkeydef", "The key of a partitioned table; there are none.", intArg),
		nullText("pg_get_functiondef", "The text of a function; those of the server have none.", intArg),
	)
	return append(fs, expressionFunctions()...)
}

func expressionFunctions() []Function {
	first := func(args ...pattern) Function {
		return Function{Name: "pg_get_expr", Doc: "An expression that pg_catalog holds, as text.", args: args, result: textType,
			calls: func(_ *Env, args []value) (value, error) { return textValue(plainText(args[0])) }}
	}
	return []Function{
		first(textArg, intArg), first(textArg, intArg, boolArg),
		{Name: "format_type", Doc: "The name of a type of pg_type, with its modifier.", NullOK: true, args: []pattern{intArg, intArg}, result: textType,
			call2: func(_ *Env, oid, modifier value) (value, error) {
				if oid.IsNull() {
					return value{}, nil
				}
				m := int64(-1)
				if !modifier.IsNull() {
					m = modifier.Int()
				}
				return textValue(formatType(oid.Int(), m))
			}},
		{Name: "pg_encoding_to_char", Doc: "The name of an encoding.", args: []pattern{intArg}, result: textType,
			call1: func(_ *Env, n value) (value, error) {
				if n.Int() != 6 {
					return textValue("")
				}
				return textValue("UTF8")
			}},
		{Name: "to_regclass", Doc: "The number of a table in pg_class, by its name; NULL when there is none.", Volatility: Stable, args: []pattern{textArg}, result: bigintType,
			call1: func(env *Env, name value) (value, error) {
				if oid, ok := env.relationOID(name.Text()); ok {
					return datum.NewInt(datum.BigInt, oid), nil
				}
				return value{}, nil
			}},
	}
}

// typeNames are the names that PostgreSQL prints for the numbers of pg_type.
var typeNames = map[int64]string{
	16: "boolean", 17: "bytea", 18: `"char"`, 19: "name", 20: "bigint", 21: "smallint", 22: "int2vector", 23: "integer", 25: "text", 26: "oid", 30: "oidvector",
	114: "json", 700: "real", 701: "double precision", 705: "unknown", 1042: "character", 1043: "character varying", 1082: "date",
	1083: "time without time zone", 1114: "timestamp without time zone", 1184: "timestamp with time zone", 1186: "interval",
	1700: "numeric", 2205: "regclass", 2950: "uuid", 3802: "jsonb", 16_001: "embedding", 16_002: "file",
	oidAny: `"any"`, oidAnyArray: "anyarray", oidAnyElement: "anyelement",
}

// arrayElements are the types whose arrays have numbers of their own.
var arrayElements = map[int64]int64{
	1000: 16, 1001: 17, 1002: 18, 1003: 19, 1005: 21, 1006: 22, 1013: 30, 1007: 23, 1009: 25, 1014: 1042, 1015: 1043, 1016: 20, 1021: 700, 1022: 701,
	1028: 26, 1115: 1114, 1182: 1082, 1183: 1083, 1185: 1184, 1187: 1186, 1231: 1700, 199: 114, 2210: 2205, 2951: 2950, 3807: 3802,
}

func formatType(oid, modifier int64) string {
	if element, ok := arrayElements[oid]; ok {
		return formatType(element, modifier) + "[]"
	}
	name, ok := typeNames[oid]
	switch {
	case oid == 0:
		return "-"
	case !ok:
		return "???"
	case modifier < 0:
		return name
	case oid == 1700 && modifier >= 4:
		m := modifier - 4
		return name + "(" + strconv.FormatInt(m>>16, 10) + "," + strconv.FormatInt(m&0xffff, 10) + ")"
	case (oid == 1042 || oid == 1043) && modifier >= 4:
		return name + "(" + strconv.FormatInt(modifier-4, 10) + ")"
	case oid == 16_001:
		return name + "(" + strconv.FormatInt(modifier, 10) + ")"
	}
	return name
}

// relationOID finds a relation by a name with or without its namespace.
func (e *Env) relationOID(name string) (int64, bool) {
	if e.Objects == nil {
		return 0, false
	}
	namespace, bare, qualified := strings.Cut(strings.ToLower(strings.ReplaceAll(name, `"`, "")), ".")
	if !qualified {
		bare = namespace
		for _, namespace := range e.path() {
			if oid, ok := e.Objects.OID(namespace, bare); ok {
				return oid, true
			}
		}
		namespace = "pg_catalog"
	}
	return e.Objects.OID(namespace, bare)
}

// path are the namespaces of unqualified names, in order.
func (e *Env) path() []string {
	if e.Path == nil {
		return []string{e.Namespace}
	}
	return e.Path
}

// visible reports whether a relation is found by its bare name: it is in a
// namespace of the path, and none before has one of its name.
func (e *Env) visible(oid int64) bool {
	if e.Objects == nil {
		return false
	}
	namespace, name, ok := e.Objects.Relation(oid)
	if !ok || namespace == "pg_catalog" {
		return ok
	}
	for _, in := range e.path() {
		if in == namespace {
			return true
		}
		if _, hidden := e.Objects.OID(in, name); hidden {
			return false
		}
	}
	return false
}

func visibilityFunctions() []Function {
	always := func(name string) Function {
		return Function{Name: name, Doc: "Whether it is found by its bare name.", Volatility: Stable, args: []pattern{intArg}, result: boolType,
			call1: func(*Env, value) (value, error) { return boolean(true) }}
	}
	return []Function{
		{Name: "pg_table_is_visible", Doc: "Whether a table is found by its bare name.", Volatility: Stable, args: []pattern{intArg}, result: boolType,
			call1: func(env *Env, oid value) (value, error) { return boolean(env.visible(oid.Int())) }},
		always("pg_type_is_visible"), always("pg_function_is_visible"), always("pg_operator_is_visible"), always("pg_collation_is_visible"),
		always("pg_opclass_is_visible"), always("pg_opfamily_is_visible"), always("pg_statistics_obj_is_visible"), always("pg_conversion_is_visible"),
		always("pg_ts_config_is_visible"), always("pg_ts_dict_is_visible"), always("pg_ts_parser_is_visible"), always("pg_ts_template_is_visible"),
		{Name: "pg_is_other_temp_schema", Doc: "There are no temporary namespaces.", args: []pattern{intArg}, result: boolType,
			call1: func(*Env, value) (value, error) { return boolean(false) }},
		{Name: "pg_get_userbyid", Doc: "The name of an account of pg_roles.", Volatility: Stable, args: []pattern{intArg}, result: textType,
			call1: func(env *Env, oid value) (value, error) {
				if env.Objects != nil {
					if name, ok := env.Objects.Role(oid.Int()); ok {
						return textValue(name)
					}
				}
				return textValue("unknown (OID=" + strconv.FormatInt(oid.Int(), 10) + ")")
			}},
	}
}

// privilegeFunctions: pg_catalog shows nobody what he may not use, so that what
// can be asked about is allowed; only tables may be unknown.
func privilegeFunctions() []Function {
	granted := func(name, what string) []Function {
		doc := "Whether " + what + " may be used; pg_catalog shows no other ones."
		yes := func(*Env, []value) (value, error) { return boolean(true) }
		return []Function{
			{Name: name, Doc: doc, Volatility: Stable, args: []pattern{anyArg, textArg}, result: boolType, calls: yes},
			{Name: name, Doc: doc, Volatility: Stable, args: []pattern{anyArg, anyArg, textArg}, result: boolType, calls: yes},
		}
	}
	fs := append(granted("has_schema_privilege", "a namespace"), granted("has_database_privilege", "the database")...)
	fs = append(fs, granted("has_function_privilege", "a function")...)
	fs = append(fs, granted("has_type_privilege", "a type")...)
	fs = append(fs, granted("has_sequence_privilege", "a sequence")...)
	fs = append(fs, granted("has_language_privilege", "a language")...)
	fs = append(fs, granted("has_tablespace_privilege", "a tablespace")...)
	fs = append(fs, granted("pg_has_role", "a role")...)
	known := func(env *Env, table value) (value, error) {
		if table.Kind().IsInteger() {
			if env.Objects == nil {
				return boolean(false)
			}
			_, _, ok := env.Objects.Relation(table.Int())
			return boolean(ok)
		}
		name := plainText(table)
		if _, ok := env.relationOID(name); !ok {
			return value{}, fault.New(fault.TableNotFound, "%s", name)
		}
		return boolean(true)
	}
	for _, name := range []string{"has_table_privilege", "has_any_column_privilege"} {
		doc := "Whether the caller may use a table."
		fs = append(fs,
			Function{Name: name, Doc: doc, Volatility: Stable, args: []pattern{anyArg, textArg}, result: boolType,
				call2: func(env *Env, table, _ value) (value, error) { return known(env, table) }},
			Function{Name: name, Doc: doc, Volatility: Stable, args: []pattern{anyArg, anyArg, textArg}, result: boolType,
				call3: func(env *Env, _, table, _ value) (value, error) { return known(env, table) }})
	}
	return append(fs, Function{Name: "has_column_privilege", Doc: "Whether the caller may use a column.", Volatility: Stable,
		args: []pattern{anyArg, anyArg, textArg}, result: boolType,
		call3: func(env *Env, table, _, _ value) (value, error) { return known(env, table) }})
}

// chooseSetting is set_config.
func chooseSetting(env *Env, name, v, local value) (value, error) {
	switch {
	case name.IsNull():
		return value{}, fault.New(fault.InvalidParameter, "set_config needs the name of a setting, not NULL")
	case env.Variables == nil:
		return value{}, fault.New(fault.InvalidOperation, "settings cannot be changed here")
	}
	text, err := env.Variables.Choose(name.Text(), v, !local.IsNull() && local.Bool())
	if err != nil || !v.IsNull() {
		return v, err
	}
	return textValue(text)
}

func settingFunctions() []Function {
	about := func(name, doc, text string) Function {
		return Function{Name: name, Doc: doc, Volatility: Stable, result: textType, call0: func(*Env) (value, error) { return textValue(text) }}
	}
	setting := func(env *Env, name value, missing bool) (value, error) {
		text, ok := env.setting(name.Text())
		if !ok && !missing {
			return value{}, fault.New(fault.InvalidParameter, "unrecognized configuration parameter \"%s\"", name.Text())
		}
		return textIf(text, ok)
	}
	return []Function{
		{Name: "current_setting", Doc: "The value of a setting of SHOW.", Volatility: Stable, args: []pattern{textArg}, result: textType,
			call1: func(env *Env, name value) (value, error) { return setting(env, name, false) }},
		{Name: "current_setting", Doc: "The same; NULL for an unknown one if the second argument is true.", Volatility: Stable, args: []pattern{textArg, boolArg}, result: textType,
			call2: func(env *Env, name, missing value) (value, error) { return setting(env, name, missing.Bool()) }},
		{Name: "set_config", Doc: "Chooses a setting as SET does, with TRUE as SET LOCAL, and returns it; NULL as RESET.", Volatility: Volatile, NullOK: true,
			args: []pattern{textArg, textArg, boolArg}, result: textType, call3: chooseSetting},
		about("pg_client_encoding", "The encoding of texts on the wire.", "UTF8"),
		about("getdatabaseencoding", "The encoding of stored texts.", "UTF8"),
		{Name: "pg_backend_pid", Doc: "The number of the session in pg_stat_activity; each request over HTTP is one.", Volatility: Stable, result: intType,
			call0: func(env *Env) (value, error) { return integer(cmp.Or(env.Backend, BackendPID)) }},
		{Name: "pg_my_temp_schema", Doc: "There are no temporary namespaces.", Volatility: Stable, result: bigintType,
			call0: func(*Env) (value, error) { return bigint(0) }},
		{Name: "pg_is_in_recovery", Doc: "Whether the server follows another one.", Volatility: Stable, result: boolType,
			call0: func(*Env) (value, error) { return boolean(false) }},
		{Name: "inet_server_addr", Doc: "The server's address; NULL, as over a local socket.", Volatility: Stable, result: textType,
			call0: func(*Env) (value, error) { return value{}, nil }},
		{Name: "inet_client_addr", Doc: "The client's address; NULL, as over a local socket.", Volatility: Stable, result: textType,
			call0: func(*Env) (value, error) { return value{}, nil }},
	}
}
