package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strconv"

	"kalamdb/bench/load"
	"kalamdb/bench/proc"
	"kalamdb/bench/stat"
	"kalamdb/bench/target"
)

// operation is a line of the table: a verb on a table at a number in flight.
type operation struct {
	verb     load.Verb
	table    string // of KalamDB
	inFlight int
	// ceiling is the program that it is held against; "" is none.
	ceiling string
	// others are ceilings for orientation.
	others []string
	peer   bool // whether peers have it
}

// The tables. Both have SHARED rows of about 100 bytes.
const (
	syncedTable  = "bench.synced"  // DURABILITY sync: acknowledged after its fsync
	relaxedTable = "bench.relaxed" // DURABILITY relaxed: before it
)

// shortRequests is how much a short run asks of each lane.
const shortRequests = 200

// The keys of a table lie in three ranges of equally many digits.
const (
	readKeys    = load.FirstKey // rows that are read, never changed
	updateKeys  = 2_000_000_000 // rows that are updated
	countedKeys = 3_000_000_000 // the one table that is counted as a whole
	insertKeys  = 4_000_000_000 // rows that are inserted, and deleted
)

func operations() []operation {
	var all []operation
	for _, n := range []int{1, 16, 64, 256} {
		all = append(all, operation{verb: load.Insert, table: syncedTable, inFlight: n, ceiling: syncedCeiling, peer: true})
	}
	for _, n := range []int{1, 16, 64, 256} {
		all = append(all, operation{verb: load.Insert, table: relaxedTable, inFlight: n, ceiling: echoCeiling, peer: true})
	}
	for _, t := range []string{syncedTable, relaxedTable} {
		c := ceilingOf(t)
		all = append(all,
			operation{verb: load.InsertParams, table: t, inFlight: 16, ceiling: c},
			operation{verb: load.InsertRows, table: t, inFlight: 1, ceiling: c},
			operation{verb: load.InsertRows, table: t, inFlight: 16, ceiling: c},
			operation{verb: load.InsertTransaction, table: t, inFlight: 1, ceiling: c},
		)
		for _, v := range []load.Verb{load.Update, load.Delete} {
			for _, n := range []int{1, 16} {
				all = append(all, operation{verb: v, table: t, inFlight: n, ceiling: c, peer: true})
			}
		}
	}
	for _, n := range []int{1, 16} {
		all = append(all, operation{verb: load.Select, table: syncedTable, inFlight: n, ceiling: echoCeiling,
			others: []string{httpCeiling, fastHTTPCeiling}, peer: true})
	}
	return append(all, operation{verb: load.SelectParams, table: syncedTable, inFlight: 16, ceiling: echoCeiling})
}

func ceilingOf(table string) string {
	if table == syncedTable {
		return syncedCeiling
	}
	return echoCeiling
}

// writesSynced reports whether an acknowledgement of the operation means a sync.
func (o operation) writesSynced() bool {
	return o.table == syncedTable && o.verb != load.Select && o.verb != load.SelectParams
}

// name is what -only asks for.
func (o operation) name() string { return string(o.verb) }

func operationNames() []string {
	var names []string
	for _, o := range operations() {
		if !slices.Contains(names, o.name()) {
			names = append(names, o.name())
		}
	}
	return names
}

// lane is a server that an operation is asked of.
type lane struct {
	label   string
	target  string // the dialect
	process *proc.Process
	token   string
	synced  bool   // of a peer: whether it syncs each commit
	table   string // of a peer: its one table, whatever the operation says
	// tables are the rows of each table, by name; nil for ceilings, which have
	// none.
	tables map[string]*rows
	// count asks the server how many rows a table has, and how many of them were
	// updated.
	count func(ctx context.Context, table string) (all, updated int64, err error)
}

// rows is what a table must hold.
type rows struct {
	standing int64 // in the ranges that are read and updated
	next     int64 // first key that was never used
	inserted int64
	deleted  int64
	updated  int64 // of the range, at least once
	updates  int64 // in all
	// deletes per second seen so far, for the number of rows to delete.
	deletes float64
}

// sample is what the rounds of one operation on one lane have shown.
type sample struct {
	lane    string
	results []load.Result
}

func (s *sample) values(f func(load.Result) float64) []float64 {
	var v []float64
	for _, r := range s.results {
		v = append(v, f(r))
	}
	return v
}

func (s *sample) median(f func(load.Result) float64) float64 { return stat.Median(s.values(f)) }

func (s *sample) rates() []float64 {
	return s.values(func(r load.Result) float64 { return r.PerSecond })
}

// measured is an operation with the samples of its lanes; the first is
// KalamDB's.
type measured struct {
	operation
	rate    float64 // offered per second; 0 in a closed loop
	samples []*sample
}

func (m *measured) of(lane string) *sample {
	for _, s := range m.samples {
		if s.lane == lane {
			return s
		}
	}
	return nil
}

