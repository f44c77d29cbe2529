package kalam

import (
	"bytes"
	"encoding/json"
	"slices"
)

// held is what the subscriber of a result has been told: the server does not
// resume a result by position, so after a break the client asks for the whole
// and tells what differs.
type held struct {
	key  []string // the columns that name a row; none where equal rows may come
	rows map[string]*heldRow
	// again says that the whole result is coming once more; met counts the rows
	// of it.
	again bool
	met   map[string]int
	// undo takes back what a group has not been given yet, the last first.
	undo []func()
}

// heldRow is a row and how often the result has it.
type heldRow struct {
	row   map[string]json.RawMessage
	text  string
	times int
}

// heldOf begins to keep a result that an acknowledgement describes.
func heldOf(f *frame) *held {
	h := &held{rows: map[string]*heldRow{}}
	for _, c := range f.Schema {
		if slices.Contains(c.Flags, "pk") {
			h.key = append(h.key, c.Name)
		}
	}
	return h
}

// textOf writes what a client sees of a row: NULLs are left out, for updates do
// not carry them.
func textOf(row map[string]json.RawMessage) string {
	seen := make(map[string]json.RawMessage, len(row))
	for name, v := range row {
		if name != "_seq" && name != "_deleted" && !bytes.Equal(v, []byte("null")) {
			seen[name] = v
		}
	}
	text, _ := json.Marshal(seen) // of values that were read as JSON
	return string(text)
}

// name is what tells a row from others.
func (h *held) name(row map[string]json.RawMessage) string {
	if len(h.key) == 0 {
		return textOf(row)
	}
	key := make(map[string]json.RawMessage, len(h.key))
	for _, column := range h.key {
		key[column] = row[column]
	}
	return textOf(key)
}

// set makes a row be there a number of times.
func (h *held) set(name string, row map[string]json.RawMessage, times int, undoable bool) {
	was, there := h.rows[name]
	if undoable {
		h.undo = append(h.undo, func() {
			if delete(h.rows, name); there {
				h.rows[name] = was
			}
		})
	}
	if delete(h.rows, name); times > 0 {
		h.rows[name] = &heldRow{row, textOf(row), times}
	}
}

// tell notes an event that is handed on.
func (h *held) tell(e *Event, undoable bool) {
	name := h.name(e.Row)
	times := 0
	if was := h.rows[name]; was != nil {
		times = was.times
	}
	switch {
	case e.Kind == Delete:
		h.set(name, e.Row, times-1, undoable)
	case len(h.key) > 0:
		h.set(name, e.Row, 1, undoable)
	case e.Kind == Update: // without key and groups there is one row
		for other, was := range h.rows {
			h.set(other, was.row, 0, undoable)
		}
		h.set(name, e.Row, 1, undoable)
	default:
		h.set(name, e.Row, times+1, undoable)
	}
}

// kept says that a group has been given what was told.
func (h *held) kept() {
	if h != nil {
		h.undo = nil
	}
}

// takeBack forgets what a group has not been given.
func (h *held) takeBack() {
	if h == nil {
		return
	}
	for _, undo := range slices.Backward(h.undo) {
		undo()
	}
	h.undo = nil
}

// renew says that the whole result will come again.
func (h *held) renew() { h.again, h.met = true, map[string]int{} }

// news reports whether a row that comes again is to be told.
func (h *held) news(row map[string]json.RawMessage) bool {
	name := h.name(row)
	h.met[name]++
	was := h.rows[name]
	return was == nil || was.text != textOf(row) || was.times < h.met[name]
}

// gone returns what did not come again, and ends it.
func (h *held) gone() (rows []map[string]json.RawMessage) {
	for name, was := range h.rows {
		for range was.times - h.met[name] {
			rows = append(rows, was.row)
		}
	}
	h.again, h.met = false, nil
	return rows
}
