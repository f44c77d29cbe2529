package apply

import (
	"kalamdb/internal/command"
	"kalamdb/internal/schema"
)

// touchedMax bounds the partitions whose last change is known.
const touchedMax = 1 << 16

// touched knows when partitions were changed last, for commands that depend on
// what they have read. It is in memory only: what nobody knows, of the time
// before the start or before it was full, counts as changed at floor.
type touched struct {
	floor uint64
	last  map[partition]uint64
}

type partition struct {
	table schema.TableID
	scope schema.Scope
}

// note remembers which partitions a commit has changed.
func (t *touched) note(c *command.Commit) {
	var before partition
	for i := range c.Changes {
		at := partition{c.Changes[i].Table, c.Changes[i].Scope}
		if i > 0 && at == before {
			continue
		}
		before = at
		if _, known := t.last[at]; !known && len(t.last) >= touchedMax {
			clear(t.last)
			t.floor = c.Position
		}
		t.last[at] = c.Position
	}
}

// staleReads reports whether something that a command has read was changed since.
func (l *Local) staleReads(r *command.Reads) bool {
	if r == nil {
		return false
	}
	if r.At < l.touched.floor {
		return true
	}
	for _, p := range r.Partitions {
		t, ok := l.machine.Definitions().TableByID(p.Table)
		if !ok || t.Version != p.SchemaVersion || l.touched.last[partition{p.Table, p.Scope}] > r.At {
			return true
		}
	}
	return false
}
