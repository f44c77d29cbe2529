package apply_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kalamdb/internal/command"
	"kalamdb/internal/core/apply"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/table"
)

// queued proposes commands one after another, waits until each is in the
// queue, and returns their outcomes once the loop has run.
func (n *node) queued(commands ...*command.Command) func() ([]command.Receipt, []error) {
	n.t.Helper()
	receipts, errs := make([]command.Receipt, len(commands)), make([]error, len(commands))
	var all sync.WaitGroup
	for i, c := range commands {
		before := n.local.Stats().Queued
		all.Go(func() { receipts[i], errs[i] = n.local.Commit(context.Background(), c) })
		for n.local.Stats().Queued == before {
			runtime.Gosched()
		}
	}
	return func() ([]command.Receipt, []error) {
		all.Wait()
		return receipts, errs
	}
}

func at(time int64, body command.Body) *command.Command {
	return &command.Command{Time: time, Body: body}
}

// TestGroupSeesItself puts commands that disturb each other into one group.
func TestGroupSeesItself(t *testing.T) {
	d := disk.NewMem()
	n := openNode(t, options{disk: d})
	note := n.create("note", schema.User)
	old := n.must(insert(note, "al", 1, "old")).FirstSeq
	n.close()

	n = openNode(t, options{disk: d, idle: true})
	defer n.close()
	wait := n.queued(
		at(moment0, insert(note, "al", 2, "first")),
		at(moment0, insert(note, "al", 2, "second")),
		at(moment0, insert(note, "bo", 2, "another scope")),
		at(moment0, update(note, "al", 1, old, "new")),
		at(moment0, update(note, "al", 1, old, "lost")),
		at(moment0, write(note,
			command.RowWrite{Op: command.Insert, Scope: "al", Key: keyOf(3), Row: rowOf(note, 3, "whole")},
			command.RowWrite{Op: command.Insert, Scope: "al", Key: keyOf(2), Row: rowOf(note, 2, "or nothing")})),
		at(moment0, insert(note, "al", 3, "later")),
	)
	n.run()
	receipts, errs := wait()
	want := []string{"", "DUPLICATE_KEY", "", "", "stale", "DUPLICATE_KEY", ""}
	for i, err := range errs {
		got := ""
		switch {
		case errors.Is(err, command.ErrStaleRow):
			got = "stale"
		case err != nil:
			got = string(fault.CodeOf(err))
		}
		if got != want[i] {
			t.Errorf("command %d: %v, want %q", i, err, want[i])
		}
	}
	if groups := n.local.Stats().Groups; groups != 1 {
		t.Errorf("%d groups, want 1", groups)
	}
	last := uint64(0)
	for i, r := range receipts {
		if errs[i] == nil {
			if r.Position <= last || r.FirstSeq == 0 || r.Rows != 1 {
				t.Errorf("receipt %d is %+v after position %d", i, r, last)
			}
			last = r.Position
		}
	}
	view := n.local.View()
	defer view.Release()
	if got := rows(t, view, note, "al"); !slices.Equal(got, []string{"1 new", "2 first", "3 later"}) {
		t.Errorf("rows are %q", got)
	}
	if view.Position() != last {
		t.Errorf("view at %d, last receipt at %d", view.Position(), last)
	}
}

// TestPublishedInOrder checks the order view, subscribers, receipts while many
// commit at once, and that every commit is published once, in order.
func TestPublishedInOrder(t *testing.T) {
	var n *node
	var published, answered atomic.Int64
	check := func(commits []command.Commit) {
		view := n.local.View()
		defer view.Release()
		for _, c := range commits {
			if c.Position > view.Position() {
				t.Errorf("commit %d is published before view %d shows it", c.Position, view.Position())
			}
			published.Add(1)
		}
		if answered.Load() > published.Load() {
			t.Error("a receipt came before its commit was published")
		}
	}
	n = openNode(t, options{idle: true, apply: apply.Options{Publish: check}})
	n.run()
	note := n.create("note", schema.User)
	answered.Add(2)
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := range 50 {
				c := at(moment0, insert(note, schema.Scope(fmt.Sprint("u", w)), int64(i), "x"))
				if i%3 == 0 {
					c.Durability = schema.Relaxed
				}
				r, err := n.local.Commit(context.Background(), c)
				answered.Add(1)
				if err != nil {
					t.Error(err)
					return
				}
				view := n.local.View()
				if view.Position() < r.Position {
					t.Errorf("answered at %d, but the view is at %d", r.Position, view.Position())
				}
				view.Release()
			}
		})
	}
	all.Wait()
	n.close()
	last, count := uint64(0), 0
	for _, c := range n.published() {
		if c.Position <= last {
			t.Fatalf("commit %d follows %d", c.Position, last)
		}
		last = c.Position
		for _, change := range c.Changes {
			count++
			if change.Position != c.Position || change.Op != command.Insert || change.SchemaVersion != 1 {
				t.Fatalf("change %+v of commit %d", change, c.Position)
			}
		}
	}
	if count != 400 {
		t.Errorf("%d changes were published, want 400", count)
	}
}