// runOperations measures the table of operations, interleaved.
func runOperations(ctx context.Context, b *bench) error {
	kalam, peers, err := b.tableLanes(ctx)
	if err != nil {
		return err
	}
	var all []*measured
	for _, o := range operations() {
		if b.short && o.inFlight > 16 {
			continue
		}
		if b.wants("operations") || b.wants(o.name()) {
			all = append(all, &measured{operation: o})
		}
	}
	if err := b.measure(ctx, all, kalam, peers); err != nil {
		return err
	}
	b.tabulate("Operations, closed loop", all)
	b.judge(all, peers)
	return nil
}

// runPinned repeats a few operations with every server on CPU 0 and the client
// on CPU 1, the other layout.
func runPinned(ctx context.Context, b *bench) error {
	if b.pin || runtime.NumCPU() < 2 {
		return nil
	}
	kalam, _, err := b.tableLanes(ctx)
	if err != nil {
		return err
	}
	all := []*measured{
		{operation: operation{verb: load.Insert, table: syncedTable, inFlight: 16, ceiling: syncedCeiling}},
		{operation: operation{verb: load.Insert, table: relaxedTable, inFlight: 16, ceiling: echoCeiling}},
		{operation: operation{verb: load.Select, table: syncedTable, inFlight: 16, ceiling: echoCeiling}},
	}
	pids := []int{kalam.process.PID}
	for _, kind := range []string{syncedCeiling, echoCeiling} {
		p, err := b.ceiling(ctx, kind)
		if err != nil {
			return err
		}
		pids = append(pids, p.PID)
	}
	b.pin = true
	defer func() { b.pin = false }()
	for _, pid := range pids {
		if err := proc.PinProcess(pid, 0); err != nil {
			return err
		}
	}
	err = b.measure(ctx, all, kalam, nil)
	for _, pid := range pids {
		err = errors.Join(err, proc.UnpinProcess(pid))
	}
	if err != nil {
		return err
	}
	b.tabulate("The same with servers on CPU 0 and the client on CPU 1", all)
	return nil
}

// measure runs the rounds of operations.
func (b *bench) measure(ctx context.Context, all []*measured, kalam *lane, peers []*lane) error {
	for round := range b.rounds {
		for _, m := range all {
			lanes, err := b.lanes(ctx, m.operation, kalam, peers)
			if err != nil {
				return err
			}
			if err := b.round(ctx, round, m, lanes); err != nil {
				return err
			}
		}
	}
	return nil
}

// round measures one operation on each lane, beginning with another one each
// time. The first round begins with KalamDB, whose messages give the sizes that
// ceilings imitate.
func (b *bench) round(ctx context.Context, round int, m *measured, lanes []*lane) error {
	if m.samples == nil {
		for _, l := range lanes {
			m.samples = append(m.samples, &sample{lane: l.label})
		}
	}
	for i := range lanes {
		at := (i + round) % len(lanes)
		job, err := b.prepare(ctx, m, lanes[at])
		if err != nil {
			return err
		}
		result, err := b.drive(ctx, job)
		if err != nil {
			return err
		}
		lanes[at].settle(m.operation, job, result)
		m.samples[at].results = append(m.samples[at].results, result)
	}
	return nil
}

// lanes are the servers of an operation.
func (b *bench) lanes(ctx context.Context, o operation, kalam *lane, peers []*lane) ([]*lane, error) {
	lanes := []*lane{kalam}
	for _, kind := range append([]string{o.ceiling}, o.others...) {
		if kind == "" {
			continue
		}
		p, err := b.ceiling(ctx, kind)
		if err != nil {
			return nil, err
		}
		l := &lane{label: kind, target: target.Ceiling, process: p}
		if kind == httpCeiling || kind == fastHTTPCeiling {
			l.target = target.EmptyHTTP
		}
		lanes = append(lanes, l)
	}
	for _, p := range peers {
		// One that syncs is compared where we sync; what comes first, everywhere.
		if o.peer && (!p.synced || o.writesSynced()) {
			lanes = append(lanes, p)
		}
	}
	return lanes, nil
}

// prepare makes the job of an operation on a lane, and the rows that it needs.
func (b *bench) prepare(ctx context.Context, m *measured, l *lane) (load.Job, error) {
	job := load.Job{
		Target: l.target, Addr: l.process.Addr, Token: l.token, Table: cmp.Or(l.table, m.table), Verb: m.verb,
		First: load.FirstKey, Keys: b.rows, Conns: m.inFlight, Rate: m.rate, Warm: b.warm(), Measure: b.window(), ServerPID: l.process.PID,
	}
	if b.short { // so much work, however long it takes: there is nothing to measure
		job.Warm, job.Measure, job.Requests = 0, 0, shortRequests
	}
	if l.tables == nil {
		r := m.samples[0].results
		if len(r) == 0 {
			return job, errors.New("a ceiling cannot be the first lane")
		}
		job.KeptBytes = int(m.verb.Keys()) * load.RowBytes
		job.Verb = load.Insert // a ceiling has no rows that could be used up
		job.RequestBytes, job.ResponseBytes = r[0].RequestBytes, r[0].ResponseBytes
		return job, nil
	}
	t, err := b.standing(ctx, l, job.Table)
	if err != nil {
		return job, err
	}
	switch m.verb {
	case load.Update:
		job.First, job.Updates = updateKeys, t.updates
	case load.Insert, load.InsertParams, load.InsertRows, load.InsertTransaction:
		job.First = t.next
	case load.Delete:
		return b.prepareDelete(ctx, l, job)
	}
	return job, nil
}

