package metamorphic

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"kalamdb/internal/core/relation"
	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
	"kalamdb/internal/sql/source"
	"kalamdb/internal/testkit"
)

// opTime is how far the clock goes before each operation. Within it no _seq
// borrows from the future, so the time of a row is the same under every config.
const opTime = 20 * time.Millisecond

// answer is what one operation has said. A loose one depends on the config.
type answer struct {
	label int
	text  string
	loose bool
}

// moment is one state of the database and what it should hold.
type moment struct {
	view   *relation.View
	tables map[string]*table
}

// reading is a scan that was begun and not ended.
type reading struct {
	view  *relation.View
	rows  source.Rows
	query *query
	got   []string
	want  []string
	plain []string // want without tombstones
}

// runner runs a program under one config.
type runner struct {
	config config
	node   *node
	clock  *testkit.Clock

	tables   map[string]*table
	held     map[string]*moment
	readings map[string]*reading

	names     map[uint64]string // versions by _seq
	seqs      map[string]uint64 // and back
	positions map[int]uint64    // after each operation, by label
	synced    uint64            // last position that was answered as durable
	lost      [][2]uint64       // positions that crashes have taken back
	clone     *remains          // what a crash inside an operation has left
	stop      context.CancelFunc

	answers []answer
	parted  bool // relaxed commits were lost: later answers are this config's own
	// ahead says that a crash has put _seq ahead of the clock, above positions
	// that may be lost: from then on events live longer under this config.
	ahead bool
	steps int
	sum   *tally
	// purging says that tombstones go right now: a scan in between may see any.
	purging bool
	final   bool // the program has ended, and the graces of all files have passed
	litter  bool // the disk has refused to remove what the next start will
}

// failure is what a check found wrong.
type failure struct{ text string }

func (r *runner) failf(format string, args ...any) { panic(failure{fmt.Sprintf(format, args...)}) }

func (r *runner) must(err error, what string) {
	if err != nil {
		r.failf("%s: %v", what, err)
	}
}

// run runs a program and returns what it answered, or what went wrong.
func run(p program, c config, sum *tally) (answers []answer, err error) {
	r := &runner{
		config: c, sum: sum, clock: testkit.NewClock(), tables: map[string]*table{}, held: map[string]*moment{}, readings: map[string]*reading{},
		names: map[uint64]string{}, seqs: map[string]uint64{}, positions: map[int]uint64{},
	}
	label := 0
	defer func() {
		if caught := recover(); caught != nil {
			found, ok := caught.(failure)
			if !ok {
				panic(caught)
			}
			err = fmt.Errorf("operation %d: %s", label, found.text)
			r.abandon()
		}
	}()
	r.open(disk.NewMem())
	for _, o := range p {
		label = o.label
		r.do(o)
		r.afterwards(o)
	}
	label = -1
	r.letGo()
	r.audit()
	r.flushAll()
	r.audit()
	ahead := time.UnixMicro(schema.SeqTime(r.node.apply.Position())).Sub(r.clock.Now())
	r.clock.Advance(time.Duration(c.graceSeconds)*time.Second + max(ahead, 0))
	r.final = true
	r.sweep()
	r.must(r.node.close(), "close")
	return r.answers, nil
}

// abandon lets go of what a failed run holds; what more goes wrong is of no
// interest.
func (r *runner) abandon() {
	defer func() { _ = recover() }()
	if r.node == nil {
		return
	}
	r.letGo()
	_ = r.node.close()
}

// open opens the database on a disk.
func (r *runner) open(fs *disk.Mem) {
	n, err := openNode(fs, r.clock, r.config)
	r.must(err, "open")
	r.node, r.litter = n, false
	r.must(n.maint.Recover(context.Background()), "recover")
}

// do runs one operation and what stands inside of it.
func (r *runner) do(o op) {
	r.clock.Advance(opTime)
	r.steps++
	r.count(o.name)
	switch o.name {
	case "table":
		r.createTable(o)
	case "drop":
		r.dropTable(o)
	case "alter":
		r.alterTable(o)
	case "write", "insert", "stale", "together", "fill":
		r.write(o)
	case "scan":
		r.scan(o)
	case "history":
		r.history(o)
	case "hold", "look", "release":
		r.hold(o)
	case "begin", "end":
		r.read(o)
	case "tick":
		r.clock.Advance(time.Duration(o.number(0)) * time.Millisecond)
	case "memtable":
		r.must(r.node.store.Flush(), "flush the engine")
	case "flush", "part", "compact", "forget", "purge", "expire", "sweep":
		r.maintain(o)
	case "fault":
		if r.stop != nil {
			r.node.faults.left, r.node.faults.once = max(o.number(0), 1), o.flag("once")
		}
	case "restart":
		if r.config.restart != "never" {
			r.restart()
		}
	case "crash":
		r.crash(o)
	case "stop":
		if r.stop != nil {
			r.stop()
		}
	default:
		r.failf("no operation is named %q", o.name)
	}
	r.positions[o.label] = r.node.apply.Position()
}