// TestOnAppliedComesOnceOnEveryPath counts the calls for commands that pass,
// are refused, find the queue full, or come too late.
func TestOnAppliedComesOnceOnEveryPath(t *testing.T) {
	n := openNode(t, options{})
	note := n.create("note", schema.User)
	var calls atomic.Int64
	f := func(body command.Body, want fault.Code) {
		t.Helper()
		calls.Store(0)
		_, err := n.local.Commit(context.Background(), &command.Command{Time: moment0, Body: body, OnApplied: func() { calls.Add(1) }})
		if want != "" && !fault.Is(err, want) || want == "" && err != nil {
			t.Errorf("error %v, want %q", err, want)
		}
		if calls.Load() != 1 {
			t.Errorf("OnApplied was called %d times", calls.Load())
		}
	}
	f(insert(note, "al", 1, "x"), "")
	f(insert(note, "al", 1, "x"), fault.DuplicateKey)
	f(update(note, "al", 1, 7, "x"), fault.Internal) // ErrStaleRow is no fault
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	f(insert(note, "al", 2, "x"), fault.ShuttingDown)
	n.close()
}

// TestBounds meets every bound of the queue and of a commit.
func TestBounds(t *testing.T) {
	d := disk.NewMem()
	n := openNode(t, options{disk: d})
	note := n.create("note", schema.User)
	n.close()

	n = openNode(t, options{disk: d, idle: true, apply: apply.Options{QueueCommands: 3, QueueBytes: 7500, MaxRows: 2, MaxBytes: 5000}})
	f := func(body command.Body, code fault.Code, words string) {
		t.Helper()
		_, err := n.commit(body)
		if !fault.Is(err, code) || !strings.Contains(err.Error(), words) {
			t.Errorf("error %v, want %s with %q", err, code, words)
		}
	}
	row := func(id int64, size int) command.RowWrite {
		return command.RowWrite{Op: command.Insert, Scope: "al", Key: keyOf(id), Row: rowOf(note, id, strings.Repeat("x", size))}
	}
	f(write(note, row(1, 1), row(2, 1), row(3, 1)), fault.LimitExceeded, "commit.max_rows")
	f(write(note, row(1, 5000)), fault.LimitExceeded, "commit.max_bytes")
	wait := n.queued(at(moment0, write(note, row(1, 3000))))
	f(write(note, row(2, 4350)), fault.ServerBusy, "commit.queue_bytes")
	wait2 := n.queued(at(moment0, write(note, row(2, 1))), at(moment0, write(note, row(3, 1))))
	f(write(note, row(4, 1)), fault.ServerBusy, "commit.queue_commands")
	n.run()
	for _, w := range []func() ([]command.Receipt, []error){wait, wait2} {
		if _, errs := w(); errors.Join(errs...) != nil {
			t.Error(errors.Join(errs...))
		}
	}
	n.close()
}

// TestLargeCommandShutsOutNoSmallOnes: where one command waits that is larger than
// the queue, another like it is refused and small ones are taken.
func TestLargeCommandShutsOutNoSmallOnes(t *testing.T) {
	d := disk.NewMem()
	n := openNode(t, options{disk: d})
	note := n.create("note", schema.User)
	n.close()
	n = openNode(t, options{disk: d, idle: true, apply: apply.Options{QueueBytes: 7500, MaxBytes: 50_000}})
	defer n.close()
	row := func(id int64, size int) *command.Write {
		return write(note, command.RowWrite{Op: command.Insert, Scope: "al", Key: keyOf(id), Row: rowOf(note, id, strings.Repeat("x", size))})
	}
	large := n.queued(at(moment0, row(1, 9000)))
	small := n.queued(at(moment0, row(2, 10)), at(moment0, row(3, 10)))
	if _, err := n.commit(row(4, 9000)); !fault.Is(err, fault.ServerBusy) {
		t.Errorf("a second large one: %v", err)
	}
	n.run()
	for _, wait := range []func() ([]command.Receipt, []error){large, small} {
		if _, errs := wait(); errors.Join(errs...) != nil {
			t.Error(errors.Join(errs...))
		}
	}
}

