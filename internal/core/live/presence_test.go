package live

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"
	"time"

	"kalamdb/internal/command"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// presences is a Presence with a clock of its own and all that it announced.
type presences struct {
	t       *testing.T
	p       *Presence
	now     time.Time
	last    uint64
	commits [][]command.Change
	between func() // runs once, before the next turn
}

func newPresences(t *testing.T, o PresenceOptions) *presences {
	f := &presences{t: t, now: time.Unix(1_800_000_000, 0), last: 100}
	o.Since, o.Now = f.last, func() time.Time { return f.now }
	o.Announce = func(_ context.Context, make func(uint64) []command.Change) error {
		if turn := f.between; turn != nil {
			f.between = nil
			turn()
		}
		made := make(f.last + 1)
		if len(made) == 0 {
			return nil
		}
		for i, ch := range made {
			if ch.Seq != f.last+1+uint64(i) || ch.Position != made[len(made)-1].Seq {
				t.Errorf("change %d of %d behind %d has _seq %d at position %d", i, len(made), f.last, ch.Seq, ch.Position)
			}
		}
		f.last = made[len(made)-1].Seq
		f.commits = append(f.commits, made)
		return nil
	}
	f.p = NewPresence(o)
	return f
}

var presentTable = &schema.Table{ID: 7, Version: 1, Options: schema.Options{PresenceSeconds: 10}}

func (f *presences) put(conn, key, row string) error {
	_, err := f.p.Put(context.Background(), conn, presentTable, schema.SharedScope, []byte(key), []byte(row))
	return err
}

func (f *presences) sweep() time.Time {
	f.t.Helper()
	next, err := f.p.Sweep(context.Background())
	if err != nil {
		f.t.Fatal(err)
	}
	return next
}

// expect compares the present rows with key=row words.
func (f *presences) expect(want string) {
	f.t.Helper()
	if got := f.at(f.last); got != want {
		f.t.Errorf("present is %q, not %q", got, want)
	}
}

