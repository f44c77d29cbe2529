package engine

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"kalamdb/internal/disk"
)

// TestEngine runs the scripts of testdata/engine on one engine each. A batch
// command applies its lines as one batch:
//
//	set <key> <value>        delete <key>        add <key> <delta>...
//	row <key> <seq> <value>  delete-row <key> <seq>
//	delete-range <lower> <upper>
//
// A read command reads the newest state, or with at= a snapshot of that name,
// or with batch its own lines before the word "then":
//
//	get <key>    row <key> [<seq>]    counters <key>
//
// A scan command makes an iterator over lower= and upper= and prints where
// each of its moves ends.
func TestEngine(t *testing.T) {
	datadriven.Walk(t, "testdata/engine", func(t *testing.T, file string) {
		e := &engineScript{t: t, fs: disk.NewMem(), snapshots: map[string]*Snapshot{}}
		e.open()
		datadriven.RunTest(t, file, e.run)
		for _, s := range e.snapshots {
			must(t, s.Close())
		}
		must(t, e.db.Close())
	})
}

type engineScript struct {
	t         *testing.T
	fs        *disk.Mem
	db        *DB
	snapshots map[string]*Snapshot
}

func (e *engineScript) open() {
	e.t.Helper()
	db, err := Open(e.fs, "hot", Options{})
	must(e.t, err)
	e.db = db
}

func (e *engineScript) run(t *testing.T, d *datadriven.TestData) string {
	switch d.Cmd {
	case "batch":
		b := e.db.NewBatch()
		defer b.Close()
		for line := range strings.Lines(d.Input) {
			change(t, b, strings.Fields(line))
		}
		must(t, e.db.Apply(b, !d.HasArg("relaxed")))
		must(t, b.Wait())
	case "snapshot":
		e.snapshots[d.CmdArgs[0].Key] = e.db.NewSnapshot()
	case "flush":
		must(t, e.db.Flush())
	case "compact":
		must(t, e.db.Compact(t.Context(), []byte{0}, []byte{0xff}))
	case "reopen":
		must(t, e.db.Close())
		e.open()
	case "crash":
		e.fs = e.fs.CrashClone(1, 0) // the engine before goes on and is left
		e.open()
	case "read":
		reader, lines, done := e.reader(t, d)
		defer done()
		var out strings.Builder
		for _, line := range lines {
			fmt.Fprintf(&out, "%s\n", read(t, reader, strings.Fields(line)))
		}
		return out.String()
	case "scan":
		reader, lines, done := e.reader(t, d)
		defer done()
		var lower, upper string
		d.MaybeScanArgs(t, "lower", &lower)
		d.MaybeScanArgs(t, "upper", &upper)
		it, err := NewIter(reader, raw(lower), raw(upper))
		must(t, err)
		defer func() { must(t, it.Close()) }()
		var out strings.Builder
		for _, line := range lines {
			move(t, &out, it, strings.Fields(line))
		}
		return out.String()
	default:
		d.Fatalf(t, "unknown command %s", d.Cmd)
	}
	return ""
}

// reader returns what a command reads from and the lines of its reads.
func (e *engineScript) reader(t *testing.T, d *datadriven.TestData) (Reader, []string, func()) {
	lines := strings.Split(strings.TrimSpace(d.Input), "\n")
	if d.HasArg("at") {
		var name string
		d.ScanArgs(t, "at", &name)
		return e.snapshots[name], lines, func() {}
	}
	if !d.HasArg("batch") {
		return e.db, lines, func() {}
	}
	b := e.db.NewBatch()
	for i, line := range lines {
		if line == "then" {
			return b, lines[i+1:], b.Close
		}
		change(t, b, strings.Fields(line))
	}
	return b, nil, b.Close
}

// raw reads a key of a script: text with \xNN for other bytes, '-' for none.
func raw(text string) []byte {
	if text == "" || text == "-" {
		return nil
	}
	key, err := strconv.Unquote(`"` + text + `"`)
	if err != nil {
		panic(err)
	}
	return []byte(key)
}

