package history_test

import (
	"slices"
	"strings"
	"testing"

	"kalamdb/test/torture/history"
)

var (
	alice = history.Place{Table: "app.u", Scope: "alice"}
	lazy  = history.Place{Table: "app.lazy", Scope: "shared"}
)

// world is a history with one unit of two rows in each place, and a short hand
// for what happens to it.
type world struct {
	*history.History
	unit, soft *history.Unit
}

func newWorld() *world {
	h := history.New(history.Options{Label: "seed 1", Relaxed: []string{"app.lazy"}})
	return &world{History: h, unit: h.Unit(alice, 3, 2), soft: h.Unit(lazy, 7, 1)}
}

// done sends an operation and takes its acknowledgement.
func (w *world) done(u *history.Unit, k history.Kind) int64 {
	op := w.Begin(u, k)
	w.Acked(op, int64(len(u.Keys())))
	return op.Number
}

// rows are the rows of a unit at an operation; _seq is ten times its number.
func rows(u *history.Unit, op int64) []history.Row {
	var all []history.Row
	for i, key := range u.Keys() {
		all = append(all, history.Row{ID: key, Op: op, Owner: u.Place().Scope, Seq: uint64(op)*10 + uint64(i)})
	}
	return all
}

// tell gives a subscriber all changes of an operation.
func tell(s *history.Subscription, u *history.Unit, k history.Kind, op int64) {
	for _, row := range rows(u, op) {
		s.Event(history.Event{Kind: k, Row: row})
	}
	s.Mark(uint64(op)*10 + 9)
}

// paged begins a snapshot of which an empty first page has come.
func (w *world) paged() *history.Subscription {
	s := w.Subscribe("late", alice)
	s.Snapshot(nil, true)
	return s
}

func (w *world) look(p history.Place, scan ...history.Row) []history.Look {
	return []history.Look{{Place: p, Scan: scan, Count: int64(len(scan))}}
}

// expect compares the classes that were found with those that a history has.
func (w *world) expect(t *testing.T, name string, classes ...history.Class) {
	t.Helper()
	var got []history.Class
	for _, v := range w.Violations() {
		if !slices.Contains(got, v.Class) {
			got = append(got, v.Class)
		}
		if !strings.Contains(v.Text, "seed 1") {
			t.Errorf("%s: %s does not name its run", name, v)
		}
	}
	slices.Sort(got)
	slices.Sort(classes)
	if !slices.Equal(got, classes) {
		t.Errorf("%s: found %v, want %v:\n%v", name, got, classes, w.Violations())
	}
}

