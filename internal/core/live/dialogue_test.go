package live_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"kalamdb/internal/core"
	"kalamdb/internal/datum"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// dialogue runs one file of testdata.
type dialogue struct {
	t       *testing.T
	db      *database
	clients map[string]*client
	marks   map[string]uint64
	names   positions
	options core.Options
	paused  bool // the shards wait
}

func TestDialogues(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		d := &dialogue{t: t, clients: map[string]*client{}, marks: map[string]uint64{}}
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			t.Helper()
			out := strings.TrimRight(d.run(td), "\n")
			if out == "" {
				out = "nothing"
			}
			return d.names.name(out) + "\n"
		})
		d.db.close()
	})
}

func (d *dialogue) run(td *datadriven.TestData) string {
	switch td.Cmd {
	case "open":
		d.open(td)
		return "ok"
	case "crash":
		// Only what was synced is left, and nobody is connected.
		turned, fs := d.db.clock, d.db.fs.(*disk.Mem).CrashClone(1, 0)
		d.db.close()
		d.clients = map[string]*client{}
		d.db = openDB(d.t, fs, turned, d.limits)
		return "ok"
	case "exec":
		user := "root"
		td.MaybeScanArgs(d.t, "user", &user)
		first, last := 0, 0 // what {i} stands for
		if td.HasArg("i") {
			td.ScanArgs(d.t, "i", &first, &last)
		}
		for i := first; i <= last; i++ {
			if err := d.db.try(user, strings.ReplaceAll(td.Input, "{i}", strconv.Itoa(i))); err != nil {
				return string(fault.CodeOf(err)) + ": " + fault.Of(err).Sentence()
			}
		}
		if !d.paused {
			d.db.settle() // so that what follows finds it handed out
		}
		return "ok"
	case "advance":
		by, err := time.ParseDuration(td.CmdArgs[0].Key)
		if err != nil {
			d.t.Fatal(err)
		}
		d.db.clock.Advance(by)
		return "ok"
	case "maintain":
		if err := d.db.Maintain(context.Background()); err != nil {
			return err.Error()
		}
		return "ok"
	case "flush":
		namespace, name, _ := strings.Cut(td.CmdArgs[0].Key, ".")
		result, err := d.db.Flush(context.Background(), namespace, name)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("%d rows", result.Rows)
	case "mark":
		d.marks[td.CmdArgs[0].Key] = d.db.Position()
		return "ok"
	case "pause":
		d.db.settle()
		d.db.Hub().Pause()
		d.paused = true
		return "ok"
	case "taken":
		for !d.db.Hub().Taken() {
			runtime.Gosched()
		}
		return "ok"
	case "resume":
		d.db.Hub().Resume()
		d.paused = false
		return "ok"
	case "list":
		return d.list()
	case "kill":
		return strconv.FormatBool(d.db.Hub().Kill(td.CmdArgs[0].Key))
	case "disconnect":
		return strconv.Itoa(d.db.Hub().Disconnect(td.CmdArgs[0].Key))
	case "stats":
		return d.stats(td)
	}
	return d.client(td)
}

// client runs the commands whose first argument is a connection.
func (d *dialogue) client(td *datadriven.TestData) string {
	name := td.CmdArgs[0].Key
	c := d.clients[name]
	switch td.Cmd {
	case "connect":
		user := "alice"
		td.MaybeScanArgs(d.t, "user", &user)
		var features []string
		for _, a := range td.CmdArgs[1:] {
			if a.Key != "user" {
				features = append(features, a.Key)
			}
		}
		d.clients[name] = d.db.connect(name, user, features...)
		return "ok"
	case "subscribe":
		if err := c.subscribe(td.CmdArgs[1].Key, td.Input, d.snapshot(td), params(td)...); err != nil {
			return string(textFrames{}.AppendError(nil, td.CmdArgs[1].Key, err))
		}
		return strings.Join(c.take(), "\n")
	case "next":
		var last uint64
		has := td.HasArg("last")
		if has {
			last = d.position(td, "last")
		}
		if err := c.conn.NextBatch(context.Background(), td.CmdArgs[1].Key, last, has); err != nil {
			return string(textFrames{}.AppendError(nil, td.CmdArgs[1].Key, err))
		}
		return strings.Join(c.take(), "\n")
	case "unsubscribe":
		c.conn.Unsubscribe(td.CmdArgs[1].Key)
		return "ok"
	case "take":
		frames := c.take()
		if td.HasArg("sorted") { // their order is not promised
			slices.Sort(frames)
		}
		return strings.Join(frames, "\n")
	case "state":
		return c.conn.LiveState(td.CmdArgs[1].Key)
	}
	d.t.Fatalf("%s: unknown command %s", td.Pos, td.Cmd)
	return ""
}

