package plan

import (
	"strconv"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// registered makes the two directions of a cast to a type such as regclass: a
// name, or digits, becomes the number of an object, a number its name.
func registered(name, what string, toNumber func(*Env, string) (int64, error), toName func(*Env, int64) string) []Function {
	return []Function{
		{Name: name, Doc: "The number of " + what + ", by its name; what a cast to the type of this name does.", Volatility: Stable,
			args: []pattern{textArg}, result: bigintType,
			call1: func(env *Env, v value) (value, error) {
				text := strings.TrimSpace(v.Text())
				if n, err := strconv.ParseInt(text, 10, 64); err == nil {
					return datum.NewInt(datum.BigInt, n), nil
				}
				n, err := toNumber(env, text)
				if err != nil {
					return value{}, err
				}
				return datum.NewInt(datum.BigInt, n), nil
			}},
		{Name: name, Doc: "The name of " + what + ", by its number.", Volatility: Stable, args: []pattern{intArg}, result: textType,
			call1: func(env *Env, v value) (value, error) { return textValue(toName(env, v.Int())) }},
	}
}

func registryFunctions() []Function {
	number := func(oid int64) string { return strconv.FormatInt(oid, 10) }
	fs := registered("regclass", "a table, view or index", func(env *Env, name string) (int64, error) {
		if oid, ok := env.relationOID(name); ok {
			return oid, nil
		}
		return 0, fault.New(fault.TableNotFound, "%s", name)
	}, func(env *Env, oid int64) string {
		if env.Objects == nil {
			return number(oid)
		}
		namespace, name, ok := env.Objects.Relation(oid)
		switch {
		case !ok:
			return number(oid)
		case env.visible(oid):
			return quoteName(name)
		}
		return quoteName(namespace) + "." + quoteName(name)
	})
	fs = append(fs, registered("regtype", "a type", func(_ *Env, name string) (int64, error) {
		if oid, ok := typeOID(name); ok {
			return oid, nil
		}
		return 0, fault.New(fault.InvalidValue, "type \"%s\" does not exist", name)
	}, func(_ *Env, oid int64) string { return formatType(oid, -1) })...)
	fs = append(fs, registered("regnamespace", "a namespace", func(env *Env, name string) (int64, error) {
		if env.Objects != nil {
			if oid, ok := env.Objects.NamespaceOID(strings.ToLower(strings.Trim(name, `"`))); ok {
				return oid, nil
			}
		}
		return 0, fault.New(fault.NamespaceNotFound, "Namespace '%s' does not exist", name)
	}, func(env *Env, oid int64) string {
		if env.Objects != nil {
			if name, ok := env.Objects.Namespace(oid); ok {
				return quoteName(name)
			}
		}
		return number(oid)
	})...)
	function := func(env *Env, name string) (int64, error) {
		if env.Objects != nil {
			bare, _, _ := strings.Cut(strings.TrimPrefix(strings.ToLower(name), "pg_catalog."), "(")
			if oid, ok := env.Objects.FunctionOID(bare); ok {
				return oid, nil
			}
		}
		return 0, fault.New(fault.FunctionNotFound, "function '%s' does not exist", name)
	}
	fs = append(fs, registered("regproc", "a function", function, func(env *Env, oid int64) string {
		if oid == 0 {
			return "-"
		}
		if env.Objects != nil {
			if name, ok := env.Objects.FunctionName(oid); ok {
				return quoteName(name)
			}
		}
		return number(oid)
	})...)
	fs = append(fs, registered("regprocedure", "a function", function, func(env *Env, oid int64) string {
		if oid == 0 {
			return "-"
		}
		if env.Objects != nil {
			if p, ok := env.Objects.Function(oid); ok {
				return quoteName(p.Name) + "(" + strings.ReplaceAll(p.Arguments(), ", ", ",") + ")"
			}
		}
		return number(oid)
	})...)
	return append(fs, Function{Name: "regrole", Doc: "The name of an account, by its number.", Volatility: Stable, args: []pattern{intArg}, result: textType,
		call1: func(env *Env, v value) (value, error) {
			if env.Objects != nil {
				if name, ok := env.Objects.Role(v.Int()); ok {
					return textValue(quoteName(name))
				}
			}
			return textValue(number(v.Int()))
		}})
}

// typeOID returns the number of a type of pg_type, by the name that it is
// printed with or one that casts take.
func typeOID(name string) (int64, bool) {
	name = strings.ToLower(strings.TrimPrefix(name, "pg_catalog."))
	if element, array := strings.CutSuffix(name, "[]"); array {
		oid, ok := typeOID(element)
		for a, e := range arrayElements {
			if ok && e == oid {
				return a, true
			}
		}
		return 0, false
	}
	for oid, known := range typeNames {
		if known == name {
			return oid, true
		}
	}
	t, err := datum.ParseType(name, nil)
	if err != nil {
		return 0, false
	}
	oid, ok := kindOIDs[t.Kind]
	return oid, ok
}

// kindOIDs are the numbers of the types that columns have.
var kindOIDs = map[datum.Kind]int64{
	datum.Bool: 16, datum.Bytes: 17, datum.BigInt: 20, datum.SmallInt: 21, datum.Int: 23, datum.Text: 25, datum.Float: 700, datum.Double: 701,
	datum.Date: 1082, datum.Time: 1083, datum.Timestamp: 1114, datum.DateTime: 1184, datum.Interval: 1186, datum.Decimal: 1700,
	datum.UUID: 2950, datum.JSON: 3802, datum.File: 16_002,
}
