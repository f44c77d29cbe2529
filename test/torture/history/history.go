// Package history judges what a database has told its clients.
//
// Writers, readers and subscribers record what they did and what they were
// told; a History compares that with what may be true and keeps a list of
// violations, each with its class. It knows nothing of the database: it is
// told of places (a table and a scope), of units (rows of one place that one
// writer changes, always all of them in one statement), and of operations.
// Every operation has a number that stands in all rows that it writes, so each
// row that anybody sees names the operation it comes from, and the order of the
// operations of a unit is known because its writer waits for each answer.
//
// What must hold is said in terms of the units' versions: an acknowledged
// operation is seen by every read that begins afterwards; what a reader or a
// subscriber has seen, or what was acknowledged, is there after a crash unless
// its table is relaxed; nobody ever sees half of an operation, one that was
// never sent or was refused, or a row of another owner; a subscriber is told of
// every operation once and in order.
//
// A crash of a running database is judged on a Fork: the fork knows what was
// known before the disk was cloned, and Include adds what was sent meanwhile.
//
// Goroutines: none. Locks: History.mu; all methods may be called by many
// goroutines, those of one Subscription by one at a time.
package history

import (
	"fmt"
	"slices"
	"sync"
)

// Class says which promise a violation breaks.
type Class string

// The classes of violations.
const (
	Lost      Class = "lost"      // acknowledged or seen, and gone
	Phantom   Class = "phantom"   // there, but never sent, refused, or taken back before
	Gap       Class = "gap"       // a subscriber was not told of a change
	Duplicate Class = "duplicate" // a subscriber was told twice
	Reorder   Class = "reorder"   // changes or their numbers are not in the order of commits
	Torn      Class = "torn"      // a part of an operation
	Leak      Class = "leak"      // a row of another owner
	Twofold   Class = "twofold"   // a key twice, or ways to read that disagree
)

// Classes lists all classes in the order of reports.
func Classes() []Class {
	return []Class{Lost, Phantom, Gap, Duplicate, Reorder, Torn, Leak, Twofold}
}

// Violation is one broken promise.
type Violation struct {
	// Class is the promise.
	Class Class
	// Text names who saw it, the operation, the key, and the label of the run.
	Text string
}

// String returns class and text.
func (v Violation) String() string { return string(v.Class) + ": " + v.Text }

// violationsMax bounds the list; further ones are counted only.
const violationsMax = 100

// Place is where rows are: a table, and the scope within it, which is the user
// of a USER table and anything constant for a SHARED one. Rows carry the scope
// as their owner.
type Place struct{ Table, Scope string }

// String names the place.
func (p Place) String() string { return p.Table + "/" + p.Scope }

// unitStride is the distance of the first keys of neighbouring units.
const unitStride = 100

// Unit is a number of rows of one place that are changed together.
type Unit struct {
	place Place
	id    int64
	rows  int
	index int // among all units
	local int // among those of the place
}

// Place returns where the unit's rows are.
func (u *Unit) Place() Place { return u.place }

// Keys returns the keys of its rows.
func (u *Unit) Keys() []int64 {
	keys := make([]int64, u.rows)
	for i := range keys {
		keys[i] = u.id*unitStride + int64(i)
	}
	return keys
}

func (u *Unit) String() string { return fmt.Sprintf("unit %d of %s", u.id, u.place) }

// Kind says what an operation does to its unit.
type Kind uint8

// The kinds of operations. An insert makes the rows, an update gives them the
// number of the operation, a delete removes them.
const (
	Insert Kind = iota
	Update
	Delete
)

// String names the kind.
func (k Kind) String() string { return [...]string{"insert", "update", "delete"}[k] }

// Op is one operation that was sent.
type Op struct {
	Unit   *Unit
	Number int64
	Kind   Kind
	lazy   int // relaxed operations that had been acknowledged when it was sent
}

// Row is one row as somebody saw it.
type Row struct {
	ID, Op int64
	Owner  string
	Seq    uint64
}

// Options configure a History.
type Options struct {
	// Label stands in every violation: seed and cycle.
	Label string
	// Relaxed names the tables that may lose the newest operations in a crash.
	Relaxed []string
	// MayExpire says that positions may be refused although nothing was lost.
	MayExpire bool
}

