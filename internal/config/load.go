package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Source says where the configuration comes from.
type Source struct {
	// File is the named file; it must exist. Empty: server.toml in WorkDir,
	// else in BinaryDir, else none.
	File               string
	WorkDir, BinaryDir string
	// Env is the environment as KEY=value.
	Env []string
	// Set are section.key=value from flags.
	Set []string
}

// Loaded is what Load found.
type Loaded struct {
	Options Options
	// File is the file that was read, or "".
	File string
	// Warnings are sentences for the log.
	Warnings []string
}

// envPrefix begins every variable of ours.
const envPrefix = "KALAMDB_"

// envAliases are further names of keys. It is never written.
var envAliases = map[string]string{
	"DATA_DIR": "storage.data_path", "ROCKSDB_PATH": "storage.data_path",
	"HOST": "server.host", "PORT": "server.port",
	"LOG_LEVEL": "logging.level", "LOGS_DIR": "logging.logs_path", "LOG_TO_CONSOLE": "logging.log_to_console",
	"JWT_SECRET": "auth.jwt_secret", "JWT_EXPIRY_HOURS": "auth.jwt_expiry_hours",
	"JWT_TRUSTED_ISSUERS": "auth.jwt_trusted_issuers", "COOKIE_SECURE": "auth.cookie_secure",
	"ALLOW_REMOTE_SETUP": "auth.allow_remote_setup", "ROOT_PASSWORD": "auth.root_password",
	"TRUSTED_PROXY_RANGES":                    "security.trusted_proxy_ranges",
	"RATE_LIMIT_AUTH_REQUESTS_PER_IP_PER_SEC": "rate_limit.max_auth_requests_per_ip_per_sec",
}

// logFileVariable names a file; its folder is logging.logs_path.
const logFileVariable = "LOG_FILE_PATH"

// envIgnored are variables of containers that mean nothing here.
var envIgnored = []string{
	"TOKIO_WORKER_THREADS", "PG_AUTH_TOKEN", "TOPIC_VISIBILITY_TIMEOUT_SECS", "VISIBILITY_TIMEOUT_SECS",
}

// Defaults returns the options with every key at its default.
func Defaults() Options {
	var o Options
	for _, k := range o.keys() {
		if err := k.set(k.preset); err != nil {
			panic("broken default: " + err.Error())
		}
	}
	return o
}

// Load reads file, environment and flags. The error holds everything that is
// wrong, one line each.
func Load(s Source) (*Loaded, error) {
	l := &loader{Loaded: Loaded{Options: Defaults()}, given: map[string]bool{}}
	l.keys = l.Options.keys()
	if err := l.readFile(s); err != nil {
		return nil, err
	}
	l.readEnv(s.Env)
	for _, assignment := range s.Set {
		name, value, ok := strings.Cut(assignment, "=")
		k := find(l.keys, canonical(name))
		if !ok || k == nil {
			l.fault(fmt.Errorf("--set %s: write section.key=value with a known key", name))
			continue
		}
		l.assign(k, value)
	}
	l.settleCredentials()
	l.check()
	if len(l.faults) > 0 {
		return nil, errors.Join(l.faults...)
	}
	return &l.Loaded, nil
}

// loader collects values and what is wrong with them.
type loader struct {
	Loaded
	keys   []key
	given  map[string]bool // names of the keys that were set
	faults []error
}

func (l *loader) fault(err error) { l.faults = append(l.faults, err) }

func (l *loader) warn(format string, args ...any) {
	l.Warnings = append(l.Warnings, fmt.Sprintf(format, args...))
}

func (l *loader) assign(k *key, value string) {
	if err := k.set(value); err != nil {
		l.fault(err)
		return
	}
	l.given[k.name] = true
}

// canonical returns the name of a key in the spelling of keys.go.
func canonical(name string) string {
	if rest, ok := strings.CutPrefix(name, "authentication."); ok {
		return "auth." + rest
	}
	return name
}

