package core

import (
	"context"
	"slices"
	"strings"

	"kalamdb/internal/auth"
	"kalamdb/internal/core/relation"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/exec"
	"kalamdb/internal/sql/parse"
	"kalamdb/internal/sql/plan"
)

// searchPath is the setting that chooses the namespace of unqualified names, as
// USE does.
const searchPath = "search_path"

// taken are the settings that SET takes without effect, each with the values
// under which the server works as if they were set; nil takes any.
var taken = map[string][]string{
	"application_name":              nil,
	"bytea_output":                  {"hex"},
	"client_encoding":               {"utf8", "utf-8", "unicode"},
	"client_min_messages":           nil,
	"datestyle":                     {"iso", "iso, mdy", "iso, dmy", "iso, ymd"},
	"default_transaction_isolation": {"repeatable read"},
	"default_transaction_read_only": {"off", "false"},
	"extra_float_digits":            {"1", "2", "3"},
	"intervalstyle":                 {"postgres"},
	"session_authorization":         {},
	"standard_conforming_strings":   {"on", "true"},
	"timezone":                      {"utc", "etc/utc", "gmt", "z", "+00", "+00:00", "0"},
	"transaction_isolation":         {"repeatable read"},
	"transaction_read_only":         {"off", "false"},
}

// settingClass is whose business a setting is: what clients set and ask when
// they connect is everybody's, all else is for administrators.
func settingClass(name string) auth.Action {
	if _, ok := plan.FindSetting("", name); ok {
		return auth.Show
	}
	return auth.Inspect
}

// setClass is settingClass for SET and RESET: only the search path, which is
// USE in other words, is everybody's.
func setClass(name string) auth.Action {
	if name == searchPath {
		return auth.Show
	}
	return auth.Inspect
}

// setOption runs SET name = value.
func (db *DB) setOption(stmt *parse.SetOption) (string, error) {
	name, value := strings.ToLower(stmt.Name), unquoted(stmt.Value)
	if name == searchPath {
		namespace, err := pathNamespace(stmt.Value)
		if err == nil {
			_, err = db.definer.Use(namespace)
		}
		return "SET", err
	}
	values, known := taken[name]
	if strings.EqualFold(value, "default") {
		known, values = true, nil
	}
	switch {
	case !known:
		if _, ok := plan.FindSetting("", name); ok {
			return "", fault.New(fault.InvalidOperation, "parameter \"%s\" cannot be changed", name)
		}
		return "", fault.New(fault.NotImplemented, "SET %s is not supported yet", name)
	case values != nil && !slices.Contains(values, strings.ToLower(value)):
		now, _ := plan.FindSetting("", name)
		return "", fault.New(fault.NotImplemented, "SET %s = '%s' is not supported; it is always '%s'", name, value, now.Value)
	}
	return "SET", nil
}

// resetOption runs RESET.
func (db *DB) resetOption(stmt *parse.ResetOption) (string, error) {
	name := strings.ToLower(stmt.Name)
	if _, ok := taken[name]; !ok && name != searchPath && name != "all" {
		return "", fault.New(fault.NotImplemented, "RESET %s is not supported yet", name)
	}
	return "RESET", nil
}

// unquoted takes the quotes off a value.
func unquoted(value string) string {
	value = strings.TrimSpace(value)
	if n := len(value); n >= 2 && (value[0] == '\'' || value[0] == '"') && value[n-1] == value[0] {
		return value[1 : n-1]
	}
	return value
}

// pathNamespace returns the one namespace that a search path names. The user's
// own, public and pg_catalog stand in the paths of PostgreSQL's clients and mean
// none of ours.
func pathNamespace(path string) (string, error) {
	found := ""
	for item := range strings.SplitSeq(path, ",") {
		name := strings.ToLower(unquoted(item))
		switch name {
		case "", "$user", "public", relation.PGCatalog, "default":
			continue
		}
		if found != "" && found != name {
			return "", fault.New(fault.NotImplemented, "a search_path of several namespaces is not supported yet; qualify the names of '%s'", name)
		}
		found = name
	}
	if found == "" {
		found = schema.DefaultNamespace
	}
	return found, nil
}

// chosen returns the namespace that a statement makes the one of unqualified
// names: USE, SET search_path and RESET of it.
func chosen(stmt parse.Statement) (string, bool) {
	switch stmt := stmt.(type) {
	case *parse.Use:
		return stmt.Name.Name, true
	case *parse.SetOption:
		if strings.EqualFold(stmt.Name, searchPath) {
			namespace, err := pathNamespace(stmt.Value)
			return namespace, err == nil
		}
	case *parse.ResetOption:
		if name := strings.ToLower(stmt.Name); name == searchPath || name == "all" {
			return schema.DefaultNamespace, true
		}
	}
	return "", false
}

// showSetting answers SHOW name: a setting of PostgreSQL, or a key of the
// configuration.
func (db *DB) showSetting(ctx context.Context, s *auth.Session, name string, view *relation.View, env *exec.Env) (*Result, error) {
	if setting, ok := plan.FindSetting(env.Namespace, name); ok {
		return oneSetting(name, setting.Value), nil
	}
	result, err := db.internal(ctx, s, view, env, `SELECT value FROM system.settings WHERE name = $1`, name)
	if err != nil {
		return nil, err
	}
	defer result.Close()
	rows, err := result.Next(ctx)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, fault.New(fault.InvalidParameter, "unrecognized configuration parameter \"%s\"", name)
	}
	return oneSetting(name, rows[0][0].Text()), nil
}

// oneSetting is the answer of SHOW name.
func oneSetting(name, value string) *Result {
	column := Column{Name: name, Type: datum.Type{Kind: datum.Text}}
	return buffered([]Column{column}, [][]datum.Value{{datum.NewText(value)}})
}
