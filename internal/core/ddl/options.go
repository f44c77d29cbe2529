package ddl

import (
	"regexp"
	"strconv"
	"strings"

	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/parse"
)

// Bounds of FLUSH_POLICY.
const (
	maxFlushRows     = 999_999
	maxFlushInterval = 86_399
)

// storageName is how a storage may be called.
var storageName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// tableOption knows one key of WITH.
type tableOption struct {
	kinds []schema.Kind
	set   func(*schema.Options, parse.Option) error
	// keep takes what set has made over into the options of a table that is
	// there; nil for what stays as it was created.
	keep func(to, from *schema.Options)
}

var (
	stored    = []schema.Kind{schema.User, schema.Shared}
	allKinds  = []schema.Kind{schema.User, schema.Shared, schema.Stream}
	streaming = []schema.Kind{schema.Stream}
)

// knownOptions are the keys that WITH takes; TYPE is read by KindOf and
// ACCESS_LEVEL by setAccess.
var knownOptions = map[string]tableOption{
	"STORAGE_ID":              {kinds: stored, set: setStorage},
	"LOCATION REFERENCE":      {kinds: stored, set: setStorage},
	"USE_USER_STORAGE":        {[]schema.Kind{schema.User}, setBool(func(o *schema.Options) *bool { return &o.UseUserStorage }), keepUserStorage},
	"FLUSH_POLICY":            {stored, setFlushPolicy, keepFlushPolicy},
	"DELETED_RETENTION":       {stored, setDeletedRetention, keepRetention},
	"DELETED_RETENTION_HOURS": {stored, setDeletedRetentionHours, keepRetention},
	"TTL_SECONDS":             {streaming, setTTL, keepTTL},
	"RETENTION":               {streaming, setTTL, keepTTL},
	"COMPRESSION":             {stored, setWord("none, snappy or zstd", func(o *schema.Options) *string { return &o.Compression }, "none", "snappy", "zstd"), keepCompression},
	"EVICTION_STRATEGY":       {streaming, setWord("time_based, size_based or hybrid", func(o *schema.Options) *string { return &o.EvictionStrategy }, "time_based", "size_based", "hybrid"), keepEviction},
	"MAX_STREAM_SIZE_BYTES":   {streaming, setSize("a number of bytes", func(o *schema.Options) *int64 { return &o.MaxStreamSizeBytes }), keepMaxStream},
	"DURABILITY":              {allKinds, setDurability, keepDurability},
	"EPHEMERAL":               {streaming, setBool(func(o *schema.Options) *bool { return &o.Ephemeral }), keepEphemeral},
	"MAX_BUFFER":              {kinds: streaming, set: setSize("a number of rows", func(o *schema.Options) *int64 { return &o.MaxBuffer })},
	"LOCATION":                {kinds: stored, set: setLocation},
	"PRESENCE":                {kinds: stored, set: setPresence},
	"ICEBERG":                 {stored, setBool(func(o *schema.Options) *bool { return &o.Iceberg }), keepIceberg},
}

func keepUserStorage(to, from *schema.Options) { to.UseUserStorage = from.UseUserStorage }
func keepIceberg(to, from *schema.Options)     { to.Iceberg = from.Iceberg }
func keepFlushPolicy(to, from *schema.Options) { to.FlushPolicy = from.FlushPolicy }
func keepRetention(to, from *schema.Options) {
	to.DeletedRetentionSeconds = from.DeletedRetentionSeconds
}
func keepTTL(to, from *schema.Options)         { to.TTLSeconds = from.TTLSeconds }
func keepCompression(to, from *schema.Options) { to.Compression = from.Compression }
func keepEviction(to, from *schema.Options)    { to.EvictionStrategy = from.EvictionStrategy }
func keepDurability(to, from *schema.Options)  { to.Durability = from.Durability }

func keepEphemeral(to, from *schema.Options) { to.Ephemeral = from.Ephemeral }
func keepMaxStream(to, from *schema.Options) {
	to.MaxStreamSizeBytes = from.MaxStreamSizeBytes
}

