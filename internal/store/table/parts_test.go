package table_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"kalamdb/internal/datum"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/table"
)

// partsWorld writes rows whose keys are any bytes.
type partsWorld struct {
	*world
	chance *rand.Rand
	def    *schema.Table
	time   int64
	live   map[schema.Scope]map[string]uint64 // seq of the newest version by key, of living rows
}

func newPartsWorld(t *testing.T, seed uint64) *partsWorld {
	w := &partsWorld{world: newWorld(t), chance: rand.New(rand.NewPCG(seed, 9)), live: map[schema.Scope]map[string]uint64{}}
	w.def = w.note()
	return w
}

// change writes random operations on rows of a scope in one commit.
func (w *partsWorld) change(scope schema.Scope, n int, key func(i int) []byte) {
	w.time++
	if w.live[scope] == nil {
		w.live[scope] = map[string]uint64{}
	}
	rows := w.live[scope]
	err := w.commit(func(*store.Batch) error {
		for i := range n {
			w.last = schema.NextSeq(w.last, micros(w.time), 1)
			c := table.RowChange{Op: table.Insert, Scope: scope, Key: key(i), Row: w.row(w.def, int64(i), fmt.Sprint("at ", w.last))}
			if seq, living := rows[string(c.Key)]; living {
				c.Op, c.ReadSeq = table.Update, seq
				if w.chance.IntN(3) == 0 {
					c.Op = table.Delete
				}
			}
			if err := w.writer.Check(w.def, &c, w.last); err != nil {
				return err
			}
			w.writer.Accept()
			w.writer.Write(w.def, &c, 0, w.last, w.last)
			w.writer.Done()
			if rows[string(c.Key)] = w.last; c.Op == table.Delete {
				delete(rows, string(c.Key))
			}
		}
		return nil
	})
	if err != nil {
		w.t.Error(err)
	}
}

// keys are the ways in which keys lie.
func (w *partsWorld) keys() map[string]func(i int) []byte {
	return map[string]func(i int) []byte{
		"even":    func(i int) []byte { return keyOf(int64(i)) },
		"random":  func(int) []byte { return keyOf(int64(w.chance.Uint64())) },
		"heap":    func(i int) []byte { return keyOf(int64(i) * int64(i) * int64(i) * int64(i)) },
		"text":    func(i int) []byte { return textKey(fmt.Sprintf("customer/%06d", i)) },
		"long":    func(i int) []byte { return textKey(strings.Repeat("x", i%40)) },
		"cluster": func(i int) []byte { return textKey(fmt.Sprintf("%c/%d", "az"[min(i%500, 1)], i)) },
	}
}

func textKey(s string) []byte {
	return schema.AppendKeyValues(nil, []datum.Value{datum.NewText(s)})
}

// whole reads a scan as its parts must give it: the bodies by seq.
func (w *partsWorld) whole(r store.Reader, scope schema.Scope, o table.ScanOptions) map[uint64]string {
	scan, err := table.NewScan(r, w.def, scope, o)
	if err != nil {
		w.t.Fatal(err)
	}
	rows := map[uint64]string{}
	for scan.Next(context.Background()) {
		v := scan.Version()
		rows[v.Seq] = fmt.Sprint(v.Deleted, string(v.Row))
	}
	if err := errors.Join(scan.Err(), scan.Close()); err != nil {
		w.t.Fatal(err)
	}
	return rows
}