// TestReaders shows good and bad reads.
func TestReaders(t *testing.T) {
	f := func(name string, run func(w *world), classes ...history.Class) {
		t.Helper()
		w := newWorld()
		run(w)
		w.expect(t, name, classes...)
	}
	scan := func(w *world, rows ...history.Row) { w.BeginRead("r", alice).Scan(rows) }
	f("nothing yet", func(w *world) { scan(w) })
	f("reads what was acknowledged", func(w *world) {
		one := w.done(w.unit, history.Insert)
		scan(w, rows(w.unit, one)...)
		two := w.done(w.unit, history.Update)
		scan(w, rows(w.unit, two)...)
		w.done(w.unit, history.Delete)
		scan(w)
	})
	f("reads before or after what is on its way", func(w *world) {
		one := w.done(w.unit, history.Insert)
		op := w.Begin(w.unit, history.Update)
		scan(w, rows(w.unit, one)...)
		scan(w, rows(w.unit, op.Number)...)
	})
	f("an acknowledged insert is not there", func(w *world) {
		w.done(w.unit, history.Insert)
		scan(w)
	}, history.Lost)
	f("an acknowledged delete is not seen", func(w *world) {
		one := w.done(w.unit, history.Insert)
		w.done(w.unit, history.Delete)
		scan(w, rows(w.unit, one)...)
	}, history.Lost)
	f("what was seen is gone", func(w *world) {
		one := w.done(w.unit, history.Insert)
		op := w.Begin(w.unit, history.Update)
		scan(w, rows(w.unit, op.Number)...)
		scan(w, rows(w.unit, one)...)
	}, history.Lost)
	f("a read that began before may see less", func(w *world) {
		r := w.BeginRead("r", alice)
		w.done(w.unit, history.Insert)
		r.Scan(nil)
	})
	f("half an update", func(w *world) {
		one := w.done(w.unit, history.Insert)
		op := w.Begin(w.unit, history.Update)
		scan(w, rows(w.unit, one)[0], rows(w.unit, op.Number)[1])
	}, history.Torn)
	f("half a delete", func(w *world) {
		one := w.done(w.unit, history.Insert)
		w.Begin(w.unit, history.Delete)
		scan(w, rows(w.unit, one)[0])
	}, history.Torn)
	f("a key that nobody wrote", func(w *world) {
		scan(w, history.Row{ID: 999, Op: 1, Owner: "alice"})
	}, history.Phantom)
	f("an operation that nobody sent", func(w *world) {
		w.done(w.unit, history.Insert)
		scan(w, rows(w.unit, 55)...)
	}, history.Phantom)
	f("a refused operation", func(w *world) {
		op := w.Begin(w.unit, history.Insert)
		w.Refused(op)
		scan(w, rows(w.unit, op.Number)...)
	}, history.Phantom)
	f("refused after it was seen", func(w *world) {
		op := w.Begin(w.unit, history.Insert)
		scan(w, rows(w.unit, op.Number)...)
		w.Refused(op)
	}, history.Phantom)
	f("a row of another owner", func(w *world) {
		r := rows(w.unit, w.done(w.unit, history.Insert))
		scan(w, append(r, history.Row{ID: 300, Op: 4, Owner: "bob"})...)
	}, history.Leak)
	f("a key twice", func(w *world) {
		r := rows(w.unit, w.done(w.unit, history.Insert))
		scan(w, append(r, r[0])...)
	}, history.Twofold)
	f("another number for the same version", func(w *world) {
		r := rows(w.unit, w.done(w.unit, history.Insert))
		scan(w, r...)
		r[1].Seq++
		scan(w, r...)
	}, history.Twofold)
	f("numbers that go back", func(w *world) {
		scan(w, rows(w.unit, w.done(w.unit, history.Insert))...)
		r := rows(w.unit, w.done(w.unit, history.Update))
		r[0].Seq, r[1].Seq = 1, 2
		scan(w, r...)
	}, history.Reorder)
	f("a read by key", func(w *world) {
		r := rows(w.unit, w.done(w.unit, history.Insert))
		w.BeginRead("r", alice).Key(300, &r[0])
		w.BeginRead("r", alice).Key(399, nil)
	})
	f("a read by key without an answer", func(w *world) {
		w.done(w.unit, history.Insert)
		w.BeginRead("r", alice).Key(301, nil)
	}, history.Lost)
	f("fewer rows than asked for", func(w *world) { w.Acked(w.Begin(w.unit, history.Insert), 1) }, history.Lost)
}