// count adds an operation that is no read and no write of rows.
func (r *runner) count(name string) {
	switch name {
	case "flush", "part":
		r.sum.flushes++
	case "compact":
		r.sum.compactions++
	case "alter":
		r.sum.alters++
	case "stop":
		r.sum.cuts++
	case "table", "drop", "forget", "purge", "expire", "sweep", "memtable":
		r.sum.others++
	}
}

// afterwards checks what the operation may have changed, and does what the
// config does everywhere.
func (r *runner) afterwards(o op) {
	switch o.name {
	case "flush", "part", "compact", "forget", "purge", "expire", "restart", "crash", "alter", "sweep":
		r.audit()
	case "write", "insert", "stale", "together", "fill":
		r.checkTouched(o)
	}
	writes := slices.Contains([]string{"write", "insert", "together", "fill", "alter"}, o.name)
	if r.config.flush == "always" && writes {
		r.flushAll()
	}
	switch {
	case r.config.restart == "always" && r.steps%3 == 0:
		r.restart()
	case r.config.restart == "crash" && r.steps%3 == 0 && r.quietSince():
		r.reopen(r.cutOff(uint64(r.steps), r.steps*7%101))
	}
}

// quietSince reports whether a crash now could lose nothing.
func (r *runner) quietSince() bool { return r.synced >= r.node.apply.Position() }

// ordered returns the tables by name.
func (r *runner) ordered() []*table {
	var all []*table
	for _, name := range slices.Sorted(maps.Keys(r.tables)) {
		all = append(all, r.tables[name])
	}
	return all
}

// answer notes what an operation has said.
func (r *runner) answer(label int, loose bool, format string, args ...any) {
	r.answers = append(r.answers, answer{label, fmt.Sprintf(format, args...), loose || r.parted})
}

// ref returns the position that a word names: after operation 12, or of row 3.0.
func (r *runner) ref(word string) uint64 {
	if strings.Contains(word, ".") {
		return r.seqs[word]
	}
	var label int
	_, _ = fmt.Sscan(word, &label)
	return r.positions[label]
}

// hold keeps a moment open, compares it with what it should show, and ends it.
func (r *runner) hold(o op) {
	name := o.arg(0)
	m, held := r.held[name]
	switch {
	case o.name == "hold" && !held:
		m = &moment{view: r.node.relations.View(), tables: map[string]*table{}}
		for name, t := range r.tables {
			m.tables[name] = t.clone()
		}
		r.held[name] = m
	case o.name == "look" && held:
		r.auditMoment(m)
	case o.name == "release" && held:
		m.view.Release()
		delete(r.held, name)
	}
}

// letGo releases all that is held.
func (r *runner) letGo() {
	for _, m := range r.held {
		m.view.Release()
	}
	for _, s := range r.readings {
		s.rows.Close()
		s.view.Release()
	}
	clear(r.held)
	clear(r.readings)
}

// restart closes the database and opens it again.
func (r *runner) restart() {
	if r.stop != nil {
		return // inside of an operation there is no clean end
	}
	r.letGo()
	r.sum.restarts++
	before := r.node.apply.Position()
	fs := r.node.fs
	r.must(r.node.close(), "close")
	r.open(fs)
	if now := r.node.apply.Position(); now < before {
		r.failf("position %d after a clean restart, was %d", now, before)
	}
}

// crash cuts the power. Inside of an operation the rest of it fails, and the
// database is opened when it has returned.
func (r *runner) crash(o op) {
	if r.config.restart == "never" {
		return
	}
	clone := r.cutOff(uint64(o.number(0)), max(0, min(100, o.number(1))))
	if r.stop != nil {
		r.clone = clone
		return
	}
	r.reopen(clone)
}

// remains are what a crash has left, and the position that everybody saw before.
// Jobs go on committing while the disk is cloned.
type remains struct {
	disk   *disk.Mem
	before uint64
}

func (r *runner) cutOff(seed uint64, keep int) *remains {
	before := r.node.apply.Position()
	return &remains{r.node.fs.CrashClone(seed, keep), before}
}