// tableOptions reads the WITH clause of a table of the given kind.
func (d *Definer) tableOptions(kind schema.Kind, written []parse.Option) (schema.Options, error) {
	var out schema.Options
	if kind == schema.Shared {
		out.Access = schema.Private
	}
	seen := map[string]bool{}
	for _, o := range written {
		if seen[o.Name] {
			return out, fault.At(fault.InvalidDefinition, o.Offset, "table option '%s' is given twice", o.Name)
		}
		seen[o.Name] = true
		if o.Name == "TYPE" {
			continue
		}
		if o.Name == "ACCESS_LEVEL" {
			if err := setAccess(&out, kind, o); err != nil {
				return out, err
			}
			continue
		}
		known, ok := knownOptions[o.Name]
		if !ok {
			return out, fault.At(fault.InvalidDefinition, o.Offset, "Unknown table option '%s'", o.Name)
		}
		if !hasKind(known.kinds, kind) {
			return out, fault.At(fault.InvalidDefinition, o.Offset, "table option '%s' does not apply to %s tables", o.Name, strings.ToUpper(kind.String()))
		}
		if err := known.set(&out, o); err != nil {
			return out, err
		}
	}
	if err := checkEviction(&out); err != nil {
		return out, err
	}
	if kind != schema.Stream {
		if out.StorageID == "" {
			out.StorageID = schema.LocalStorage
		}
		if _, ok := d.o.Definitions().Storage(out.StorageID); !ok {
			return out, fault.New(fault.ObjectNotFound, "Storage '%s' does not exist", out.StorageID)
		}
	}
	return out, nil
}

func hasKind(kinds []schema.Kind, kind schema.Kind) bool {
	for _, k := range kinds {
		if k == kind {
			return true
		}
	}
	return false
}

func invalidOption(o parse.Option, want string) error {
	return fault.At(fault.InvalidDefinition, o.Offset, "table option '%s' has the invalid value '%.64s'; use %s", o.Name, o.Value, want)
}

func setAccess(out *schema.Options, kind schema.Kind, o parse.Option) error {
	if kind != schema.Shared {
		return fault.At(fault.InvalidDefinition, o.Offset, "ACCESS_LEVEL applies to SHARED tables only")
	}
	switch level := schema.Access(strings.ToLower(o.Value)); level {
	case schema.Public, schema.Private, schema.Restricted, schema.DBAOnly:
		out.Access = level
		return nil
	}
	return invalidOption(o, "PUBLIC, PRIVATE, RESTRICTED or DBA")
}

func setStorage(out *schema.Options, o parse.Option) error {
	if !storageName.MatchString(o.Value) {
		return invalidOption(o, "the id of a storage: letters, digits, '_' and '-'")
	}
	if out.StorageID != "" && out.StorageID != o.Value {
		return fault.At(fault.InvalidDefinition, o.Offset, "the storage is named twice: '%s' and '%s'", out.StorageID, o.Value)
	}
	out.StorageID = o.Value
	return nil
}

func setBool(field func(*schema.Options) *bool) func(*schema.Options, parse.Option) error {
	return func(out *schema.Options, o parse.Option) error {
		b, ok := boolOf(o)
		if !ok {
			return invalidOption(o, "TRUE or FALSE")
		}
		*field(out) = b
		return nil
	}
}

func boolOf(o parse.Option) (value, ok bool) {
	switch strings.ToLower(o.Value) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

func setWord(want string, field func(*schema.Options) *string, words ...string) func(*schema.Options, parse.Option) error {
	return func(out *schema.Options, o parse.Option) error {
		for _, w := range words {
			if strings.EqualFold(o.Value, w) {
				*field(out) = w
				return nil
			}
		}
		return invalidOption(o, want)
	}
}

// setFlushPolicy reads 'rows:N', 'interval:S' or both.
func setFlushPolicy(out *schema.Options, o parse.Option) error {
	const want = "'rows:N', 'interval:S' or 'rows:N,interval:S' with N up to 999999 and S up to 86399 seconds"
	var policy schema.FlushPolicy
	for part := range strings.SplitSeq(o.Value, ",") {
		name, text, ok := strings.Cut(strings.TrimSpace(part), ":")
		n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		if !ok || err != nil || n < 1 {
			return invalidOption(o, want)
		}
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "rows":
			if n > maxFlushRows || policy.Rows != 0 {
				return invalidOption(o, want)
			}
			policy.Rows = n
		case "interval":
			if n > maxFlushInterval || policy.IntervalSeconds != 0 {
				return invalidOption(o, want)
			}
			policy.IntervalSeconds = n
		default:
			return invalidOption(o, want)
		}
	}
	out.FlushPolicy = policy
	return nil
}