// TestSubscribers shows good and bad streams of changes.
func TestSubscribers(t *testing.T) {
	f := func(name string, run func(w *world, s *history.Subscription), classes ...history.Class) {
		t.Helper()
		w := newWorld()
		one := w.done(w.unit, history.Insert)
		s := w.Subscribe("s", alice)
		s.Snapshot(rows(w.unit, one), false)
		s.Mark(19)
		run(w, s)
		w.expect(t, name, classes...)
	}
	f("each change once", func(w *world, s *history.Subscription) {
		tell(s, w.unit, history.Update, w.done(w.unit, history.Update))
		tell(s, w.unit, history.Delete, w.done(w.unit, history.Delete))
		four := w.done(w.unit, history.Insert)
		tell(s, w.unit, history.Insert, four)
		s.Quiet(rows(w.unit, four))
	})
	f("one is missing", func(w *world, s *history.Subscription) {
		w.done(w.unit, history.Update)
		tell(s, w.unit, history.Update, w.done(w.unit, history.Update))
	}, history.Gap)
	f("the last one is missing", func(w *world, s *history.Subscription) {
		s.Quiet(rows(w.unit, w.done(w.unit, history.Update)))
	}, history.Gap)
	f("a delete is missing", func(w *world, s *history.Subscription) {
		w.done(w.unit, history.Delete)
		s.Quiet(nil)
	}, history.Gap)
	f("one comes twice", func(w *world, s *history.Subscription) {
		two := w.done(w.unit, history.Update)
		tell(s, w.unit, history.Update, two)
		s.Event(history.Event{Kind: history.Update, Row: rows(w.unit, two)[1]})
	}, history.Duplicate)
	f("two change places", func(w *world, s *history.Subscription) {
		two := rows(w.unit, w.done(w.unit, history.Update))
		s.Event(history.Event{Kind: history.Update, Row: two[1]})
		s.Event(history.Event{Kind: history.Update, Row: two[0]})
	}, history.Reorder)
	f("half a commit", func(w *world, s *history.Subscription) {
		two := rows(w.unit, w.done(w.unit, history.Update))
		s.Event(history.Event{Kind: history.Update, Row: two[1]})
		s.Mark(29)
	}, history.Torn)
	f("a change that nobody sent", func(w *world, s *history.Subscription) {
		s.Event(history.Event{Kind: history.Update, Row: rows(w.unit, 9)[0]})
	}, history.Phantom)
	f("a delete that nobody sent", func(w *world, s *history.Subscription) {
		s.Event(history.Event{Kind: history.Delete, Row: rows(w.unit, 9)[0]})
	}, history.Phantom)
	f("a change of another owner", func(w *world, s *history.Subscription) {
		s.Event(history.Event{Kind: history.Insert, Row: history.Row{ID: 300, Op: 2, Owner: "bob", Seq: 70}})
	}, history.Leak)
	f("what a subscriber has seen, a reader sees", func(w *world, s *history.Subscription) {
		op := w.Begin(w.unit, history.Delete)
		tell(s, w.unit, history.Delete, op.Number)
		w.BeginRead("r", alice).Scan(rows(w.unit, 1))
	}, history.Lost)
	f("a snapshot older than an answer", func(w *world, _ *history.Subscription) {
		w.done(w.unit, history.Update)
		w.Subscribe("late", alice).Snapshot(rows(w.unit, 1), false)
	}, history.Lost)
	f("a replay", func(w *world, s *history.Subscription) {
		two, three := w.done(w.unit, history.Update), w.done(w.unit, history.Update)
		s.Resume(true)
		tell(s, w.unit, history.Update, two)
		tell(s, w.unit, history.Update, three)
	})
	f("a replay with a gap", func(w *world, s *history.Subscription) {
		w.done(w.unit, history.Update)
		three := w.done(w.unit, history.Update)
		s.Resume(true)
		tell(s, w.unit, history.Update, three)
	}, history.Gap)
	f("a replay of what a snapshot without its mark did not show", func(w *world, _ *history.Subscription) {
		other := w.Unit(alice, 4, 1)
		two := w.done(other, history.Insert)
		three, four := w.done(w.unit, history.Update), w.done(w.unit, history.Delete)
		late := w.Subscribe("late", alice)
		late.Snapshot(rows(other, two), false)
		late.Resume(true)
		tell(late, w.unit, history.Update, three)
		tell(late, w.unit, history.Delete, four)
		late.Quiet(rows(other, two))
	})
	f("a replay of what comes before the mark of a snapshot", func(w *world, _ *history.Subscription) {
		three := w.done(w.unit, history.Update)
		w.done(w.unit, history.Delete)
		late := w.Subscribe("late", alice)
		late.Snapshot(nil, false)
		late.Mark(19)
		late.Resume(true)
		tell(late, w.unit, history.Update, three)
	}, history.Reorder)
	f("a replay that begins too early", func(w *world, s *history.Subscription) {
		two := w.done(w.unit, history.Update)
		tell(s, w.unit, history.Update, two)
		s.Resume(true)
		tell(s, w.unit, history.Update, two)
	}, history.Duplicate)
	f("a difference", func(w *world, s *history.Subscription) {
		w.done(w.unit, history.Delete)
		w.done(w.unit, history.Insert)
		four := w.done(w.unit, history.Update)
		s.Resume(false)
		s.Snapshot(rows(w.unit, four), false)
		s.Mark(49)
		s.Quiet(rows(w.unit, four))
	})
	f("a difference in which a row has come and gone", func(w *world, s *history.Subscription) {
		tell(s, w.unit, history.Delete, w.done(w.unit, history.Delete))
		w.done(w.unit, history.Insert)
		w.done(w.unit, history.Delete)
		s.Resume(false)
		s.Snapshot(nil, false)
		s.Mark(49)
		tell(s, w.unit, history.Insert, w.done(w.unit, history.Insert))
	})
	f("cut off within a commit", func(w *world, s *history.Subscription) {
		two := rows(w.unit, w.done(w.unit, history.Update))
		s.Event(history.Event{Kind: history.Update, Row: two[0]})
		s.Resume(true)
		s.Mark(two[0].Seq)
		s.Event(history.Event{Kind: history.Update, Row: two[1]})
		s.Mark(two[1].Seq)
	})
	f("cut off within a commit, and the rest never comes", func(w *world, s *history.Subscription) {
		two := rows(w.unit, w.done(w.unit, history.Update))
		s.Event(history.Event{Kind: history.Update, Row: two[0]})
		s.Resume(true)
		s.Mark(two[0].Seq)
		s.Mark(29)
	}, history.Torn)
	f("a difference without its deletes", func(w *world, s *history.Subscription) {
		w.done(w.unit, history.Delete)
		s.Resume(false)
		s.Snapshot(nil, false)
		s.Mark(29)
		s.Quiet(nil)
	}, history.Gap)
	// The second page of a snapshot is of a moment after an operation; the rows
	// that it has changed are not in the page but follow as changes, before the
	// mark.
	f("a page that came late", func(w *world, _ *history.Subscription) {
		late := w.paged()
		two := w.done(w.unit, history.Update)
		late.Snapshot(nil, false)
		tell(late, w.unit, history.Update, two)
		tell(late, w.unit, history.Update, w.done(w.unit, history.Update))
		late.Quiet(rows(w.unit, 3))
	})
	f("a page that came late, after two operations", func(w *world, _ *history.Subscription) {
		late := w.paged()
		w.done(w.unit, history.Update) // before the moment of the snapshot
		three := w.done(w.unit, history.Update)
		late.Snapshot(nil, false)
		tell(late, w.unit, history.Update, three)
	})
	f("a page that came late, behind an update and a delete", func(w *world, _ *history.Subscription) {
		late := w.paged()
		two, three := w.done(w.unit, history.Update), w.done(w.unit, history.Delete)
		late.Snapshot(nil, false)
		tell(late, w.unit, history.Update, two)
		tell(late, w.unit, history.Delete, three)
		tell(late, w.unit, history.Insert, w.done(w.unit, history.Insert))
	})
	f("a page that came late, behind a delete", func(w *world, _ *history.Subscription) {
		late := w.paged()
		two := w.done(w.unit, history.Delete)
		late.Snapshot(nil, false)
		tell(late, w.unit, history.Delete, two)
		tell(late, w.unit, history.Insert, w.done(w.unit, history.Insert))
	})
	f("a page that came late within a unit", func(w *world, _ *history.Subscription) {
		late := w.paged()
		late.Snapshot(rows(w.unit, 1)[:1], true)
		two := w.done(w.unit, history.Update)
		late.Snapshot(nil, false)
		tell(late, w.unit, history.Update, two)
		late.Quiet(rows(w.unit, two))
	})
	f("a page that came late, and the mark before the change", func(w *world, _ *history.Subscription) {
		late := w.paged()
		w.done(w.unit, history.Update)
		late.Snapshot(nil, false)
		late.Mark(19)
	}, history.Gap)
	f("a page that came late, and the change never comes", func(w *world, _ *history.Subscription) {
		late := w.paged()
		two := w.done(w.unit, history.Update)
		late.Snapshot(nil, false)
		late.Quiet(rows(w.unit, two))
	}, history.Gap)
	f("a page that came late, and half of the change", func(w *world, _ *history.Subscription) {
		late := w.paged()
		two := rows(w.unit, w.done(w.unit, history.Update))
		late.Snapshot(nil, false)
		late.Event(history.Event{Kind: history.Update, Row: two[0]})
		late.Mark(29)
	}, history.Torn, history.Gap)
	f("a page that came late, and a gap behind the first change", func(w *world, _ *history.Subscription) {
		late := w.paged()
		two := w.done(w.unit, history.Update)
		late.Snapshot(nil, false)
		tell(late, w.unit, history.Update, two)
		w.done(w.unit, history.Update)
		tell(late, w.unit, history.Update, w.done(w.unit, history.Update))
	}, history.Gap)
	f("rows that were absent at a snapshot in pages, and a gap", func(w *world, _ *history.Subscription) {
		w.done(w.unit, history.Delete)
		late := w.paged()
		late.Snapshot(nil, false)
		late.Mark(29)
		w.done(w.unit, history.Insert)
		w.done(w.unit, history.Delete)
		tell(late, w.unit, history.Insert, w.done(w.unit, history.Insert))
	}, history.Gap)
	f("expired without need", func(_ *world, s *history.Subscription) { s.Expired() }, history.Gap)
}