// Counts is what a History was told.
type Counts struct {
	Sent, Acked, Refused, Unknown, Reads, Events, Resumes, Expired int64
	Violations                                                     map[Class]int64
}

// entry is an operation in the log of its unit.
type entry struct {
	number int64
	kind   Kind
	lazy   int
}

// state is what is known of a unit. A version of it is the number of operations
// that have happened to it: version n is what entry n-1 has made, 0 is nothing.
type state struct {
	unit    *Unit
	log     []entry // never changed in place: forks share it
	settled int     // versions up to here have happened
	perhaps int     // after a crash the first one that what was found may be
	visible int     // a read that begins now sees at least this version
	durable int     // a crash now leaves at least this version
	seqOf   int     // the version whose numbers are in seqs
	seqs    []uint64
}

// ref names the version that a relaxed operation has made.
type ref struct{ unit, version int }

// History is what is known of one database, and what has been found wrong.
type History struct {
	mu      sync.Mutex
	o       Options
	units   map[Place][]*Unit
	states  []state
	refused map[int64]string // operations that have not happened, and why
	next    int64
	lazy    []ref  // acknowledged relaxed operations, in order
	firm    int    // as many of them lie before a synced commit
	past    int    // as many had been acknowledged before the last crash
	sure    uint64 // greatest _seq that a crash cannot take back: somebody was told of a synced change there
	subs    map[string]*Subscription
	counts  Counts
	found   []Violation
}

// New returns an empty history.
func New(o Options) *History {
	return &History{
		o: o, units: map[Place][]*Unit{}, refused: map[int64]string{}, subs: map[string]*Subscription{},
		counts: Counts{Violations: map[Class]int64{}},
	}
}

// Unit returns the unit of a place with the given id, whose rows have the keys
// from id*100 on; it is made when it is new.
func (h *History) Unit(p Place, id int64, rows int) *Unit {
	h.mu.Lock()
	defer h.mu.Unlock()
	if rows < 1 || rows > unitStride {
		panic(fmt.Sprintf("a unit of %d rows", rows))
	}
	if u := h.unit(p, id); u != nil {
		return u
	}
	u := &Unit{place: p, id: id, rows: rows, index: len(h.states), local: len(h.units[p])}
	h.units[p] = append(slices.Clip(h.units[p]), u)
	h.states = append(h.states, state{unit: u})
	return u
}

// unit returns the unit with an id, or nil.
func (h *History) unit(p Place, id int64) *Unit {
	for _, u := range h.units[p] {
		if u.id == id {
			return u
		}
	}
	return nil
}

func (h *History) relaxed(p Place) bool { return slices.Contains(h.o.Relaxed, p.Table) }

// fail notes a violation. h.mu is held.
func (h *History) fail(c Class, format string, args ...any) {
	h.counts.Violations[c]++
	if len(h.found) < violationsMax {
		h.found = append(h.found, Violation{c, h.o.Label + ": " + fmt.Sprintf(format, args...)})
	}
}

// Violations returns what has been found wrong, at most 100 of it.
func (h *History) Violations() []Violation {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.found)
}

// Counts returns what the history was told, and how often each promise was
// broken.
func (h *History) Counts() Counts {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.counts
	c.Violations = make(map[Class]int64, len(h.counts.Violations))
	for class, n := range h.counts.Violations {
		c.Violations[class] = n
	}
	return c
}

// Add adds the counts of another history.
func (c *Counts) Add(o Counts) {
	c.Sent, c.Acked, c.Refused, c.Unknown = c.Sent+o.Sent, c.Acked+o.Acked, c.Refused+o.Refused, c.Unknown+o.Unknown
	c.Reads, c.Events, c.Resumes, c.Expired = c.Reads+o.Reads, c.Events+o.Events, c.Resumes+o.Resumes, c.Expired+o.Expired
	if c.Violations == nil {
		c.Violations = map[Class]int64{}
	}
	for class, n := range o.Violations {
		c.Violations[class] += n
	}
}

// Relabel sets what stands in violations from now on.
func (h *History) Relabel(label string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.o.Label = label
}
