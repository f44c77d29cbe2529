package metamorphic

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"kalamdb/internal/command"
	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
)

// version is one version of a row, or one event of a stream.
type version struct {
	name     string // label of its operation and number in it, the same under every config
	key      int    // of table.keys
	op       command.Op
	seq      uint64
	prev     uint64
	position uint64
	relaxed  bool
	schema   uint32 // version of the table that wrote it
	values   map[schema.ColumnID]datum.Value
	hiddenBy uint64 // of an event
	hides    string // of a delete record: the event
}

func (v *version) dead() bool { return v.op == command.Delete }

// table is what one table should hold.
type table struct {
	name string
	def  *schema.Table
	keys keySpace
	rows map[string]map[int][]version // of USER and SHARED tables: by scope and key, oldest first
	// events of STREAM tables by scope, delete records included, oldest first.
	events map[string][]version
	// expired is the position below which windows of a stream may have gone.
	expired uint64
}

func newTable(name string, def *schema.Table, types []datum.Type) *table {
	return &table{
		name: name, def: def, keys: keySpace{types: types}, rows: map[string]map[int][]version{}, events: map[string][]version{},
	}
}

// clone returns a copy that later operations do not change.
func (t *table) clone() *table {
	c := *t
	c.keys.sorted = slices.Clone(t.keys.sorted)
	c.rows, c.events = map[string]map[int][]version{}, map[string][]version{}
	for scope, rows := range t.rows {
		c.rows[scope] = maps.Clone(rows)
	}
	for scope, events := range t.events {
		c.events[scope] = slices.Clone(events)
	}
	return &c
}

func (t *table) stream() bool { return t.def.Kind == schema.Stream }

// scopes returns the partitions that were ever written to, in order.
func (t *table) scopes() []string {
	scopes := slices.Collect(maps.Keys(t.rows))
	scopes = slices.AppendSeq(scopes, maps.Keys(t.events))
	slices.Sort(scopes)
	return slices.Compact(scopes)
}

// newest returns the newest version of a key.
func (t *table) newest(scope string, key int) (version, bool) {
	all := t.rows[scope][key]
	if len(all) == 0 {
		return version{}, false
	}
	return all[len(all)-1], true
}

// add appends a version.
func (t *table) add(scope string, v version) {
	if t.stream() {
		if v.hides != "" {
			events := t.events[scope]
			at := slices.IndexFunc(events, func(e version) bool { return e.name == v.hides })
			events[at].hiddenBy = v.seq
		}
		t.events[scope] = append(t.events[scope], v)
		return
	}
	if t.rows[scope] == nil {
		t.rows[scope] = map[int][]version{}
	}
	all := t.rows[scope][v.key]
	t.rows[scope][v.key] = append(all[:len(all):len(all)], v)
}

// lose takes back what lies above a position.
func (t *table) lose(above uint64) (lost []version) {
	for _, rows := range t.rows {
		for key, all := range rows {
			for len(all) > 0 && all[len(all)-1].seq > above {
				lost = append(lost, all[len(all)-1])
				all = all[:len(all)-1]
			}
			if rows[key] = all; len(all) == 0 {
				delete(rows, key)
			}
		}
	}
	for scope, events := range t.events {
		for len(events) > 0 && events[len(events)-1].seq > above {
			lost = append(lost, events[len(events)-1])
			events = events[:len(events)-1]
		}
		for i := range events {
			if events[i].hiddenBy > above {
				events[i].hiddenBy = 0
			}
		}
		t.events[scope] = events
	}
	return lost
}

// show returns the values of a version under the present definition, as text:
// of all columns that are no system columns, in order.
func (t *table) show(v *version) []string {
	texts := make([]string, len(t.def.Columns))
	for i := range t.def.Columns {
		c := &t.def.Columns[i]
		if c.System != schema.NotSystem {
			continue
		}
		value, known := v.values[c.ID]
		if !known && v.schema < c.Since && len(c.Missing) > 0 {
			value, _, _ = datum.DecodeValue(c.Missing)
		}
		texts[i] = showValue(value, c.Type)
	}
	return texts
}