// TestCrashes shows what may be missing after a crash and what may not.
func TestCrashes(t *testing.T) {
	f := func(name string, run func(w *world), classes ...history.Class) {
		t.Helper()
		w := newWorld()
		run(w)
		w.expect(t, name, classes...)
	}
	f("all there", func(w *world) {
		w.Crashed(w.look(alice, rows(w.unit, w.done(w.unit, history.Insert))...))
	})
	f("what was on its way may be there", func(w *world) {
		op := w.Begin(w.unit, history.Insert)
		w.Crashed(w.look(alice, rows(w.unit, op.Number)...))
		if present, known := w.Present(w.unit); !present || !known {
			t.Errorf("present %v, known %v", present, known)
		}
		w.Crashed(w.look(alice, rows(w.unit, op.Number)...))
	})
	f("what was on its way may be missing, and stays away", func(w *world) {
		op := w.Begin(w.unit, history.Insert)
		w.Unknown(op)
		w.Crashed(w.look(alice))
		if present, known := w.Present(w.unit); present || !known {
			t.Errorf("present %v, known %v", present, known)
		}
		w.BeginRead("r", alice).Scan(rows(w.unit, op.Number))
	}, history.Phantom)
	f("an answer is lost", func(w *world) {
		w.done(w.unit, history.Insert)
		w.Crashed(w.look(alice))
	}, history.Lost)
	f("what was only seen is lost", func(w *world) {
		op := w.Begin(w.unit, history.Insert)
		w.BeginRead("r", alice).Scan(rows(w.unit, op.Number))
		w.Crashed(w.look(alice))
	}, history.Lost)
	f("one row is lost", func(w *world) {
		w.Crashed(w.look(alice, rows(w.unit, w.done(w.unit, history.Insert))[0]))
	}, history.Lost)
	f("half of what was on its way", func(w *world) {
		op := w.Begin(w.unit, history.Insert)
		w.Crashed(w.look(alice, rows(w.unit, op.Number)[0]))
	}, history.Torn)
	f("a row too many in the count", func(w *world) {
		looks := w.look(alice, rows(w.unit, w.done(w.unit, history.Insert))...)
		looks[0].Count = 3
		w.Crashed(looks)
	}, history.Twofold)
	f("a scan that disagrees", func(w *world) {
		looks := w.look(alice, rows(w.unit, w.done(w.unit, history.Insert))...)
		looks[0].Others = map[string][]history.Row{"a read by key": looks[0].Scan[:1]}
		w.Settled("at the end", looks)
	}, history.Twofold)
	f("a relaxed tail is missing", func(w *world) {
		w.done(w.unit, history.Insert)
		w.done(w.soft, history.Insert)
		w.Crashed(append(w.look(alice, rows(w.unit, 1)...), w.look(lazy)...))
	})
	f("a relaxed operation before a synced one is missing", func(w *world) {
		w.done(w.soft, history.Insert)
		w.done(w.unit, history.Insert)
		w.Crashed(append(w.look(alice, rows(w.unit, 2)...), w.look(lazy)...))
	}, history.Lost)
	f("a relaxed delete may have happened", func(w *world) {
		w.done(w.soft, history.Insert)
		w.done(w.soft, history.Delete)
		w.done(w.unit, history.Insert)
		w.Crashed(append(w.look(alice, rows(w.unit, 3)...), w.look(lazy)...))
	})
	f("a relaxed operation before another is missing", func(w *world) {
		more := w.Unit(lazy, 8, 1)
		w.done(w.soft, history.Insert)
		w.Crashed(w.look(lazy, rows(more, w.done(more, history.Insert))...))
	}, history.Lost)
	f("a subscriber of what is lost must not go on", func(w *world) {
		s := w.Subscribe("s", lazy)
		s.Snapshot(nil, false)
		tell(s, w.soft, history.Insert, w.done(w.soft, history.Insert))
		w.Crashed(w.look(lazy))
		s.Resume(true)
	}, history.Gap)
	f("who has no mark does not know what a crash took back", func(w *world) {
		gone := func(marked bool) bool {
			s := w.Subscribe("s", lazy)
			s.Snapshot(nil, false)
			if marked {
				s.Mark(5)
			}
			w.done(w.soft, history.Insert)
			w.Crashed(w.look(lazy))
			_, known := s.Position()
			return !known
		}
		if !gone(false) || gone(true) {
			t.Error("a place to resume at without a mark, or none with it")
		}
	})
	// The snapshot of a synced table stands at a relaxed operation on another.
	lost := func(w *world, position uint64) *history.Subscription {
		one := w.done(w.unit, history.Insert)
		w.done(w.soft, history.Insert)
		s := w.Subscribe("s", alice)
		s.Snapshot(rows(w.unit, one), false)
		s.Mark(position)
		w.Crashed(append(w.look(alice, rows(w.unit, one)...), w.look(lazy)...))
		return s
	}
	f("a position that a crash took back has expired for all tables", func(w *world) { lost(w, 20).Expired() })
	f("and may be left by the crash", func(w *world) { lost(w, 20).Resume(true) })
	f("but then stays", func(w *world) {
		s := lost(w, 20)
		s.Resume(true)
		w.done(w.soft, history.Insert)
		w.Crashed(append(w.look(alice, rows(w.unit, 1)...), w.look(lazy)...))
		s.Expired()
	}, history.Gap)
	f("the position of a synced operation never expires", func(w *world) { lost(w, 11).Expired() }, history.Gap)
	f("nor any when no operation is lost", func(w *world) {
		s := w.Subscribe("s", alice)
		s.Snapshot(nil, false)
		two := w.done(w.soft, history.Insert)
		s.Mark(20)
		w.Crashed(append(w.look(alice), w.look(lazy, rows(w.soft, two)...)...))
		s.Expired()
	}, history.Gap)
	f("a subscriber of what is lost is told so", func(w *world) {
		s := w.Subscribe("s", lazy)
		s.Snapshot(nil, false)
		tell(s, w.soft, history.Insert, w.done(w.soft, history.Insert))
		w.Crashed(w.look(lazy))
		s.Expired()
	})
}