func setDeletedRetention(out *schema.Options, o parse.Option) error {
	seconds, ok := secondsOf(o)
	if strings.EqualFold(o.Value, "off") {
		seconds, ok = -1, true
	}
	if !ok {
		return invalidOption(o, "a duration such as '7d' or '12h', or 'off'")
	}
	return setRetention(out, o, seconds)
}

func setDeletedRetentionHours(out *schema.Options, o parse.Option) error {
	n, err := strconv.ParseInt(o.Value, 10, 64)
	if err != nil || n < 1 || n > 1<<20 {
		return invalidOption(o, "a positive number of hours")
	}
	return setRetention(out, o, n*3600)
}

// setRetention keeps what either spelling of the option says.
func setRetention(out *schema.Options, o parse.Option, seconds int64) error {
	if out.DeletedRetentionSeconds != 0 && out.DeletedRetentionSeconds != seconds {
		return fault.At(fault.InvalidDefinition, o.Offset, "DELETED_RETENTION and DELETED_RETENTION_HOURS disagree")
	}
	out.DeletedRetentionSeconds = seconds
	return nil
}

// maxPresence is the longest grace time.
const maxPresence = 86_400

func setPresence(out *schema.Options, o parse.Option) error {
	seconds, ok := secondsOf(o)
	if !ok || seconds > maxPresence {
		return invalidOption(o, "a grace time of 1 to 86400 seconds, such as '10s'")
	}
	out.PresenceSeconds = seconds
	return nil
}

// checkPresence refuses what rows that are never on disk cannot have.
func checkPresence(t *schema.Table) error {
	if !t.Present() {
		return nil
	}
	o := &t.Options
	refuse := func(what string) error {
		return fault.New(fault.InvalidDefinition, "a table with PRESENCE cannot have %s: its rows are never on disk", what)
	}
	switch {
	case len(t.Indexes) > 0:
		return refuse("an index or a UNIQUE constraint")
	case o.Iceberg, o.FlushPolicy != schema.FlushPolicy{}, o.Compression != "", o.Location != "", o.UseUserStorage,
		o.DeletedRetentionSeconds != 0, o.Durability != schema.DurabilityDefault:
		return refuse("options of storage")
	}
	for i := range t.Columns {
		if t.Columns[i].Type.Kind == datum.File {
			return refuse("a FILE column")
		}
	}
	return nil
}

func setTTL(out *schema.Options, o parse.Option) error {
	seconds, ok := secondsOf(o)
	if !ok {
		return invalidOption(o, "a positive number of seconds, or a duration such as '10s' or '5m'")
	}
	if out.TTLSeconds != 0 && out.TTLSeconds != seconds {
		return fault.At(fault.InvalidDefinition, o.Offset, "TTL_SECONDS and retention disagree")
	}
	out.TTLSeconds = seconds
	return nil
}

// secondsOf reads a positive number of seconds or a duration text of whole
// seconds, at most a hundred years.
func secondsOf(o parse.Option) (int64, bool) {
	const most = 100 * 366 * 86400
	if n, err := strconv.ParseInt(o.Value, 10, 64); err == nil {
		return n, n > 0 && n <= most
	}
	v, err := datum.Cast(datum.NewText(o.Value), datum.Type{Kind: datum.Interval})
	if err != nil {
		return 0, false
	}
	months, days, micros := v.Interval()
	if months != 0 || micros%1_000_000 != 0 {
		return 0, false
	}
	seconds := int64(days)*86400 + micros/1_000_000
	return seconds, seconds > 0 && seconds <= most
}

// setSize reads a number of bytes or rows, 0 for no limit.
func setSize(want string, field func(*schema.Options) *int64) func(*schema.Options, parse.Option) error {
	return func(out *schema.Options, o parse.Option) error {
		n, err := strconv.ParseInt(o.Value, 10, 64)
		if err != nil || n < 0 {
			return invalidOption(o, want+", 0 for no limit")
		}
		*field(out) = n
		return nil
	}
}

// checkEviction refuses a bound that its strategy would not keep.
func checkEviction(o *schema.Options) error {
	if o.MaxStreamSizeBytes > 0 && o.EvictionStrategy == "time_based" {
		return fault.New(fault.InvalidDefinition, "EVICTION_STRATEGY 'time_based' keeps no MAX_STREAM_SIZE_BYTES; use 'size_based' or 'hybrid'")
	}
	return nil
}