func (f *presences) at(position uint64) string {
	rows, ok := f.p.Rows(presentTable.ID, schema.SharedScope, position)
	if !ok {
		return "unknown"
	}
	words := make([]string, 0, len(rows))
	for _, r := range rows {
		if !r.Gone {
			words = append(words, string(r.Key)+"="+string(r.Row))
		}
	}
	return strings.Join(words, " ")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestPresenceLeavesAfterGrace(t *testing.T) {
	f := newPresences(t, PresenceOptions{})
	f.p.Attach("c1", "al", "")
	f.p.Attach("c2", "bo", "")
	must(t, f.put("c1", "al", "typing"))
	must(t, f.put("c2", "bo", "idle"))
	must(t, f.put("c1", "al", "idle"))
	f.expect("al=idle bo=idle")
	f.p.Detach("c1", false)
	if next := f.sweep(); !next.Equal(f.now.Add(10 * time.Second)) {
		t.Errorf("the next sweep is due at %s", next)
	}
	f.expect("al=idle bo=idle")
	f.now = f.now.Add(10 * time.Second)
	if next := f.sweep(); !next.IsZero() {
		t.Errorf("a sweep is due at %s", next)
	}
	f.expect("bo=idle")
	if err := f.put("c1", "al", "late"); !fault.Is(err, fault.Cancelled) {
		t.Errorf("a row of a connection that has ended: %v", err)
	}
	f.p.Detach("c2", true) // killed: no grace
	f.sweep()
	f.expect("")
	if len(f.p.mu.holders) != 0 || f.p.mu.bytes != 0 {
		t.Errorf("%d holders of %d bytes are left", len(f.p.mu.holders), f.p.mu.bytes)
	}
}

func TestPresenceOutlivesReconnects(t *testing.T) {
	f := newPresences(t, PresenceOptions{})
	f.p.Attach("c1", "al", "phone")
	must(t, f.put("c1", "al", "here"))
	f.p.Detach("c1", false)
	f.now = f.now.Add(9 * time.Second)
	f.p.Attach("c2", "al", "phone")
	f.now = f.now.Add(time.Hour)
	announced := len(f.commits)
	f.sweep()
	f.expect("al=here")
	if len(f.commits) != announced {
		t.Error("coming back in time was announced")
	}
	// Who comes back while the sweep waits for its turn keeps his rows.
	f.p.Detach("c2", false)
	f.now = f.now.Add(time.Hour)
	f.between = func() { f.p.Attach("c3", "al", "phone") }
	f.sweep()
	f.expect("al=here")
	// The same session name of another user is another session.
	f.p.Attach("d1", "bo", "phone")
	if err := f.put("d1", "al", "mine"); !fault.Is(err, fault.DuplicateKey) {
		t.Errorf("the key of another: %v", err)
	}
	// A user's other session takes a row over.
	f.p.Attach("c4", "al", "desk")
	must(t, f.put("c4", "al", "there"))
	f.p.Detach("c3", true)
	f.sweep()
	f.expect("al=there")
}

func TestPresenceLimits(t *testing.T) {
	f := newPresences(t, PresenceOptions{MaxPerConnection: 2, MaxRowBytes: 20, MaxBytes: 3 * 200})
	f.p.Attach("c1", "al", "s")
	f.p.Attach("c2", "al", "s") // the limit is of the session
	must(t, f.put("c1", "a", "1"))
	must(t, f.put("c2", "b", "1"))
	must(t, f.put("c2", "a", "2"))
	for what, err := range map[string]error{
		"a third row": f.put("c1", "c", "1"), "a long row": f.put("c1", "a", strings.Repeat("x", 20)),
	} {
		if !fault.Is(err, fault.LimitExceeded) {
			t.Errorf("%s: %v", what, err)
		}
	}
	f.p.Attach("d", "bo", "")
	must(t, f.put("d", "d", "1"))
	if err := f.put("d", "e", "1"); !fault.Is(err, fault.LimitExceeded) {
		t.Errorf("more bytes than there may be: %v", err)
	}
	if found, err := f.p.Remove(context.Background(), "d", presentTable, schema.SharedScope, []byte("a")); found || err != nil {
		t.Errorf("the row of another was removed: %v %v", found, err)
	}
	f.expect("a=2 b=1 d=1")
	f.p.DropTable(presentTable.ID)
	f.expect("")
	if f.p.mu.bytes != 0 {
		t.Errorf("%d bytes are left", f.p.mu.bytes)
	}
}

// TestPresenceHistory: at every position that is said to be known, the rows are
// those that the announced changes make, and the changes since are those.
func TestPresenceHistory(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		f := newPresences(t, PresenceOptions{HistoryBytes: int64(changeBytes * (1 + rng.IntN(40)))})
		attached := map[string]bool{}
		for range 200 {
			conn := fmt.Sprint("c", rng.IntN(4))
			switch n := rng.IntN(10); {
			case n == 0 && attached[conn]:
				f.p.Detach(conn, rng.IntN(2) == 0)
				attached[conn] = false
			case n < 3 && !attached[conn]:
				f.p.Attach(conn, "al", fmt.Sprint(rng.IntN(3)))
				attached[conn] = true
			case n < 8 && attached[conn]:
				must(t, f.put(conn, fmt.Sprint(rng.IntN(5)), fmt.Sprint(rng.IntN(100))))
			case n == 8 && attached[conn]:
				_, err := f.p.Remove(context.Background(), conn, presentTable, schema.SharedScope, fmt.Append(nil, rng.IntN(5)))
				must(t, err)
			case n == 9:
				f.now = f.now.Add(time.Duration(rng.IntN(15)) * time.Second)
				f.sweep()
				if rng.IntN(4) == 0 {
					f.p.Forget(f.last - uint64(rng.IntN(5)))
				}
			}
		}
		f.checkHistory(seed)
	}
}

// checkHistory compares each position with what was announced.
func (f *presences) checkHistory(seed uint64) {
	var all []command.Change
	for _, made := range f.commits {
		all = append(all, made...)
	}
	known := 0
	for at := uint64(100); at <= f.last; at++ {
		state := map[string]string{}
		rest := len(all)
		for i, ch := range all {
			if ch.Seq > at {
				rest = i
				break
			}
			if state[string(ch.Key)] = string(ch.Key) + "=" + string(ch.Row); ch.Op == command.Delete {
				delete(state, string(ch.Key))
			}
		}
		words := make([]string, 0, len(state))
		for _, w := range state {
			words = append(words, w)
		}
		sort.Strings(words)
		if got := f.at(at); got != "unknown" {
			known++
			if want := strings.Join(words, " "); got != want {
				f.t.Fatalf("seed %d: at %d is %q, not %q", seed, at, got, want)
			}
		}
		if changes, ok := f.p.Changes(presentTable.ID, schema.SharedScope, at, f.last); ok && len(changes) != len(all)-rest {
			f.t.Fatalf("seed %d: %d changes after %d, not %d", seed, len(changes), at, len(all)-rest)
		}
	}
	if known == 0 {
		f.t.Fatalf("seed %d: no position is known", seed)
	}
}