// showValue prints a value as its column shows it.
func showValue(v datum.Value, t datum.Type) string {
	if v.IsNull() {
		return "NULL"
	}
	if t.Kind == datum.Double && v.Kind() == datum.Float {
		v = datum.NewDouble(v.Float())
	}
	text := v.String()
	if len(text) > 60 {
		text = fmt.Sprintf("%.40s…%d:%x", text, len(text), fold(text))
	}
	return text
}

// fold sums a text up.
func fold(text string) uint32 {
	sum := uint32(2166136261)
	for i := range len(text) {
		sum = (sum ^ uint32(text[i])) * 16777619
	}
	return sum
}

// keySpace gives every key of a table one number: keys that mean the same
// share the least.
type keySpace struct {
	types  []datum.Type
	sorted []knownKey
}

type knownKey struct {
	values []datum.Value
	number int
}

// tuple returns the values of a key number.
func (k *keySpace) tuple(n int) []datum.Value {
	var parts []int
	switch len(k.types) {
	case 1:
		parts = []int{n}
	case 2:
		parts = []int{n / 4, n % 4}
	default:
		parts = []int{n / 9, n / 3 % 3, n % 3}
	}
	values := make([]datum.Value, len(k.types))
	for i, t := range k.types {
		values[i] = keyValue(t, parts[i])
	}
	return values
}

// number returns the number of the key that a number means.
func (k *keySpace) number(n int) int {
	values := k.tuple(n)
	at, found := slices.BinarySearchFunc(k.sorted, values, func(known knownKey, values []datum.Value) int {
		return slices.CompareFunc(known.values, values, datum.Compare)
	})
	if !found {
		k.sorted = slices.Insert(k.sorted, at, knownKey{values, n})
	}
	return k.sorted[at].number
}

// bound is one end of a range in a program: `[5:1` or `(5:2`, a key number and
// how many columns of it count.
type bound struct {
	values    []datum.Value
	inclusive bool
}

func (k *keySpace) bound(text string) bound {
	if len(text) < 2 {
		return bound{}
	}
	number, columns := 0, len(k.types)
	_, _ = fmt.Sscanf(text[1:], "%d:%d", &number, &columns)
	columns = max(1, min(columns, len(k.types)))
	return bound{k.tuple(number)[:columns], text[0] == '['}
}

// inside reports whether a key lies within two bounds.
func inside(key []datum.Value, low, high bound) bool {
	if n := len(low.values); n > 0 {
		c := slices.CompareFunc(key[:n], low.values, datum.Compare)
		if c < 0 || c == 0 && !low.inclusive {
			return false
		}
	}
	if n := len(high.values); n > 0 {
		c := slices.CompareFunc(key[:n], high.values, datum.Compare)
		if c > 0 || c == 0 && !high.inclusive {
			return false
		}
	}
	return true
}

// ordered returns the newest versions of a scope by key.
func (t *table) ordered(scope string) []version {
	rows := t.rows[scope]
	all := make([]version, 0, len(rows))
	for _, known := range t.keys.sorted {
		if versions := rows[known.number]; len(versions) > 0 {
			all = append(all, versions[len(versions)-1])
		}
	}
	return all
}

func bySeq(a, b version) int { return cmp.Compare(a.seq, b.seq) }

// cells prints the wanted columns of a version that are no system columns.
func (t *table) cells(v *version, columns []int) string {
	var b strings.Builder
	for i, text := range t.show(v) {
		if t.def.Columns[i].System == schema.NotSystem && (columns == nil || slices.Contains(columns, i)) {
			b.WriteString(" " + text)
		}
	}
	return b.String()
}

// line is a row as answers print it.
func (t *table) line(v *version, columns []int) string {
	if v.dead() {
		return v.name + " deleted" + t.cells(v, columns)
	}
	return v.name + t.cells(v, columns)
}