// open begins a file with bounds of its own.
func (d *dialogue) open(td *datadriven.TestData) {
	number := func(name string, into *int64) {
		if td.HasArg(name) {
			td.ScanArgs(d.t, name, into)
		}
	}
	number("outbox", &d.options.Live.OutboxBytes)
	number("ring", &d.options.Live.RingBytes)
	var most int64
	number("per-user", &most)
	d.options.Live.MaxPerUser = int(most)
	most = 0
	number("per-connection", &most)
	d.options.Live.MaxPerConnection = int(most)
	most = 0
	number("batch", &most)
	d.options.Live.BatchBytes = int(most)
	most = 0
	number("result-rows", &most)
	d.options.Live.ResultRows = int(most)
	if td.HasArg("relaxed") {
		d.options.Commit.Durability = schema.Relaxed
	}
	d.db = openDB(d.t, disk.NewMem(), newClock(), d.limits)
}

func (d *dialogue) limits(o *core.Options) {
	o.Live, o.Commit = d.options.Live, d.options.Commit
	o.Live.Shards = 1
	if o.Live.MaxPerUser == 0 {
		o.Live.MaxPerUser = 1000
	}
}

// snapshot reads the options of a subscribe; "none" is none at all.
// params reads the values of $1, $2, …: numbers, null, and texts.
func params(td *datadriven.TestData) []datum.Value {
	var values []datum.Value
	for _, a := range td.CmdArgs {
		if a.Key != "params" {
			continue
		}
		for _, text := range a.Vals {
			if n, err := strconv.ParseInt(text, 10, 64); err == nil {
				values = append(values, datum.NewInt(datum.BigInt, n))
			} else if text == "null" {
				values = append(values, datum.NullValue)
			} else {
				values = append(values, datum.NewText(text))
			}
		}
	}
	return values
}

func (d *dialogue) snapshot(td *datadriven.TestData) *core.LiveSnapshot {
	if td.HasArg("none") {
		return nil
	}
	o := &core.LiveSnapshot{Replay: td.HasArg("replay")}
	if td.HasArg("batch") {
		td.ScanArgs(d.t, "batch", &o.BatchSize)
	}
	if o.HasLastRows = td.HasArg("last"); o.HasLastRows {
		td.ScanArgs(d.t, "last", &o.LastRows)
	}
	if o.HasFrom = td.HasArg("from"); o.HasFrom {
		o.From = d.position(td, "from")
	}
	return o
}

// position reads an argument that is a mark, a mark plus something, or a
// position as it was printed.
func (d *dialogue) position(td *datadriven.TestData, name string) uint64 {
	var text string
	td.ScanArgs(d.t, name, &text)
	mark, more, _ := strings.Cut(text, "+")
	plus, _ := strconv.ParseUint(more, 10, 64)
	if p, ok := d.marks[mark]; ok {
		return p + plus
	}
	for digits, shown := range d.names.names {
		if shown == mark {
			p, _ := strconv.ParseUint(digits, 10, 64)
			return p + plus
		}
	}
	p, err := strconv.ParseUint(mark, 10, 64)
	if err != nil {
		d.t.Fatalf("%s: %s is no position", td.Pos, text)
	}
	return p + plus
}

func (d *dialogue) list() string {
	var b strings.Builder
	for _, s := range d.db.Hub().List() {
		fmt.Fprintf(&b, "%s %s.%s %s changes=%d options=%q %s\n", s.LiveID, s.Namespace, s.Table, s.Status, s.Changes, s.Options, s.Query)
	}
	return b.String()
}

// stats prints the counters that are asked for.
func (d *dialogue) stats(td *datadriven.TestData) string {
	d.db.settle()
	s := d.db.Hub().Stats()
	all := map[string]int64{
		"evaluations": s.Evaluations, "encodings": s.Encodings, "lagged": s.Lagged, "resumed": s.Resumed,
		"missed": s.Missed, "expired": s.Expired, "runs": s.Runs, "folds": s.Folds, "touched": s.Touched, "subscriptions": s.Subscriptions, "commits": s.Commits,
	}
	var parts []string
	for _, a := range td.CmdArgs {
		parts = append(parts, fmt.Sprintf("%s=%d", a.Key, all[a.Key]))
	}
	return strings.Join(parts, " ")
}
