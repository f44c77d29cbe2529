package metamorphic

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// generator draws a program.
type generator struct {
	*rand.Rand
	label  int
	keys   int // how many keys are written to
	large  bool
	tables []drawnTable
	events []string // names of events that may be hidden
	program
}

type drawnTable struct{ name, kind string }

// generate returns the program of a seed.
func generate(seed uint64, ops int) program {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 1))}
	g.keys = []int{4, 12, 40, 120}[g.IntN(4)]
	g.large = g.IntN(15) == 0
	g.createTable()
	for g.label < ops {
		g.next()
	}
	return g.program
}

// add appends an operation of its own.
func (g *generator) add(name string, words ...string) {
	g.label++
	g.program = append(g.program, op{label: g.label, name: name, args: fields(words)})
}

// inside appends an operation to the last one.
func (g *generator) inside(at int, name string, words ...string) {
	g.label++
	last := &g.program[len(g.program)-1]
	last.inner = append(last.inner, op{label: g.label, at: at, name: name, args: fields(words)})
}

func fields(words []string) []string { return strings.Fields(strings.Join(words, " ")) }

func (g *generator) pick(words ...string) string { return words[g.IntN(len(words))] }

// list draws some words, divided by commas.
func (g *generator) list(words []string, least, most int) string {
	drawn := make([]string, least+g.IntN(most-least+1))
	for i := range drawn {
		drawn[i] = words[g.IntN(len(words))]
	}
	return strings.Join(drawn, ",")
}

func (g *generator) createTable() {
	t := drawnTable{name: g.pick("a", "b", "c"), kind: g.pick("user", "user", "shared", "stream")}
	words := []string{t.name, t.kind, "key=" + g.list(keyTypes, 1, 1+g.IntN(3)), "cols=" + g.list(columnTypes, 0, 5)}
	if t.kind == "stream" {
		words = append(words, fmt.Sprintf("ttl=%d", []int{1, 3, 20, 3600}[g.IntN(4)]))
	} else if g.IntN(3) == 0 {
		words = append(words, fmt.Sprintf("retention=%d", []int{1, 20, -1}[g.IntN(3)]))
	}
	g.add("table", words...)
	for _, known := range g.tables {
		if known.name == t.name {
			return // there is one already, or there was
		}
	}
	g.tables = append(g.tables, t)
}

func (g *generator) table() drawnTable { return g.tables[g.IntN(len(g.tables))] }

func (g *generator) scope(t drawnTable) string {
	if t.kind == "shared" {
		return "-"
	}
	return g.pick("alice", "alice", "alice", "bob", "_packed", "a/../é")
}

// position names a position that some operation before has made.
func (g *generator) position() string {
	n := 1 + g.IntN(max(g.label, 1))
	if g.IntN(2) == 0 {
		n = max(1, g.label-g.IntN(10))
	}
	if g.IntN(4) == 0 {
		return fmt.Sprintf("%d.%d", n, g.IntN(4))
	}
	return fmt.Sprint(n)
}

// next appends one operation, some with others inside.
func (g *generator) next() {
	switch n := g.IntN(100); {
	case n < 30:
		g.add(g.write())
	case n < 34:
		g.add("together", g.parts(4))
	case n < 37:
		t := g.table()
		g.add(g.pick("insert", "stale"), t.name, g.scope(t), g.items(t, 3))
	case n < 46:
		g.flush()
	case n < 52:
		g.moves("compact", g.table().name)
	case n < 64:
		g.add(g.read())
	case n < 70:
		g.add("tick", fmt.Sprint([]int{1, 300, 2500, 9000, 11_000, 40_000, 3_700_000}[g.IntN(7)]))
	case n < 73:
		g.maintenance("forget")
		for range 3 { // what is still promised must be there
			t := g.table()
			g.add("history", t.name, g.scope(t), g.position())
		}
	case n < 76:
		g.maintenance("purge")
	case n < 78:
		g.add(g.pick("expire", "sweep", "memtable"))
	case n < 84:
		g.add(g.moment())
	case n < 87:
		g.add("restart")
	case n < 91:
		g.add("crash", fmt.Sprint(g.IntN(1000)), fmt.Sprint(g.IntN(101)))
	case n < 94:
		g.add(g.alter())
	case n < 96:
		g.drop()
	case n < 98:
		g.createTable()
	default:
		g.fill()
	}
}

// drop draws the end of a table, sometimes beside those who read its files, and
// a new one, sometimes of its name.
func (g *generator) drop() {
	t := g.table()
	beside := g.IntN(2) == 0
	if beside {
		g.add("flush", t.name)
		g.add("hold", "v")
		g.add("begin", "x", t.name, g.scope(t), g.query(t))
	}
	g.add("drop", t.name)
	if beside {
		g.add("sweep")
		g.add("look", "v")
		g.add("end", "x")
	}
	g.createTable()
}

// fill writes many keys: so many that a flush takes several commits when the
// program is a large one.
func (g *generator) fill() {
	t := g.table()
	count := 20 + g.IntN(100)
	if g.large {
		count = 2000 + g.IntN(2500)
	}
	g.add("fill", t.name, g.scope(t), fmt.Sprint(g.IntN(50)), fmt.Sprint(count), fmt.Sprint(g.IntN(1000)))
}

