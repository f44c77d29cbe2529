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

// searchPath is the setting that chooses the namespaces of unqualified names, as
// USE chooses one.
const searchPath = "search_path"

// taken are the settings that SET takes without effect, each with the values
// under which the server works as if they were set; nil takes any, which is shown.
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
// they connect, and what they set for themselves, is everybody's, all else is for
// administrators. A name with a dot may be either: showSetting asks once more.
func settingClass(name string) auth.Action {
	if _, custom := customName(name); custom || fixed(name) {
		return auth.Show
	}
	return auth.Inspect
}

// setClass is settingClass for SET and RESET: the search path, which is USE in
// other words, and settings of one's own are everybody's.
func setClass(name string) auth.Action {
	if _, custom := customName(name); custom || name == searchPath {
		return auth.Show
	}
	return auth.Inspect
}

// setOption runs SET name = value.
func (db *DB) setOption(c *Conversation, stmt *parse.SetOption) (string, error) {
	value := stmt.Value
	switch name := strings.ToLower(stmt.Name); {
	case name == searchPath: // its items have quotes of their own
	case !stmt.String && strings.EqualFold(strings.TrimSpace(value), "default"):
		return "SET", db.forget(c.variables, name, stmt.Local)
	case !stmt.String:
		value = unquoted(value)
	}
	_, err := (&chosen{db, c.session, c.variables}).set(stmt.Name, value, stmt.Local)
	return "SET", err
}

// resetOption runs RESET.
func (db *DB) resetOption(c *Conversation, stmt *parse.ResetOption) (string, error) {
	name := strings.ToLower(stmt.Name)
	if name == "all" {
		return "RESET", c.variables.set(false, func(choices) (choices, error) { return firstChoices(schema.DefaultNamespace), nil })
	}
	return "RESET", db.forget(c.variables, name, false)
}

// use runs USE.
func (db *DB) use(c *Conversation, stmt *parse.Use) (string, error) {
	message, err := db.definer.Use(stmt.Name.Name)
	if err != nil {
		return "", err
	}
	return message, c.variables.set(false, used(stmt))
}

// forget takes the choice of a setting back.
func (db *DB) forget(v *variables, name string, local bool) error {
	_, custom := customName(name)
	_, known := taken[name]
	switch {
	case name == searchPath, custom, known:
	case fixed(name):
		return fault.New(fault.InvalidOperation, "parameter \"%s\" cannot be changed", name)
	default:
		return fault.New(fault.NotImplemented, "RESET %s is not supported yet", name)
	}
	return v.set(local, without(name))
}

// without takes the choice of a setting back.
func without(name string) func(choices) (choices, error) {
	return func(c choices) (choices, error) {
		if name == searchPath {
			c.path, c.shown = schema.DefaultNamespace, schema.DefaultNamespace
			return c, nil
		}
		return c.without(name), nil
	}
}

// used makes one namespace the path.
func used(stmt *parse.Use) func(choices) (choices, error) {
	return func(c choices) (choices, error) {
		c.path, c.shown = pathOf(stmt.Name.Name), quotedName(stmt.Name.Name)
		return c, nil
	}
}

// along makes a text the search path.
func along(text string) func(choices) (choices, error) {
	return func(c choices) (_ choices, err error) {
		c.path, c.shown, err = pathFrom(text)
		return c, err
	}
}

// statement follows what the statements of a batch will choose, and reports
// whether the path may be another one then.
func (h *history) statement(stmt parse.Statement) bool {
	if !h.open {
		h.now = h.kept
	}
	switch stmt := stmt.(type) {
	case *parse.Begin:
		h.begin()
	case *parse.Commit:
		if h.commit(); stmt.Chain {
			h.begin()
		}
	case *parse.Rollback:
		if h.rollback(); stmt.Chain {
			h.begin()
		}
	case *parse.Savepoint:
		h.savepoint(stmt.Name)
	case *parse.RollbackTo:
		h.rollbackTo(stmt.Name)
	case *parse.Release:
		h.release(stmt.Name)
	case *parse.Use:
		return h.set(false, used(stmt)) == nil
	case *parse.SetOption:
		return strings.EqualFold(stmt.Name, searchPath) && h.set(stmt.Local, along(stmt.Value)) == nil
	case *parse.ResetOption:
		if name := strings.ToLower(stmt.Name); name == searchPath || name == "all" {
			return h.set(false, without(searchPath)) == nil
		}
	}
	return true
}

