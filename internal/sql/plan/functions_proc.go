package plan

import (
	"strconv"
	"strings"

	"kalamdb/internal/datum"
)

// procedureFunctions answer what tools ask about the functions of pg_proc, and
// about kinds of objects that there are none of.
func procedureFunctions() []Function {
	about := func(name, doc string, f func(*Procedure) string) Function {
		return Function{Name: name, Doc: doc, Volatility: Stable, args: []pattern{intArg}, result: textType,
			call1: func(env *Env, oid value) (value, error) {
				if env.Objects == nil {
					return value{}, nil
				}
				p, ok := env.Objects.Function(oid.Int())
				return textIf(f(&p), ok)
			}}
	}
	return []Function{
		about("pg_get_function_result", "The type that a function of pg_proc gives.", (*Procedure).Gives),
		about("pg_get_function_arguments", "The types that a function of pg_proc takes.", (*Procedure).Arguments),
		about("pg_get_function_identity_arguments", "The types that tell a function of pg_proc from others of its name.", (*Procedure).Arguments),
		nullText("pg_get_function_sqlbody", "The body of a function in SQL; those of the server have none.", intArg),
		nullText("pg_get_ruledef", "A rule as a statement; there are none.", intArg),
		nullText("pg_get_ruledef", "A rule as a statement; there are none.", intArg, boolArg),
		nullText("pg_get_triggerdef", "A trigger as a statement; there are none.", intArg),
		nullText("pg_get_triggerdef", "A trigger as a statement; there are none.", intArg, boolArg),
		nullText("pg_get_statisticsobjdef_columns", "The columns of extended statistics; there are none.", intArg),
		nullText("pg_tablespace_location", "The folder of a tablespace; the only one is that of the server.", intArg),
		{Name: "pg_relation_is_publishable", Doc: "Whether the changes of a table could be published to PostgreSQL; they cannot.", Volatility: Stable,
			args: []pattern{intArg}, result: boolType, call1: func(*Env, value) (value, error) { return boolean(false) }},
		{Name: "pg_char_to_encoding", Doc: "The number of an encoding, by its name; -1 for one that is not UTF8.", args: []pattern{textArg}, result: intType,
			call1: func(_ *Env, name value) (value, error) {
				if strings.EqualFold(name.Text(), "utf8") {
					return integer(6)
				}
				return integer(-1)
			}},
		{Name: "pg_stat_get_numscans", Doc: "How often an index was used; not counted.", Volatility: Stable, args: []pattern{intArg}, result: bigintType,
			call1: func(*Env, value) (value, error) { return bigint(0) }},
	}
}

// sizeFunctions tell what tables take.
func sizeFunctions() []Function {
	size := func(name, doc string, f func(Objects, int64) (int64, bool), args ...pattern) Function {
		return Function{Name: name, Doc: doc, Volatility: Stable, args: append([]pattern{intArg}, args...), result: bigintType,
			calls: func(env *Env, args []value) (value, error) {
				if env.Objects == nil {
					return value{}, nil
				}
				n, ok := f(env.Objects, args[0].Int())
				if !ok {
					return value{}, nil
				}
				return datum.NewInt(datum.BigInt, n), nil
			}}
	}
	unknown := func(name, doc string, of pattern) Function {
		return Function{Name: name, Doc: doc, Volatility: Stable, args: []pattern{of}, result: bigintType, call1: func(*Env, value) (value, error) { return value{}, nil }}
	}
	table := func(o Objects, oid int64) (int64, bool) { return o.Size(oid) }
	const about = "About how many bytes the rows of a table take, as far as the caller may read them; 0 for views and indexes."
	return []Function{
		size("pg_relation_size", about, table), size("pg_relation_size", about, table, textArg), size("pg_table_size", about, table),
		size("pg_total_relation_size", about, table),
		unknown("pg_database_size", "What the database takes; not counted here, see system.stats.", intArg),
		unknown("pg_database_size", "What the database takes; not counted here, see system.stats.", textArg),
		unknown("pg_tablespace_size", "What a tablespace takes; not counted here.", intArg),
		unknown("pg_tablespace_size", "What a tablespace takes; not counted here.", textArg),
		size("pg_indexes_size", "What the indexes of a table take; not counted.", func(Objects, int64) (int64, bool) { return 0, true }),
		{Name: "pg_size_pretty", Doc: "A number of bytes for readers.", args: []pattern{intArg}, result: textType,
			call1: func(_ *Env, n value) (value, error) { return textValue(prettySize(n.Int())) }},
	}
}

// prettySize writes a number of bytes in the largest unit of which there are at
// least ten, rounded half up away from zero.
func prettySize(n int64) string {
	negative := n < 0
	left := uint64(n)
	if negative {
		left = -left
	}
	units := []string{"bytes", "kB", "MB", "GB", "TB", "PB"}
	at := 0
	if left >= 10*1024 {
		left >>= 9 // one bit is kept for the rounding
		for at = 1; at < len(units)-1 && (left+1)/2 >= 10*1024; at++ {
			left >>= 10
		}
		left = (left + 1) / 2
	}
	text := strconv.FormatUint(left, 10) + " " + units[at]
	if negative {
		return "-" + text
	}
	return text
}