// readFile finds, reads and applies the file.
func (l *loader) readFile(s Source) error {
	candidates := []string{filepath.Join(s.WorkDir, "server.toml"), filepath.Join(s.BinaryDir, "server.toml")}
	if s.File != "" {
		candidates = []string{s.File}
	}
	for _, file := range candidates {
		content, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) && s.File == "" {
			continue
		}
		if err != nil {
			return fmt.Errorf("read configuration: %w", err)
		}
		l.File = file
		var tree map[string]any
		if err := toml.NewDecoder(bytes.NewReader(content)).Decode(&tree); err != nil {
			return fmt.Errorf("read configuration %s: %s", file, describe(err))
		}
		l.walk("", tree)
		return nil
	}
	return nil
}

// describe adds the place to an error of the TOML reader.
func describe(err error) string {
	var d *toml.DecodeError
	if errors.As(err, &d) {
		row, column := d.Position()
		return fmt.Sprintf("line %d, column %d: %s", row, column, strings.TrimPrefix(d.Error(), "toml: "))
	}
	return err.Error()
}

// walk applies a tree of TOML values in the order of their names.
func (l *loader) walk(prefix string, tree map[string]any) {
	for _, name := range sortedKeys(tree) {
		full := canonical(prefix + name)
		if k := find(l.keys, full); k != nil {
			if value, err := scalar(tree[name]); err != nil {
				l.fault(fmt.Errorf("%s %w", full, err))
			} else {
				l.assign(k, value)
			}
			continue
		}
		sub, isTable := tree[name].(map[string]any)
		if isTable && l.hasSection(canonical(full+".")) {
			l.walk(full+".", sub)
			continue
		}
		l.warn("unknown configuration key %s", prefix+name)
	}
}

// hasSection reports whether keys begin with a prefix.
func (l *loader) hasSection(prefix string) bool {
	return slices.ContainsFunc(l.keys, func(k key) bool { return strings.HasPrefix(k.name, prefix) })
}

// scalar turns a TOML value into the text that set reads.
func scalar(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), nil
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			text, ok := e.(string)
			if !ok {
				return "", errors.New("must be a list of strings")
			}
			parts[i] = text
		}
		return strings.Join(parts, ","), nil
	}
	return "", fmt.Errorf("has a value of a kind that no key takes (%T)", v)
}

// readEnv applies variables: exact names first, so that of two names for one
// key the exact one wins.
func (l *loader) readEnv(env []string) {
	variables := map[string]string{}
	for _, entry := range env {
		name, value, _ := strings.Cut(entry, "=")
		if rest, ok := strings.CutPrefix(name, envPrefix); ok && value != "" {
			variables[rest] = value
		}
	}
	exact := map[string]*key{}
	for i := range l.keys {
		exact[envName(l.keys[i].name)] = &l.keys[i]
	}
	taken := map[string]bool{}
	for _, name := range sortedKeys(variables) {
		if k := exact[name]; k != nil {
			l.assign(k, variables[name])
			taken[k.name] = true
		}
	}
	for _, name := range sortedKeys(variables) {
		if exact[name] != nil || slices.Contains(envIgnored, name) {
			continue
		}
		value, target := variables[name], envAliases[name]
		if name == logFileVariable {
			value, target = filepath.Dir(value), "logging.logs_path"
		}
		if target == "" {
			l.warn("unknown environment variable %s%s", envPrefix, name)
			continue
		}
		if !taken[target] {
			l.assign(find(l.keys, target), value)
			taken[target] = true
		}
	}
}

func envName(key string) string {
	return strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// settleCredentials: credentials are allowed by default in a written section.
func (l *loader) settleCredentials() {
	if l.given[credentialsKey] {
		return
	}
	for name := range l.given {
		if strings.HasPrefix(name, "security.cors.") {
			l.Options.Security.CORS.AllowCredentials = true
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}