// reopen opens what a crash has left. Relaxed commits behind the last synced
// one may be missing, from the end.
func (r *runner) reopen(left *remains) {
	r.letGo()
	r.sum.crashes++
	before := left.before
	r.must(r.node.close(), "close what was cut off")
	r.open(left.disk)
	view := r.node.relations.View()
	ranges := view.LostRanges()
	now := view.Position()
	view.Release()
	recovered := before
	if n := len(ranges); n > 0 && !slices.Contains(r.lost, ranges[n-1]) {
		recovered = ranges[n-1][0]
		r.lost, r.ahead = append(r.lost, ranges[n-1]), true
	}
	if recovered < r.synced || recovered > before || now < recovered {
		r.failf("a crash left position %d of %d, at %d now; %d was durable", recovered, before, now, r.synced)
	}
	for _, t := range r.ordered() {
		for _, v := range t.lose(recovered) {
			if !v.relaxed {
				r.failf("row %s of %s was durable and is lost", v.name, t.name)
			}
			r.parted = true
		}
	}
	r.synced = now
}

// maintain runs a piece of maintenance, with the operations inside of it
// between its commits.
func (r *runner) maintain(o op) {
	switch o.name {
	case "sweep":
		r.sweep()
	case "expire":
		r.within(o, r.node.maint.ExpireStreams)
		r.noteExpired()
	case "forget":
		r.within(o, r.node.maint.ForgetHistory)
	case "purge":
		r.purge(o)
	case "flush", "part", "compact":
		if t := r.tables[o.arg(0)]; t != nil && !t.stream() && r.config.flush != "never" {
			r.moves(t, o)
			return
		}
		r.rest(o.inner)
	}
}

// flushAll moves the rows of all tables that can be flushed.
func (r *runner) flushAll() {
	for _, t := range r.ordered() {
		if !t.stream() {
			r.sum.flushes++
			r.moves(t, op{name: "flush", args: []string{t.name}})
		}
	}
}

// moves flushes a table or some of its partitions, or compacts its files.
func (r *runner) moves(t *table, o op) {
	whole := o.name == "flush" && len(o.inner) == 0
	var before map[schema.Scope][]string
	if o.name == "compact" && r.config.graceSeconds > 0 {
		before = r.filesOf(t)
	}
	err := r.within(o, func(ctx context.Context) (err error) {
		switch o.name {
		case "compact":
			_, err = r.node.maint.Compact(ctx, t.def.ID)
		case "part":
			var scopes []schema.Scope
			for _, word := range o.args[1:] {
				scopes = append(scopes, scopeOf(t, word))
			}
			_, err = r.node.maint.FlushScopes(ctx, t.def.ID, scopes)
		default:
			_, err = r.node.maint.Flush(ctx, t.def.ID)
		}
		if r.tables[t.name] != t {
			return nil // dropped meanwhile: what the flush says is its own
		}
		return err
	})
	if before != nil && r.tables[t.name] == t {
		r.checkGrace(t, before)
	}
	if err != nil || !whole {
		return
	}
	view := r.node.relations.View()
	defer view.Release()
	stats, err := view.TableStats(context.Background(), t.def, "", true)
	r.must(err, "figures")
	if stats.HotRows != 0 {
		r.failf("%d rows of %s are hot after a flush", stats.HotRows, t.name)
	}
}

// within runs work with what stands inside of an operation: each before a
// commit of it, what comes too late, behind. It returns the error of a work
// that was cut off; any other fails.
func (r *runner) within(o op, work func(context.Context) error) error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	r.stop = stop
	waiting := o.inner
	hook, faults := r.node.hook, r.node.faults
	hook.n = 0
	synced := uint64(0) // when the disk was cloned, if it was: slices may have been answered since
	hook.before = func(n int) error {
		faults.armed = false
		defer func() { faults.armed = true }()
		for r.clone == nil && len(waiting) > 0 && waiting[0].at <= n {
			next := waiting[0]
			waiting = waiting[1:]
			synced = hook.synced.Load()
			r.do(next)
		}
		if r.clone != nil {
			return errCut
		}
		return nil
	}
	faults.armed = true
	err := work(ctx)
	refused := faults.hits > 0
	if r.litter = r.litter || refused; refused {
		r.sum.refused++
	}
	*faults = diskFaults{}
	hook.before, r.stop = nil, nil
	if r.clone == nil {
		synced = hook.synced.Load()
	}
	r.synced = max(r.synced, synced)
	stopped := ctx.Err() != nil
	if clone := r.clone; clone != nil {
		r.clone = nil
		r.reopen(clone)
	} else if err != nil && !refused && !(stopped && errors.Is(err, context.Canceled)) {
		r.failf("%s: %v", o.text(), err)
	}
	r.rest(waiting)
	return err
}

// rest runs operations that found no commit to stand before.
func (r *runner) rest(inner []op) {
	for _, o := range inner {
		r.do(o)
	}
}

// noteExpired notes which events of streams may have gone.
func (r *runner) noteExpired() {
	for _, t := range r.tables {
		if t.stream() {
			t.expired = schema.SeqFloor(r.clock.Now().Add(-time.Duration(t.def.Options.TTLSeconds) * time.Second).UnixMicro())
		}
	}
}