func setDurability(out *schema.Options, o parse.Option) error {
	switch d := schema.Durability(strings.ToLower(o.Value)); d {
	case schema.Sync, schema.Relaxed:
		out.Durability = d
		return nil
	}
	return invalidOption(o, "sync or relaxed")
}

// setLocation keeps a path template below the table's storage. A leading slash
// is dropped and ${user_id} is read as {userId}.
func setLocation(out *schema.Options, o parse.Option) error {
	location := strings.Trim(o.Value, "/")
	location = strings.ReplaceAll(location, "${user_id}", "{userId}")
	const hint = "a path below the table's storage; for another place make a storage with CREATE STORAGE"
	if location == "" || strings.Contains(location, "://") || strings.ContainsAny(location, "\\\x00$") {
		return invalidOption(o, hint)
	}
	for part := range strings.SplitSeq(location, "/") {
		if part == "" || part == "." || part == ".." || strings.HasPrefix(part, "_") {
			return invalidOption(o, hint)
		}
	}
	out.Location = location
	return nil
}

// setProperties runs SET TBLPROPERTIES and SET ACCESS LEVEL. NULL gives an
// option its default back.
func (a *alteration) setProperties() error {
	if len(a.s.Properties) == 0 {
		return fault.New(fault.InvalidDefinition, "At least one table property is required")
	}
	o := &a.next.Options
	seen := map[string]bool{}
	names := make([]string, 0, len(a.s.Properties))
	for _, p := range a.s.Properties {
		if seen[p.Name] {
			return fault.At(fault.InvalidDefinition, p.Offset, "table option '%s' is given twice", p.Name)
		}
		seen[p.Name] = true
		names = append(names, p.Name)
		if err := setProperty(o, a.old.Kind, p); err != nil {
			return err
		}
	}
	if len(names) == 1 && names[0] == "ACCESS_LEVEL" {
		a.what = "SET ACCESS LEVEL " + string(o.Access)
	} else {
		a.what = "SET TBLPROPERTIES (" + strings.Join(names, ", ") + ")"
	}
	a.changed = *o != a.old.Options
	return checkEviction(o)
}

// setProperty changes one option of a table that is there.
func setProperty(o *schema.Options, kind schema.Kind, p parse.Option) error {
	if p.Name == "ACCESS_LEVEL" {
		return setAccess(o, kind, p)
	}
	known, ok := knownOptions[p.Name]
	switch {
	case p.Name == "TYPE", ok && known.keep == nil && hasKind(known.kinds, kind):
		return fault.At(fault.InvalidOperation, p.Offset, "table option '%s' is given when a table is created and cannot be changed", p.Name)
	case !ok:
		return fault.At(fault.InvalidDefinition, p.Offset, "Unknown table option '%s'", p.Name)
	case !hasKind(known.kinds, kind):
		return fault.At(fault.InvalidDefinition, p.Offset, "table option '%s' does not apply to %s tables", p.Name, strings.ToUpper(kind.String()))
	}
	var fresh schema.Options
	if p.Null && kind == schema.Stream && (p.Name == "TTL_SECONDS" || p.Name == "RETENTION") {
		return invalidOption(p, "a positive number of seconds: STREAM tables must have one")
	}
	if !p.Null {
		if err := known.set(&fresh, p); err != nil {
			return err
		}
	}
	known.keep(o, &fresh)
	return nil
}

// checkLocation refuses templates that would mix users. That no two tables share
// a folder is judged when the table is added.
func checkLocation(t *schema.Table) error {
	location := t.Options.Location
	if location == "" {
		return nil
	}
	perUser := strings.Contains(location, "{userId}")
	if t.Kind == schema.User && !perUser {
		return fault.New(fault.InvalidDefinition, "the LOCATION of a USER table must contain ${user_id}")
	}
	if t.Kind == schema.Shared && perUser {
		return fault.New(fault.InvalidDefinition, "the LOCATION of a SHARED table cannot contain ${user_id}")
	}
	if rest := strings.ReplaceAll(location, "{userId}", ""); strings.ContainsAny(rest, "{}") {
		return fault.New(fault.InvalidDefinition, "the LOCATION '%s' has an unknown placeholder; ${user_id} is known", location)
	}
	return nil
}