// inParts reads a scan on some goroutines.
func (w *partsWorld) inParts(r store.Reader, scope schema.Scope, o table.ScanOptions, chance *rand.Rand) map[uint64]string {
	parts := table.NewParts(r, w.def, scope, o)
	var mu sync.Mutex
	rows, twice := map[uint64]string{}, 0
	var all sync.WaitGroup
	for range 1 + chance.IntN(5) {
		chance := rand.New(rand.NewPCG(chance.Uint64(), 1))
		all.Go(func() {
			for {
				part, err := parts.Next()
				if err != nil {
					w.t.Error(err)
				}
				if part == nil {
					return
				}
				mine := map[uint64]string{}
				for n, most := 1, 1; n == most; {
					most = 1 + chance.IntN(400)
					if n, err = part.Each(context.Background(), most, func(body []byte, seq uint64, deleted bool) error {
						mine[seq] = fmt.Sprint(deleted, string(body))
						return nil
					}); err != nil {
						w.t.Error(err)
					}
				}
				if err := part.Close(); err != nil {
					w.t.Error(err)
				}
				mu.Lock()
				for seq, body := range mine {
					if _, known := rows[seq]; known {
						twice++
					}
					rows[seq] = body
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if twice > 0 {
		w.t.Errorf("%d rows came twice", twice)
	}
	return rows
}

// TestPartsAreTheWhole: whatever the keys, the versions, the bounds and the
// number of goroutines, and while others write, parts give each row of the scan
// once.
func TestPartsAreTheWhole(t *testing.T) {
	const seed = 1
	for name := range newPartsWorld(t, seed).keys() {
		t.Run(name, func(t *testing.T) {
			w := newPartsWorld(t, seed)
			key := w.keys()[name]
			scopes := []schema.Scope{"alice", "alice2", "alic", "bob\x00"}
			for _, scope := range scopes {
				for range 3 {
					w.change(scope, 400+w.chance.IntN(700), key)
				}
			}
			chance := rand.New(rand.NewPCG(seed, 78))
			low, high := key(10), key(700)
			if bytes.Compare(low, high) > 0 {
				low, high = high, low
			}
			moment := w.store.Snapshot()
			defer func() {
				if err := moment.Close(); err != nil {
					t.Error(err)
				}
			}()
			before := w.last
			var writing sync.WaitGroup
			stop := make(chan struct{})
			writing.Go(func() { // from now on it alone uses w.chance and what it writes
				for {
					select {
					case <-stop:
						return
					default:
					}
					w.change("alice", 300, key)
					if err := w.store.Flush(); err != nil {
						t.Error(err)
					}
				}
			})
			defer writing.Wait()
			defer close(stop)
			for _, scope := range scopes {
				for _, o := range []table.ScanOptions{{}, {Deleted: true}, {Low: low, High: high}, {AfterSeq: before - 1000}, {Low: high}} {
					want := w.whole(moment.Reader(), scope, o)
					if got := w.inParts(moment.Reader(), scope, o, chance); !maps.Equal(got, want) {
						t.Errorf("scope %q, %+v: %d rows in parts, %d in one", scope, o, len(got), len(want))
					}
				}
			}
		})
	}
}

// TestPartsCutEvenly: who comes second gets about half of what is ahead, and who
// comes when little is ahead gets nothing.
func TestPartsCutEvenly(t *testing.T) {
	for _, name := range []string{"even", "random", "text"} {
		w := newPartsWorld(t, 1)
		w.change("alice", 5000, w.keys()[name])
		parts := table.NewParts(w.store.Reader(), w.def, "alice", table.ScanOptions{})
		first, err := parts.Next()
		if err != nil {
			t.Fatal(err)
		}
		nothing := func([]byte, uint64, bool) error { return nil }
		if n, err := first.Each(t.Context(), 100, nothing); n != 100 || err != nil {
			t.Fatal(n, err)
		}
		second, err := parts.Next()
		if err != nil || second == nil {
			t.Fatalf("%s: no second part: %v", name, err)
		}
		n, err := second.Each(t.Context(), 5000, nothing)
		if err != nil {
			t.Fatal(err)
		}
		if n < 1500 || n > 3500 {
			t.Errorf("%s: the second part has %d of 5000 rows", name, n)
		}
		rest, err := first.Each(t.Context(), 5000, nothing)
		if err != nil || rest != 4900-n {
			t.Errorf("%s: the first part has %d rows more, the second %d: %v", name, rest, n, err)
		}
		if third, err := parts.Next(); third != nil || err != nil {
			t.Errorf("%s: a third part of nothing: %v", name, err)
		}
		if err := errors.Join(first.Close(), second.Close(), first.Close()); err != nil {
			t.Error(err)
		}
	}
}

// TestPartsEnd: an error of who reads and the end of the context stop the part
// they meet, at once; the others are as they were.
func TestPartsEnd(t *testing.T) {
	w := newPartsWorld(t, 1)
	w.change("alice", 5000, w.keys()["even"])
	parts := table.NewParts(w.store.Reader(), w.def, "alice", table.ScanOptions{})
	first, err := parts.Next()
	if err != nil {
		t.Fatal(err)
	}
	second, err := parts.Next()
	if err != nil || second == nil {
		t.Fatal(second, err)
	}
	mine, met := errors.New("enough"), 0
	n, err := first.Each(t.Context(), 5000, func([]byte, uint64, bool) error {
		if met++; met == 700 {
			return mine
		}
		return nil
	})
	if n != 699 || !errors.Is(err, mine) {
		t.Errorf("an error at row 700 ended a part after %d rows with %v", n, err)
	}
	ended, end := context.WithCancel(t.Context())
	n, err = second.Each(ended, 10, func([]byte, uint64, bool) error { end(); return nil })
	if n == 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("a part whose context ended gave %d rows and %v", n, err)
	}
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if n, err := second.Each(t.Context(), 100, func([]byte, uint64, bool) error { return nil }); n != 100 || err != nil {
		t.Errorf("after the end of the other part: %d rows, %v", n, err)
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	if third, err := parts.Next(); third != nil || err != nil {
		t.Errorf("a part of a scan whose parts are closed: %v", err)
	}
}