// TestForkIncludesWhatCameBefore finds in a clone an operation that was sent
// after a relaxed one had been acknowledged, both after the fork.
func TestForkIncludesWhatCameBefore(t *testing.T) {
	for _, lost := range []bool{false, true} {
		w := newWorld()
		clone := &world{History: w.Fork("seed 1, clone")}
		one := w.done(w.soft, history.Insert)
		two := w.Begin(w.unit, history.Insert)
		clone.Include(w.History)
		looks, classes := w.look(lazy, rows(w.soft, one)...), []history.Class(nil)
		if lost {
			looks, classes = w.look(lazy), []history.Class{history.Lost}
		}
		clone.Crashed(append(w.look(alice, rows(w.unit, two.Number)...), looks...))
		clone.expect(t, "what was acknowledged before a synced operation is there with it", classes...)
	}
}

// TestForks judges a clone while its original goes on.
func TestForks(t *testing.T) {
	w := newWorld()
	one := w.done(w.unit, history.Insert)
	s := w.Subscribe("s", alice)
	s.Snapshot(rows(w.unit, one), false)
	clone := &world{History: w.Fork("seed 1, clone")}
	two := w.done(w.unit, history.Update)
	tell(s, w.unit, history.Update, two)
	other := w.Unit(alice, 4, 1)
	w.Begin(other, history.Insert)
	clone.Include(w.History)
	for _, op := range []int64{one, two} {
		again := &world{History: clone.Fork("seed 1, again")}
		again.Crashed(again.look(alice, rows(w.unit, op)...))
		resumed := again.Subscription("s")
		resumed.Resume(true)
		if op == two {
			tell(resumed, w.unit, history.Update, two)
		}
		resumed.Quiet(rows(w.unit, op))
		again.expect(t, "a clone may have what came later", []history.Class{}...)
	}
	clone.Crashed(clone.look(alice))
	clone.expect(t, "a clone has what was acknowledged before", history.Lost)
	w.expect(t, "the original goes on")
	if c := w.Counts(); c.Sent != 3 || c.Acked != 2 || c.Events != 2 {
		t.Errorf("counts %+v", c)
	}
}
