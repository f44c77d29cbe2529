package metamorphic

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A program is text: an operation per line, each with a label that stays when
// others are taken out. Operations that name what is not there do nothing, so
// any part of a program is a program.
//
//	1 table t user key=bigint,text cols=double,json [ttl=60] [retention=30]
//	2 write relaxed t alice 5=17 6=x | u - 7=3     one commit; 5=17: row of key 5
//	                                               with values 17; 6=x: delete
//	3 write s alice 4=1 ~3.0                       an event, and a hide of one
//	4 fill t alice 100 400 9                       400 rows from key 100 on
//	5 together t alice 1=2 | t bob 1=2             commits at once
//	6 insert t alice 5=1                           refused when the row is there
//	7 stale t alice 5=1                            from an older version: refused
//	8 flush t
//	9 @2 write t alice 5=3                         before commit 2 of the flush
//	10 @3 crash 77 50                              a cut in the middle of it
//	8 compact t | part t alice bob                 some partitions flushed
//	9 @2 fault 5 once                              the fifth operation of the disk
//	                                               from commit 2 on is refused;
//	                                               without once, all behind it too
//	11 scan t alice key low=[3:1 after=2 deleted   rows; 2 and 3.0 name positions
//	12 history t alice 2                           values and changes since
//	13 hold v | look v | drop v                    a moment kept open

// op is one operation.
type op struct {
	label int
	at    int // before which commit of the one above, 0 for an operation of its own
	name  string
	args  []string
	inner []op // of a flush, a compaction, a forget or a purge
}

// program is a list of operations.
type program []op

// String prints a program.
func (p program) String() string {
	var b strings.Builder
	for _, o := range p {
		o.print(&b)
	}
	return b.String()
}

func (o op) print(b *strings.Builder) {
	fmt.Fprintf(b, "%d ", o.label)
	if o.at > 0 {
		fmt.Fprintf(b, "@%d ", o.at)
	}
	b.WriteString(o.text())
	b.WriteByte('\n')
	for _, inner := range o.inner {
		inner.print(b)
	}
}

// text is an operation without its label.
func (o op) text() string { return strings.Join(append([]string{o.name}, o.args...), " ") }

// parseProgram reads what String has printed. Lines that begin with # and empty
// ones are passed over.
func parseProgram(text string) (program, error) {
	var p program
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		o, err := parseOp(strings.Fields(line))
		if err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		if o.at == 0 {
			p = append(p, o)
			continue
		}
		if len(p) == 0 {
			return nil, fmt.Errorf("%q stands in no operation", line)
		}
		last := &p[len(p)-1]
		last.inner = append(last.inner, o)
	}
	return p, nil
}

func parseOp(words []string) (o op, err error) {
	if o.label, err = strconv.Atoi(words[0]); err != nil {
		return o, err
	}
	words = words[1:]
	if len(words) > 0 && words[0][0] == '@' {
		if o.at, err = strconv.Atoi(words[0][1:]); err != nil || o.at < 1 {
			return o, fmt.Errorf("%q is no number of a commit", words[0])
		}
		words = words[1:]
	}
	if len(words) == 0 {
		return o, errors.New("no operation")
	}
	o.name, o.args = words[0], words[1:]
	return o, nil
}

// arg returns an argument, or "" when there are fewer.
func (o op) arg(i int) string {
	if i < len(o.args) {
		return o.args[i]
	}
	return ""
}

// number returns an argument as a number, 0 when it is none.
func (o op) number(i int) int {
	n, _ := strconv.Atoi(o.arg(i)) // any part of a program is a program
	return n
}

// flag reports whether a word is among the arguments.
func (o op) flag(word string) bool { return slices.Contains(o.args, word) }

// option returns the value of name=value, or "".
func (o op) option(name string) string {
	for _, arg := range o.args {
		if value, ok := strings.CutPrefix(arg, name+"="); ok {
			return value
		}
	}
	return ""
}

// part is what a write does to one partition.
type part struct {
	table, scope string
	items        []item
}

// item is one change: of a key, or a hide of an event.
type item struct {
	key    int
	values int    // what the row holds, by its seed
	remove bool   // a delete instead
	hide   string // the event to hide, "" for none
}

// parts reads `table scope item… | table scope item…`.
func parts(words []string) []part {
	var all []part
	for len(words) > 0 {
		end := slices.Index(words, "|")
		if end < 0 {
			end = len(words)
		}
		if end >= 2 {
			p := part{table: words[0], scope: words[1]}
			for _, word := range words[2:end] {
				p.items = append(p.items, parseItem(word))
			}
			all = append(all, p)
		}
		words = words[min(end+1, len(words)):]
	}
	return all
}

func parseItem(word string) item {
	if event, ok := strings.CutPrefix(word, "~"); ok {
		return item{hide: event}
	}
	key, values, _ := strings.Cut(word, "=")
	var it item
	it.key, _ = strconv.Atoi(key)
	it.values, _ = strconv.Atoi(values)
	it.remove = values == "x"
	return it
}
