package apply_test

import (
	"context"
	"sync"
	"testing"

	"kalamdb/internal/command"
	"kalamdb/internal/disk"
	"kalamdb/internal/schema"
)

// announce announces n changes and returns the position that they got.
func (n *node) announce(t schema.TableID, changes int) (position uint64) {
	n.t.Helper()
	err := n.local.Announce(context.Background(), func(first uint64) []command.Change {
		made := make([]command.Change, changes)
		for i := range made {
			position = schema.SeqAt(first, i)
			made[i] = command.Change{Table: t, Op: command.Insert, Seq: position, Key: []byte{byte(i)}}
		}
		for i := range made {
			made[i].Position = position
		}
		return made
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return position
}

// TestAnnounce: what is in memory only has one order with commits, and is seen
// by views and those who serve subscribers, but nothing of it is on disk.
func TestAnnounce(t *testing.T) {
	d := disk.NewMem()
	n := openNode(t, options{disk: d})
	note := n.create("note", schema.User)
	n.must(insert(note, "al", 1, "tea"))
	n.announce(99, 1) // the ceiling is raised, once in ten seconds of clock
	before, dump := n.local.Position(), n.dump()
	first := n.announce(99, 3)
	if first <= before || n.local.Position() != first {
		t.Fatalf("announced at %d behind %d; the view is at %d", first, before, n.local.Position())
	}
	if got := n.dump(); got != dump {
		t.Errorf("an announcement has changed the store:\n%s\nwas\n%s", got, dump)
	}
	if at := n.announce(99, 0); at != 0 || n.local.Position() != first {
		t.Error("nothing was announced, and the view has moved")
	}
	next := n.must(insert(note, "al", 2, "milk")).FirstSeq
	if next <= first {
		t.Errorf("a commit at %d stands before the announcement at %d", next, first)
	}
	last := n.announce(99, 1)
	n.close()

	// A clean stop takes no position back, and loses none.
	n = openNode(t, options{disk: d})
	defer n.close()
	if at := n.local.Position(); at < last {
		t.Errorf("the position is %d after a clean stop, and %d had been announced", at, last)
	}
}

// TestAnnounceOrder: commits and announcements of many come in the order of their
// positions.
func TestAnnounceOrder(t *testing.T) {
	n := openNode(t, options{})
	defer n.close()
	note := n.create("note", schema.User)
	var all sync.WaitGroup
	for g := range 4 {
		all.Go(func() {
			for i := range 50 {
				if g%2 == 0 {
					n.announce(99, 1+i%3)
				} else if _, err := n.commit(insert(note, "al", int64(g*1000+i), "tea")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	var last uint64
	announced, written := 0, 0
	for _, c := range n.published() {
		for _, ch := range c.Changes {
			if ch.Seq <= last {
				t.Fatalf("_seq %d comes behind %d", ch.Seq, last)
			}
			last = ch.Seq
			if ch.Table == 99 {
				announced++
			} else {
				written++
			}
		}
	}
	if announced != 198 || written != 100 {
		t.Errorf("%d changes announced, %d written", announced, written)
	}
}

// TestAnnounceCrash: a crash takes announced positions back, and they are used
// for nothing else.
func TestAnnounceCrash(t *testing.T) {
	d := disk.NewMem()
	n := openNode(t, options{disk: d})
	defer n.close()
	note := n.create("note", schema.User)
	n.must(insert(note, "al", 1, "tea"))
	last := n.announce(99, 2)
	again := openNode(t, options{disk: d.CrashClone(1, 0)})
	defer again.close()
	if next := again.must(insert(note, "al", 2, "milk")).FirstSeq; next <= last {
		t.Errorf("a commit has %d, and %d had been announced", next, last)
	}
	view := again.local.View()
	defer view.Release()
	if err := view.CheckCursor(last); err == nil {
		t.Errorf("position %d passes for known", last)
	}
}
