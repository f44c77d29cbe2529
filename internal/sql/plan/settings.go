package plan

import (
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
)

// BackendPID is what a request without a connection of its own has for the
// number of PostgreSQL's server process.
const BackendPID = 1

// ServerVersion is the version of PostgreSQL whose dialect is spoken.
const ServerVersion = "15.0"

// Setting is a setting that PostgreSQL's clients ask for.
type Setting struct{ Name, Value, Doc string }

// Settings returns the settings in force, by name. They are fixed, but for the
// path on which unqualified names are looked up.
func Settings(namespace string) []Setting {
	if namespace == "" {
		namespace = schema.DefaultNamespace
	}
	return []Setting{
		{"application_name", "", "The name of the client's program."},
		{"bytea_output", "hex", "How bytes are printed."},
		{"client_encoding", "UTF8", "The encoding of texts on the wire."},
		{"client_min_messages", "notice", "Which notices are sent."},
		{"datestyle", "ISO, MDY", "How dates are printed and read."},
		{"default_transaction_isolation", "repeatable read", "The isolation of transactions."},
		{"default_transaction_read_only", "off", "Whether transactions only read."},
		{"default_table_access_method", "heap", "How tables are stored, in the words of pg_am."},
		{"extra_float_digits", "1", "Floating point numbers are printed exactly."},
		{"integer_datetimes", "on", "Times are whole microseconds."},
		{"intervalstyle", "postgres", "How intervals are printed."},
		{"lc_collate", "C.UTF-8", "The order of texts: by their bytes."},
		{"lc_ctype", "C.UTF-8", "The classes of characters."},
		{"max_identifier_length", "64", "The longest name, in characters."},
		{"max_index_keys", "32", "The most columns of a key."},
		{"search_path", namespace, "The namespace of unqualified names."},
		{"server_encoding", "UTF8", "The encoding of stored texts."},
		{"server_version", ServerVersion, "The version of PostgreSQL whose dialect is spoken."},
		{"server_version_num", "150000", "The same as a number."},
		{"session_authorization", "", "Not used; see CURRENT_USER."},
		{"standard_conforming_strings", "on", "A backslash in a plain string is a backslash."},
		{"timezone", "UTC", "The zone of times without one."},
		{"transaction_isolation", "repeatable read", "The isolation of the transaction."},
		{"transaction_read_only", "off", "Whether the transaction only reads."},
	}
}

// Variables are the settings that a session chooses for itself. Functions ask
// from several goroutines.
type Variables interface {
	// Setting returns a setting by its folded name, if the session has chosen it.
	Setting(name string) (value string, ok bool)
	// Choose sets one, until the transaction ends when local, and returns what it
	// is then. NULL takes the choice back.
	Choose(name string, value datum.Value, local bool) (string, error)
}

// setting returns a setting of SHOW: what the session has chosen, or what is
// fixed.
func (e *Env) setting(name string) (string, bool) {
	if e.Variables != nil {
		if value, ok := e.Variables.Setting(strings.ToLower(name)); ok {
			return value, true
		}
	}
	s, ok := FindSetting(e.Namespace, name)
	return s.Value, ok
}

// FindSetting returns a setting by its name, in any case.
func FindSetting(namespace, name string) (Setting, bool) {
	for _, s := range Settings(namespace) {
		if strings.EqualFold(s.Name, name) {
			return s, true
		}
	}
	return Setting{}, false
}