// items draws changes of a partition.
func (g *generator) items(t drawnTable, most int) string {
	var words []string
	for i := range 1 + g.IntN(most) {
		switch {
		case t.kind == "stream" && len(g.events) > 0 && g.IntN(3) == 0:
			words = append(words, "~"+g.events[g.IntN(len(g.events))])
		case g.IntN(4) == 0 && t.kind != "stream":
			words = append(words, fmt.Sprintf("%d=x", g.IntN(g.keys)))
		default:
			words = append(words, fmt.Sprintf("%d=%d", g.IntN(g.keys), g.IntN(1000)))
		}
		if t.kind == "stream" {
			g.events = append(g.events, fmt.Sprintf("%d.%d", g.label+1, i))
		}
	}
	return strings.Join(words, " ")
}

// parts draws changes of several partitions.
func (g *generator) parts(most int) string {
	var all []string
	for range 1 + g.IntN(most) {
		t := g.table()
		all = append(all, t.name+" "+g.scope(t)+" "+g.items(t, 5))
	}
	return strings.Join(all, " | ")
}

func (g *generator) write() (name, words string) {
	return "write", g.pick("", "", "relaxed ") + g.parts(1+g.IntN(3))
}

// query draws the words of a scan.
func (g *generator) query(t drawnTable) string {
	words := []string{g.pick("any", "key", "seq", "desc")}
	maybe := func(of int, format string, args ...any) {
		if g.IntN(of) == 0 {
			words = append(words, fmt.Sprintf(format, args...))
		}
	}
	bound := func() string { return fmt.Sprintf("%s%d:%d", g.pick("[", "("), g.IntN(g.keys), 1+g.IntN(3)) }
	maybe(3, "low=%s", bound())
	maybe(3, "high=%s", bound())
	maybe(3, "after=%s", g.position())
	maybe(4, "upto=%s", g.position())
	maybe(2, "deleted")
	maybe(3, "limit=%d", 1+g.IntN(5))
	maybe(3, "columns=%d,%d", g.IntN(5), g.IntN(8))
	maybe(6, "keys=%d,%d,%d", g.IntN(g.keys), g.IntN(g.keys), g.IntN(2*g.keys))
	return strings.Join(words, " ")
}

func (g *generator) read() (name, words string) {
	t := g.table()
	if g.IntN(3) == 0 {
		return "history", t.name + " " + g.scope(t) + " " + g.position()
	}
	return "scan", t.name + " " + g.scope(t) + " " + g.query(t)
}

// moment draws something that is kept open, looked at or ended.
func (g *generator) moment() (name, words string) {
	if g.IntN(2) == 0 {
		return g.pick("hold", "look", "look", "release"), g.pick("v", "w")
	}
	if g.IntN(2) == 0 {
		return "end", g.pick("x", "y")
	}
	t := g.table()
	return "begin", g.pick("x", "y") + " " + t.name + " " + g.scope(t) + " " + g.query(t) + g.pick("", " first")
}

func (g *generator) alter() (name, words string) {
	return "alter", g.table().name + " " + g.pick(
		fmt.Sprintf("add %s %d", columnTypes[g.IntN(len(columnTypes))], g.IntN(1000)),
		fmt.Sprintf("drop %d", g.IntN(8)), fmt.Sprintf("widen %d", g.IntN(8)))
}

// flush draws a flush of a table, or of some of its partitions.
func (g *generator) flush() {
	t := g.table()
	if g.IntN(4) > 0 {
		g.moves("flush", t.name)
		return
	}
	words := t.name
	for range 1 + g.IntN(3) {
		words += " " + g.scope(t)
	}
	g.moves("part", words)
}

// moves draws a flush or a compaction, and what happens in the middle of it.
func (g *generator) moves(name, words string) {
	g.add(name, words)
	at := 1
	for g.IntN(3) == 0 {
		at += g.IntN(3)
		switch n := g.IntN(23); {
		case n >= 20:
			g.inside(at, "fault", fmt.Sprint(1+g.IntN(15)), g.pick("", "once"))
		case n < 9:
			name, words := g.write()
			g.inside(at, name, words)
		case n < 13:
			name, words := g.read()
			g.inside(at, name, words)
		case n < 16:
			name, words := g.moment()
			g.inside(at, name, words)
		case n < 17:
			name, words := g.alter()
			g.inside(at, name, words)
		case n < 18:
			g.inside(at, "crash", fmt.Sprint(g.IntN(1000)), fmt.Sprint(g.IntN(101)))
		case n < 19:
			g.inside(at, "stop")
		default:
			g.inside(at, "drop", g.table().name)
		}
	}
}

// maintenance draws a forget or purge, sometimes cut off or read beside.
func (g *generator) maintenance(name string) {
	g.add(name)
	if g.IntN(3) == 0 {
		name, words := g.read()
		g.inside(1+g.IntN(2), name, words)
	}
	if g.IntN(6) == 0 {
		g.inside(1+g.IntN(3), "crash", fmt.Sprint(g.IntN(1000)), fmt.Sprint(g.IntN(101)))
	}
}