// TestShutdownCommitsWhatIsQueued ends Run with commands waiting.
func TestShutdownCommitsWhatIsQueued(t *testing.T) {
	d := disk.NewMem()
	n := openNode(t, options{disk: d})
	note := n.create("note", schema.User)
	n.close()
	n = openNode(t, options{disk: d, idle: true})
	var commands []*command.Command
	for i := range 50 {
		commands = append(commands, at(moment0, insert(note, "al", int64(i), "x")))
	}
	wait := n.queued(commands...)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := n.local.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if _, errs := wait(); errors.Join(errs...) != nil {
		t.Fatal(errors.Join(errs...))
	}
	n.close()
	n = openNode(t, options{disk: d})
	defer n.close()
	view := n.local.View()
	defer view.Release()
	if got := len(rows(t, view, note, "al")); got != 50 {
		t.Errorf("%d rows after the restart, want 50", got)
	}
}

// TestFullDiskRefusesBeforeTheLog fills the disk up to the reserve.
func TestFullDiskRefusesBeforeTheLog(t *testing.T) {
	d := disk.NewMem()
	var now atomic.Int64
	now.Store(moment0)
	clock := func() time.Time { return time.UnixMicro(now.Load()) }
	n := openNode(t, options{disk: d, reserve: 1 << 20, now: clock})
	defer n.close()
	note := n.create("note", schema.User)
	d.SetFree(1<<20 - 1)
	now.Add(1_000_000)
	if _, err := n.commit(insert(note, "al", 1, "x")); !fault.Is(err, fault.DiskFull) {
		t.Fatalf("a write on a full disk: %v", err)
	}
	n.must(command.ForgetHistory{Window: 1})
	if _, err := n.commit(insert(note, "al", 1, "x")); !fault.Is(err, fault.DiskFull) {
		t.Fatalf("a write on a full disk: %v", err)
	}
	d.SetFree(1 << 30)
	now.Add(99_000)
	if _, err := n.commit(insert(note, "al", 1, "x")); !fault.Is(err, fault.DiskFull) {
		t.Errorf("free space was asked for again within 100 ms: %v", err)
	}
	now.Add(2_000)
	n.must(insert(note, "al", 1, "x"))
}

// TestClockBehindIsReadOnly starts a day before the last commit.
func TestClockBehindIsReadOnly(t *testing.T) {
	d := disk.NewMem()
	n := openNode(t, options{disk: d})
	note := n.create("note", schema.User)
	n.close()
	n = openNode(t, options{disk: d, now: clockAt(moment0 - 24*3_600_000_000)})
	if _, err := n.commit(insert(note, "al", 1, "x")); !fault.Is(err, fault.ReadOnly) || !strings.Contains(err.Error(), "--accept-clock") {
		t.Errorf("a write with the clock a day behind: %v", err)
	}
	if n.local.ReadOnly() == "" {
		t.Error("ReadOnly gives no reason")
	}
	n.close()
	n = openNode(t, options{disk: d, now: clockAt(moment0 - 3_000_000_000)})
	n.must(insert(note, "al", 1, "x"))
	n.close()
}

