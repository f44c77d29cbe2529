package core

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"kalamdb/internal/fault"
)

// Bounds of what a conversation keeps of custom settings.
const (
	maxVariables     = 128
	maxVariableBytes = 64 << 10 // names and values together
)

// choices are what SET, USE and set_config have chosen. They are replaced, never
// changed, so that a savepoint keeps them by keeping the value.
type choices struct {
	path   path
	shown  string            // the path as SHOW prints it
	custom map[string]string // settings of clients, by folded name; nil for none
}

// with returns the choices with one more setting, or a new value of it.
func (c choices) with(name, value string) (choices, error) {
	bytes := len(name) + len(value)
	for known, v := range c.custom {
		if known != name {
			bytes += len(known) + len(v)
		}
	}
	if _, known := c.custom[name]; !known && len(c.custom) >= maxVariables {
		return c, fault.New(fault.LimitExceeded, "a session keeps at most %d custom settings", maxVariables)
	}
	if bytes > maxVariableBytes {
		return c, fault.New(fault.LimitExceeded, "the custom settings of a session have at most %d bytes together", maxVariableBytes)
	}
	next := maps.Clone(c.custom)
	if next == nil {
		next = map[string]string{}
	}
	next[name] = value
	c.custom = next
	return c, nil
}

// without returns the choices without a setting.
func (c choices) without(name string) choices {
	if _, known := c.custom[name]; known {
		c.custom = maps.Clone(c.custom)
		delete(c.custom, name)
	}
	return c
}

// history is how choices follow transactions: now is in force, kept stays when
// the transaction commits, before comes back when it rolls back.
type history struct {
	now, kept, before choices
	open              bool // a transaction is
	marks             []choiceMark
}

// choiceMark is what a savepoint goes back to.
type choiceMark struct {
	name      string
	now, kept choices
}

// set makes a change; a local one ends with the transaction, and with the
// statement where none is open.
func (h *history) set(local bool, change func(choices) (choices, error)) error {
	now, err := change(h.now)
	if err != nil {
		return err
	}
	if !local {
		if h.kept, err = change(h.kept); err != nil {
			return err
		}
	}
	h.now = now
	return nil
}

// begin, commit and rollback follow a transaction.
func (h *history) begin() {
	h.now = h.kept
	h.before, h.open, h.marks = h.kept, true, nil
}

func (h *history) commit() {
	h.now, h.open, h.marks = h.kept, false, nil
}

func (h *history) rollback() {
	if h.open {
		h.now, h.kept, h.open, h.marks = h.before, h.before, false, nil
	}
}

// savepoint, rollbackTo and release follow a savepoint that there is.
func (h *history) savepoint(name string) {
	h.marks = append(slices.Clip(h.marks), choiceMark{name, h.now, h.kept})
}

func (h *history) rollbackTo(name string) {
	if i := h.mark(name); i >= 0 {
		h.now, h.kept, h.marks = h.marks[i].now, h.marks[i].kept, h.marks[:i+1]
	}
}

func (h *history) release(name string) {
	if i := h.mark(name); i >= 0 {
		h.marks = h.marks[:i]
	}
}

// mark finds the last savepoint of a name.
func (h *history) mark(name string) int {
	for i, m := range slices.Backward(h.marks) {
		if m.name == name {
			return i
		}
	}
	return -1
}

// variables are the choices of one conversation. Functions of a statement read
// and change them from several goroutines.
type variables struct {
	mu struct {
		sync.Mutex
		history
	}
}

func newVariables(p path) *variables {
	v := &variables{}
	v.mu.kept = firstChoices(p)
	v.mu.now = v.mu.kept
	return v
}

// firstChoices are those of somebody who has chosen nothing but a namespace.
func firstChoices(p path) choices { return choices{path: p, shown: string(p)} }

// follow runs one step of a history.
func (v *variables) follow(step func(*history)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	step(&v.mu.history)
}

// fresh begins a statement outside of transactions: what the one before has set
// for itself is over.
func (v *variables) fresh() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mu.now = v.mu.kept
}

// set is history.set.
func (v *variables) set(local bool, change func(choices) (choices, error)) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.mu.set(local, change)
}

// now returns the choices in force.
func (v *variables) now() choices {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.mu.now
}

// copy returns the history as it stands.
func (v *variables) copy() history {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.mu.history
}

// engineOptions is how the names of the options of 0.4.3's engine begin, which
// this server has not.
const engineOptions = "datafusion."

// customName folds the name of a custom setting, which has a dot, as those of
// PostgreSQL; ok is false for other names.
func customName(name string) (folded string, ok bool) {
	folded = strings.ToLower(name)
	if len(folded) > 128 || !strings.Contains(folded, ".") || strings.HasPrefix(folded, engineOptions) {
		return folded, false
	}
	for part := range strings.SplitSeq(folded, ".") {
		if part == "" || part[0] >= '0' && part[0] <= '9' || strings.IndexFunc(part, notOfName) >= 0 {
			return folded, false
		}
	}
	return folded, true
}

// notOfName reports whether a character cannot be part of the name of a setting.
func notOfName(r rune) bool {
	return r != '_' && r != '$' && (r < 'a' || r > 'z') && (r < '0' || r > '9') && r < 0x80
}
