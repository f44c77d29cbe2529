package parse

import (
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"

	"kalamdb/internal/datum"
)

// catalogTypes are types of pg_catalog that casts may name. No column has one:
// each is read as the type that carries its values.
var catalogTypes = map[string]datum.Type{
	"oid": {Kind: datum.BigInt}, "xid": {Kind: datum.BigInt}, "name": {Kind: datum.Text}, "pg_node_tree": {Kind: datum.Text},
	"aclitem": {Kind: datum.Text}, "int2vector": datum.VectorType(datum.SmallInt), "oidvector": datum.VectorType(datum.BigInt),
}

// registered are types whose values are the numbers of objects and are printed as
// their names: a cast of a name gives the number, one of a number the name.
var registered = map[string]bool{
	"regclass": true, "regtype": true, "regnamespace": true, "regrole": true, "regproc": true, "regprocedure": true,
}

// catalogCast reads a cast to a type of pg_catalog, or returns nil.
func (c *converter) catalogCast(v *pg.TypeCast) Expr {
	names := c.strings(v.GetTypeName().GetNames())
	if len(v.GetTypeName().GetArrayBounds()) > 0 || len(v.GetTypeName().GetTypmods()) > 0 {
		return nil
	}
	qualified := len(names) == 2 && names[0] == "pg_catalog"
	if len(names) != 1 && !qualified {
		return nil
	}
	name := names[len(names)-1]
	at := At{c.at(v.GetLocation())}
	if registered[name] {
		return &Call{At: at, Name: strings.ToLower(name), Args: []Expr{c.expr(v.GetArg())}}
	}
	if to, ok := catalogTypes[name]; ok {
		return &Cast{At: at, X: c.expr(v.GetArg()), To: to}
	}
	return nil
}