// TestDroppedTableSharesNothing drops a table with hot, cold and deleted rows
// and makes one of the same name.
func TestDroppedTableSharesNothing(t *testing.T) {
	n := openNode(t, options{})
	defer n.close()
	note := n.create("note", schema.User)
	one := n.must(insert(note, "al", 1, "hot")).FirstSeq
	two := n.must(insert(note, "al", 2, "cold")).FirstSeq
	file := n.must(command.FileBegin{File: schema.File{Table: note.ID, StorageID: "local", Path: "app/note"}}).File
	file.Rows = 1
	n.must(command.Adopt{File: file, Scope: "al", Rows: []command.AdoptedRow{{Key: keyOf(2), Seq: two}}, Window: schema.Segment{To: 1}})
	n.must(update(note, "al", 1, one, "changed"))
	dropped := n.must(command.DropTable{Table: note.ID})
	if len(dropped.Dropped) != 1 || dropped.Dropped[0].ID != note.ID {
		t.Errorf("the receipt names %v", dropped.Dropped)
	}
	again := n.create("note", schema.User)
	if again.ID == note.ID || again.CreatedSeq <= note.CreatedSeq {
		t.Errorf("the new table is %d created at %d", again.ID, again.CreatedSeq)
	}
	view := n.local.View()
	if got := rows(t, view, again, "al"); len(got) > 0 {
		t.Errorf("the new table shows %q", got)
	}
	if counts, err := table.Counts(view.Reader(), again, "al"); err != nil || counts != (schema.Counts{}) {
		t.Errorf("the new table counts %+v, %v", counts, err)
	}
	removed, ok, err := table.File(view.Reader(), file.Number)
	if err != nil || !ok || removed.State != schema.FileRemoved || removed.RemovedAt != dropped.Position {
		t.Errorf("the file is %+v, %v", removed, err)
	}
	view.Release()
	for line := range strings.Lines(n.dump()) {
		if strings.Contains(line, fmt.Sprintf(" %d/", note.ID)) && !strings.HasPrefix(line, "file ") && !strings.HasPrefix(line, "del ") {
			t.Errorf("left behind: %s", line)
		}
	}
	commits := n.published()
	if !slices.ContainsFunc(commits, func(c command.Commit) bool { return slices.Contains(c.Dropped, note.ID) }) {
		t.Error("no published commit names the dropped table")
	}
}

// TestAdoptSeesEveryChange gives sizes with a slice, so that its rows are not
// looked up, after each kind of change that must make them be.
func TestAdoptSeesEveryChange(t *testing.T) {
	for name, change := range map[string]func(*node, *schema.Table, uint64) bool{ // whether the row becomes cold
		"nothing": func(*node, *schema.Table, uint64) bool { return true },
		"another row": func(n *node, note *schema.Table, _ uint64) bool {
			n.must(insert(note, "al", 3, "new"))
			return true
		},
		"an update": func(n *node, note *schema.Table, seq uint64) bool {
			n.must(update(note, "al", 2, seq, "changed"))
			return false
		},
		"a delete": func(n *node, note *schema.Table, seq uint64) bool {
			n.must(remove(note, "al", 2, seq, "text"))
			return false
		},
		"a purge": func(n *node, note *schema.Table, _ uint64) bool {
			n.must(command.PurgeRows{Table: note.ID, Scope: "al", Keys: [][]byte{keyOf(2)}})
			return false
		},
		"another file": func(n *node, note *schema.Table, seq uint64) bool {
			other := n.must(command.FileBegin{File: schema.File{Table: note.ID, StorageID: "local", Path: "app/note", Scope: "al"}}).File
			other.Rows = 1
			n.must(command.Adopt{File: other, Scope: "al", Rows: []command.AdoptedRow{{Key: keyOf(2), Seq: seq}}, Window: schema.Segment{To: 1}})
			return false
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := openNode(t, options{})
			defer n.close()
			note := n.create("note", schema.User)
			seq := n.must(insert(note, "al", 2, "text")).FirstSeq
			file := n.must(command.FileBegin{File: schema.File{Table: note.ID, StorageID: "local", Path: "app/note", Scope: "al"}}).File
			file.Rows = 1
			want := int64(0)
			if change(n, note, seq) {
				want = 1
			}
			size := int32(len(rowOf(note, 2, "text")))
			got := n.must(command.Adopt{File: file, Scope: "al", Rows: []command.AdoptedRow{{Key: keyOf(2), Seq: seq}}, Window: schema.Segment{To: 1}, Sizes: []int32{size}})
			if got.Rows != want {
				t.Errorf("%d rows became cold, want %d", got.Rows, want)
			}
		})
	}
}

