package ddl

import (
	"strings"

	"kalamdb/internal/fault"
)

// maxName is the longest name of a namespace, table or column, in characters.
const maxName = 64

// reservedNamespaces cannot be created.
const reservedNamespaces = " system sys root kalamdb kalam main default sql admin internal information_schema pg_catalog datafusion "

// systemNamespaces hold what no statement changes.
const systemNamespaces = " system information_schema pg_catalog datafusion "

// reservedWords cannot name a namespace, table or column.
const reservedWords = " all analyse analyze and any array as asc asymmetric both case cast check collate column constraint create " +
	"current_catalog current_date current_role current_time current_timestamp current_user default deferrable desc distinct do else end " +
	"except false fetch for foreign from grant group having in initially intersect into lateral leading limit localtime localtimestamp " +
	"not null offset on only or order placing primary references returning select session_user some symmetric table then to trailing " +
	"true union unique user using variadic when where window with tables tablespace index view schema database insert update delete drop alter "

// IsSystemNamespace reports whether a namespace belongs to the server itself.
func IsSystemNamespace(name string) bool { return contains(systemNamespaces, name) }

func contains(list, word string) bool { return strings.Contains(list, " "+word+" ") }

// checkName refuses what cannot name a stored object. what is "namespace",
// "table" or "column".
func checkName(what, name string) error {
	switch {
	case name == "":
		return fault.New(fault.InvalidDefinition, "%s name cannot be empty", what)
	case len(name) > maxName:
		return fault.New(fault.InvalidDefinition, "%s name '%.64s…' is longer than %d characters", what, name, maxName)
	case name[0] < 'a' || name[0] > 'z':
		return fault.New(fault.InvalidDefinition, "%s name '%s' must begin with a letter", what, name)
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return fault.New(fault.InvalidDefinition, "%s name '%s' may hold only letters, digits and underscores", what, name)
		}
	}
	if contains(reservedWords, name) {
		return fault.New(fault.InvalidDefinition, "'%s' is a reserved word and cannot name a %s", name, what)
	}
	return nil
}

// free refuses a name that a table, view, sequence or index of the namespace
// has. The command asks again.
func (d *Definer) free(namespace, name string, offset int) error {
	err := d.o.Definitions().Free(namespace, name)
	if err == nil {
		return nil
	}
	f := *fault.Of(err)
	f.Offset = offset
	return &f
}

// checkColumnName refuses reserved column names too.
func checkColumnName(name string) error {
	if strings.HasPrefix(name, "_") {
		return fault.New(fault.InvalidDefinition, "column name '%s' is reserved: names that begin with an underscore belong to the system", name)
	}
	return checkName("column", name)
}