func number(text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func change(t *testing.T, b *Batch, words []string) {
	t.Helper()
	key := raw(words[1])
	switch words[0] {
	case "set":
		Set(b, key, raw(words[2]))
	case "delete":
		Delete(b, key)
	case "add":
		var deltas []int64
		for _, w := range words[2:] {
			n, err := strconv.ParseInt(w, 10, 64)
			must(t, err)
			deltas = append(deltas, n)
		}
		Merge(b, key, AppendDelta(nil, deltas...))
	case "row":
		SetRow(b, key, number(words[2]), raw(words[3]))
	case "delete-row":
		DeleteRow(b, key, number(words[2]))
	case "delete-range":
		DeleteRange(b, key, raw(words[2]))
	default:
		t.Fatalf("unknown change %s", words[0])
	}
}

func read(t *testing.T, r Reader, words []string) string {
	t.Helper()
	key := raw(words[1])
	switch words[0] {
	case "get":
		value, ok, err := Get(r, key)
		must(t, err)
		return fmt.Sprintf("%s: %q %v", words[1], value, ok)
	case "counters":
		value, _, err := Get(r, key)
		must(t, err)
		counters, err := DecodeCounters(value)
		must(t, err)
		return fmt.Sprintf("%s: %v", words[1], counters)
	case "row":
		seq := uint64(math.MaxUint64)
		if len(words) > 2 {
			seq = number(words[2])
		}
		value, at, ok, err := GetRow(r, key, seq)
		must(t, err)
		return fmt.Sprintf("%s: %q at %d %v", strings.Join(words[1:], " "), value, at, ok)
	}
	t.Fatalf("unknown read %s", words[0])
	return ""
}

func move(t *testing.T, out *strings.Builder, it *Iter, words []string) {
	t.Helper()
	var ok bool
	switch words[0] {
	case "all", "keys", "back":
		step := map[string]func() bool{"all": it.Next, "keys": it.NextKey, "back": it.Prev}[words[0]]
		start := it.First
		if words[0] == "back" {
			start = it.Last
		}
		for ok := start(); ok; ok = step() {
			out.WriteString(standing(t, it) + "\n")
		}
		must(t, it.Error())
		return
	case "first":
		ok = it.First()
	case "last":
		ok = it.Last()
	case "next":
		ok = it.Next()
	case "prev":
		ok = it.Prev()
	case "next-key":
		ok = it.NextKey()
	case "ge":
		ok = it.SeekGE(raw(words[1]))
	case "lt":
		ok = it.SeekLT(raw(words[1]))
	case "row":
		ok = it.SeekRow(raw(words[1]), number(words[2]))
	default:
		t.Fatalf("unknown move %s", words[0])
	}
	must(t, it.Error())
	if ok != it.Valid() {
		t.Errorf("%v returned %v, the iterator says %v", words, ok, it.Valid())
	}
	fmt.Fprintf(out, "%s: %s\n", strings.Join(words, " "), standing(t, it))
}

func standing(t *testing.T, it *Iter) string {
	t.Helper()
	if !it.Valid() {
		return "end"
	}
	value, err := it.Value()
	must(t, err)
	key := strings.ReplaceAll(strconv.Quote(string(it.Key())), `"`, "")
	if it.Key()[0] == KeyspaceRow {
		key += "@" + strconv.FormatUint(it.Seq(), 10)
	}
	if it.Key()[0] == KeyspaceCnt {
		counters, err := DecodeCounters(value)
		must(t, err)
		return fmt.Sprintf("%s = %v", key, counters)
	}
	return fmt.Sprintf("%s = %q", key, value)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestMisuse names the keys that belong to other functions.
func TestMisuse(t *testing.T) {
	db, err := Open(disk.NewMem(), "hot", Options{})
	must(t, err)
	b := db.NewBatch()
	f := func(what string, call func()) {
		t.Helper()
		defer func() {
			if recover() == nil {
				t.Errorf("%s was accepted", what)
			}
		}()
		call()
	}
	f("a row without version", func() { Set(b, []byte("row"), nil) })
	f("a row key that is none", func() { SetRow(b, []byte("cat"), 1, nil) })
	f("an empty key", func() { Delete(b, nil) })
	f("an open range", func() { DeleteRange(b, []byte("a"), nil) })
	f("a row read without version", func() { _, _, _ = Get(db, []byte("row")) })
	Set(b, []byte("k"), nil)
	must(t, db.Apply(b, true))
	f("a reset before the sync", func() { b.Reset() })
	must(t, b.Wait())
	f("a change after apply", func() { Set(b, []byte("k"), nil) })
	b.Close()
	b.Close()
	must(t, db.Close())
}

func TestCountersMalformed(t *testing.T) {
	f := func(text string) {
		t.Helper()
		value, err := hex.DecodeString(text)
		must(t, err)
		if got, err := DecodeCounters(value); !errors.Is(err, errCounters) {
			t.Errorf("decoded %s into %v, %v", text, got, err)
		}
	}
	f("02")
	f("0180")
	f("01ffffffffffffffffffff01")
	f("01" + strings.Repeat("02", maxCounters+1))
}

func TestMergeIsAssociative(t *testing.T) {
	operands := [][]byte{
		AppendDelta(nil, 1, -2), AppendDelta(nil, math.MaxInt64), AppendDelta(nil), AppendDelta(nil, 5, 5, 5), nil,
	}
	merger := newMerger()
	var want string
	for shift := range operands {
		older, err := merger.Merge(nil, operands[shift])
		must(t, err)
		for i := 1; i < len(operands); i++ {
			value := operands[(shift+i)%len(operands)]
			if i%2 == 0 {
				must(t, older.MergeOlder(value))
			} else {
				must(t, older.MergeNewer(value))
			}
		}
		sum, _, err := older.Finish(true)
		must(t, err)
		if want == "" {
			want = string(sum)
		}
		if string(sum) != want {
			t.Errorf("order %d sums to %x, not %x", shift, sum, want)
		}
	}
}