// TestRestartRecoversAll compares the state, definitions and next numbers
// before and after restarts.
func TestRestartRecoversAll(t *testing.T) {
	d := disk.NewMem()
	n := openNode(t, options{disk: d})
	note := n.create("note", schema.User)
	n.create("event", schema.Stream)
	n.must(command.PutStorage{Create: true, Storage: schema.Storage{ID: "local", Type: "filesystem"}})
	n.must(command.PutUser{Create: true, User: schema.UserRecord{ID: "al", Role: schema.RoleDBA}})
	n.must(command.PutJob{Create: true, Job: schema.Job{ID: "FL-1", Status: schema.JobQueued}})
	n.must(insert(note, "al", 1, "x"))
	wider := note.Clone()
	wider.Comment = "second version"
	altered := n.must(command.AlterTable{Table: *wider, FromVersion: 1}).Table
	n.must(command.ForgetHistory{Window: table.HistoryWindow(n.local.Position()) - 1})
	last := n.must(command.PutNamespace{Create: true, Namespace: schema.Namespace{Name: "late"}}).Position
	before := n.dump()
	n.close()

	n = openNode(t, options{disk: d})
	defer n.close()
	if after := n.dump(); after != before {
		t.Errorf("the restart changed the state:\n%s", firstDifference(before, after))
	}
	if n.local.Position() != last {
		t.Errorf("position %d, want %d", n.local.Position(), last)
	}
	got, ok := n.local.Definitions().Table("app", "note")
	if !ok || got.Version != 2 || got.Comment != altered.Comment || got.CreatedSeq != note.CreatedSeq {
		t.Errorf("the table is %+v", got)
	}
	if err := n.checkCursor(last); err != nil {
		t.Error(err)
	}
	if err := n.checkCursor(1); !fault.Is(err, fault.CursorExpired) {
		t.Errorf("a forgotten position: %v", err)
	}
	if n.must(insert(got, "al", 2, "y")).Position <= last {
		t.Error("a position was used twice")
	}
	if id := n.create("more", schema.Shared).ID; id != 3 {
		t.Errorf("the next table is number %d, want 3", id)
	}
}

func (n *node) checkCursor(from uint64) error {
	view := n.local.View()
	defer view.Release()
	return view.CheckCursor(from)
}

// TestUsersAreCachedUntilTheyChange reads a user through the cache.
func TestUsersAreCachedUntilTheyChange(t *testing.T) {
	n := openNode(t, options{apply: apply.Options{CachedUsers: 4}})
	defer n.close()
	for i := range 10 {
		n.must(command.PutUser{Create: true, User: schema.UserRecord{ID: schema.UserID(fmt.Sprint("u", i)), UpdatedAt: 1}})
	}
	for round := range 3 {
		for i := range 10 {
			id := schema.UserID(fmt.Sprint("u", i))
			user, ok, err := n.local.User(context.Background(), id)
			if err != nil || !ok || user.UpdatedAt != int64(round+1) {
				t.Fatalf("round %d: user %s is %+v, %v, %v", round, id, user, ok, err)
			}
			user.UpdatedAt++
			n.must(command.PutUser{User: user, FromUpdatedAt: user.UpdatedAt - 1})
		}
	}
	if _, ok, err := n.local.User(context.Background(), "nobody"); ok || err != nil {
		t.Errorf("nobody is found: %v, %v", ok, err)
	}
}

// TestViewsHoldTheirMoment keeps views over later commits.
func TestViewsHoldTheirMoment(t *testing.T) {
	n := openNode(t, options{})
	defer n.close()
	note := n.create("note", schema.User)
	n.must(insert(note, "al", 1, "one"))
	early := n.local.View()
	if n.local.OldestView() > early.Position() {
		t.Error("the oldest view is younger than one that is open")
	}
	n.must(insert(note, "al", 2, "two"))
	n.must(command.DropTable{Table: note.ID})
	if got := rows(t, early, note, "al"); !slices.Equal(got, []string{"1 one"}) {
		t.Errorf("the early view shows %q", got)
	}
	if _, ok := early.Definitions().Table("app", "note"); !ok {
		t.Error("the early view has lost its table")
	}
	if n.local.OldestView() != early.Position() {
		t.Errorf("the oldest view is at %d, want %d", n.local.OldestView(), early.Position())
	}
	early.Release()
	if n.local.OldestView() != n.local.Position() || n.local.Stats().Views != 1 {
		t.Errorf("%d views are open, the oldest at %d", n.local.Stats().Views, n.local.OldestView())
	}
}
