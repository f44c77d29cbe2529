package relation

import (
	"context"
	"strings"

	"kalamdb/internal/schema"
	"kalamdb/internal/sql/plan"
)

// procedures reads the functions at the first question about one.
func (k *Catalog) procedures() map[int64]plan.Procedure {
	if k.functions == nil {
		k.functions = map[int64]plan.Procedure{}
		for _, p := range plan.Procedures() {
			k.functions[p.OID] = p
		}
	}
	return k.functions
}

// Function returns a function of pg_proc.
func (k *Catalog) Function(oid int64) (plan.Procedure, bool) {
	p, ok := k.procedures()[oid]
	return p, ok
}

// methods are the endings of the functions that PostgreSQL reads and writes the
// values of a type with. They cannot be called here; pg_type names them.
var methods = [...]string{"in", "out", "recv", "send"}

// typeMethods walks through the functions behind types until each says so.
func typeMethods(each func(name string) bool) {
	for _, end := range methods {
		if each("array_"+end) || each("int2vector"+end) || each("oidvector"+end) {
			return
		}
		for _, t := range pgTypes {
			if each(t.name + end) {
				return
			}
		}
	}
}

// FunctionName returns the name of a function of pg_proc or pg_type.
func (k *Catalog) FunctionName(oid int64) (found string, ok bool) {
	if p, ok := k.Function(oid); ok {
		return p.Name, true
	}
	typeMethods(func(name string) bool {
		if plan.FunctionOID(name) == oid {
			found, ok = name, true
		}
		return ok
	})
	return found, ok
}

// FunctionOID returns the number of a function of pg_proc or pg_type.
func (k *Catalog) FunctionOID(name string) (int64, bool) {
	oid := plan.FunctionOID(name)
	called, ok := k.FunctionName(oid)
	return oid, ok && strings.EqualFold(called, name)
}

// Size returns about what the rows of a table take that the caller may read.
func (k *Catalog) Size(oid int64) (int64, bool) {
	f, ok := k.find(oid)
	if !ok || f.constraint || f.check != nil {
		return 0, false
	}
	if f.kind != "r" || f.index != nil {
		return 0, true
	}
	scope := schema.SharedScope
	if f.def.PerUser() {
		scope = schema.UserScope(k.caller.User)
	}
	stats, err := k.view.TableStats(context.Background(), f.def, scope, k.caller.Role.Admin())
	return stats.HotBytes + stats.ColdBytes, err == nil
}