// fixed reports whether a setting is one that SHOW knows and nobody changes.
func fixed(name string) bool {
	_, ok := plan.FindSetting("", name)
	return ok
}

// chosen is what a statement sees of the settings of its session. It implements
// plan.Variables.
type chosen struct {
	db        *DB
	session   *auth.Session
	variables *variables
}

// Setting implements plan.Variables.
func (c *chosen) Setting(name string) (string, bool) {
	now := c.variables.now()
	if name == searchPath {
		return now.shown, true
	}
	value, ok := now.custom[name]
	return value, ok
}

// Choose implements plan.Variables.
func (c *chosen) Choose(name string, value datum.Value, local bool) (string, error) {
	folded, custom := customName(name)
	if !custom && !fixed(folded) {
		return "", fault.New(fault.InvalidParameter, "unrecognized configuration parameter \"%.128s\"", name)
	}
	if err := auth.Allow(c.session, setClass(folded), 0, ""); err != nil {
		return "", err
	}
	if !value.IsNull() {
		return c.set(name, value.Text(), local)
	}
	if err := c.db.forget(c.variables, folded, local); err != nil {
		return "", err
	}
	if now, ok := c.Setting(folded); ok {
		return now, nil
	}
	s, _ := plan.FindSetting("", folded)
	return s.Value, nil
}

// set makes a value the one of a setting and returns how SHOW prints it.
func (c *chosen) set(name, value string, local bool) (string, error) {
	name = strings.ToLower(name)
	if name == searchPath {
		err := c.variables.set(local, along(value))
		return c.variables.now().shown, err
	}
	keep := func(now choices) (choices, error) { return now.with(name, value) }
	values, known := taken[name]
	_, custom := customName(name)
	switch {
	case known && values == nil:
		return value, c.variables.set(local, keep)
	case known && !slices.Contains(values, strings.ToLower(value)):
		now, _ := plan.FindSetting("", name)
		return "", fault.New(fault.NotImplemented, "SET %s = '%s' is not supported; it is always '%s'", name, value, now.Value)
	case known:
		now, _ := plan.FindSetting("", name)
		return now.Value, nil
	case fixed(name):
		return "", fault.New(fault.InvalidOperation, "parameter \"%s\" cannot be changed", name)
	case !custom:
		return "", fault.New(fault.NotImplemented, "SET %s is not supported yet", name)
	}
	if _, ok := c.Setting(name); !ok {
		switch configured, err := c.db.configured(c.session, name); {
		case err != nil:
			return "", err
		case configured:
			return "", fault.New(fault.InvalidOperation, "parameter \"%s\" is one of the configuration and cannot be changed", name)
		}
	}
	return value, c.variables.set(local, keep)
}

// configured reports whether a name is a key of the configuration.
func (db *DB) configured(s *auth.Session, name string) (bool, error) {
	view := db.relations.View()
	defer view.Release()
	result, err := db.internal(context.Background(), s, view, &exec.Env{Namespace: schema.DefaultNamespace}, `SELECT value FROM system.settings WHERE name = $1`, name)
	if err != nil {
		return false, err
	}
	defer result.Close()
	rows, err := result.Next(context.Background())
	return len(rows) > 0, err
}

// unquoted takes the quotes off a value.
func unquoted(value string) string {
	value = strings.TrimSpace(value)
	if n := len(value); n >= 2 && (value[0] == '\'' || value[0] == '"') && value[n-1] == value[0] {
		return value[1 : n-1]
	}
	return value
}

// showSetting answers SHOW name: a setting of PostgreSQL, or a key of the
// configuration.
func (db *DB) showSetting(ctx context.Context, s *auth.Session, name string, view *relation.View, env *exec.Env) (*Result, error) {
	if value, ok := env.Variables.Setting(strings.ToLower(name)); ok {
		return oneSetting(name, value), nil
	}
	if setting, ok := plan.FindSetting(env.Namespace, name); ok {
		return oneSetting(name, setting.Value), nil
	}
	if err := auth.Allow(s, auth.Inspect, 0, ""); err != nil {
		return nil, err
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