// settle notes what a job has changed.
func (l *lane) settle(o operation, job load.Job, r load.Result) {
	if l.tables == nil {
		return
	}
	t := l.tables[job.Table]
	switch job.Verb {
	case load.Insert, load.InsertParams, load.InsertRows, load.InsertTransaction:
		t.next += r.Acked * job.Verb.Keys()
		t.inserted += r.Acked * job.Verb.Keys()
	case load.Update:
		t.updates += r.Acked
		t.updated = max(t.updated, min(r.Acked, job.Keys))
	case load.Delete:
		t.deleted += r.Acked
		if r.PerSecond > 0 {
			t.deletes = math.Max(t.deletes, r.PerSecond)
		}
	}
}

// prepareDelete inserts as many rows as may be deleted in the time.
func (b *bench) prepareDelete(ctx context.Context, l *lane, job load.Job) (load.Job, error) {
	t := l.tables[job.Table]
	perSecond := 30_000.0
	if t.deletes > 0 {
		perSecond = t.deletes * 1.5
	}
	if l.target != target.KalamDB && t.deletes == 0 {
		perSecond = 6000
	}
	job.First = t.next
	job.Keys = int64(perSecond * (b.window() + b.warm()).Seconds())
	inserted, err := b.fill(ctx, l, job.Table, job.First, job.Keys)
	job.Keys = inserted
	t.next += inserted
	t.inserted += inserted
	return job, err
}

// standing returns the rows of a table; they are inserted on first use.
func (b *bench) standing(ctx context.Context, l *lane, table string) (*rows, error) {
	if t, ok := l.tables[table]; ok && t.standing > 0 {
		return t, nil
	}
	t := &rows{next: insertKeys}
	l.tables[table] = t
	for _, first := range []int64{readKeys, updateKeys} {
		n, err := b.fill(ctx, l, table, first, b.rows)
		if err != nil {
			return nil, fmt.Errorf("insert the standing rows: %w", err)
		}
		t.standing += n
	}
	return t, nil
}

// fill inserts at least n rows, as fast as the lane takes them.
func (b *bench) fill(ctx context.Context, l *lane, table string, first, n int64) (int64, error) {
	verb, conns := load.Insert, 16
	if l.target == target.KalamDB {
		verb, conns = load.InsertRows, 4
	}
	requests := (n + verb.Keys() - 1) / verb.Keys()
	r, err := b.drive(ctx, load.Job{Target: l.target, Addr: l.process.Addr, Token: l.token, Table: table, Verb: verb,
		First: first, Conns: conns, Requests: requests})
	if err == nil && r.Acked != requests {
		err = fmt.Errorf("%d of %d inserts were acknowledged", r.Acked, requests)
	}
	return r.Acked * verb.Keys(), err
}

// countRows compares what a table of a lane holds with what was acknowledged.
func (b *bench) countRows(ctx context.Context, l *lane, name string, t *rows) error {
	all, updated, err := l.count(ctx, name)
	if err != nil {
		return fmt.Errorf("count rows of %s in %s: %w", l.label, name, err)
	}
	if want := t.standing + t.inserted - t.deleted; all != want {
		return fmt.Errorf("%s has %d rows in %s, %d were acknowledged", l.label, all, name, want)
	}
	if updated != t.updated {
		return fmt.Errorf("%s has %d updated rows in %s, %d were acknowledged", l.label, updated, name, t.updated)
	}
	return nil
}

// kalamLane creates the tables.
func (b *bench) kalamLane(ctx context.Context) (*lane, error) {
	s, err := b.kalam(ctx)
	if err != nil {
		return nil, err
	}
	for table, durability := range map[string]string{syncedTable: "sync", relaxedTable: "relaxed"} {
		if err := s.createTable(ctx, table, durability); err != nil {
			return nil, err
		}
	}
	count := func(ctx context.Context, table string) (all, updated int64, err error) {
		all, err1 := s.number(ctx, "SELECT COUNT(*) FROM "+table)
		updated, err2 := s.number(ctx, "SELECT COUNT(*) FROM "+table+" WHERE n >= "+strconv.Itoa(load.Updated))
		return all, updated, errors.Join(err1, err2)
	}
	return &lane{label: target.KalamDB, target: target.KalamDB, process: s.Process, token: s.Token, tables: map[string]*rows{}, count: count}, nil
}

// createTable makes a SHARED table of the rows that are measured.
func (s *server) createTable(ctx context.Context, name, durability string) error {
	_, err := s.sql(ctx, fmt.Sprintf("CREATE SHARED TABLE %s (id BIGINT PRIMARY KEY, v TEXT NOT NULL, n INT NOT NULL) WITH (DURABILITY='%s')", name, durability))
	return err
}
