package engine

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"kalamdb/internal/disk"
)

// model is what the engine should hold: entries in order. It is copied for
// snapshots.
type model []modelEntry

type modelEntry struct {
	key   string
	seq   uint64
	value string
}

func order(a, b modelEntry) int {
	return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(b.seq, a.seq))
}

func (m model) set(e modelEntry) model {
	i, found := slices.BinarySearchFunc(m, e, order)
	if found {
		m[i] = e
		return m
	}
	return slices.Insert(m, i, e)
}

func (m model) remove(e modelEntry) model {
	if i, found := slices.BinarySearchFunc(m, e, order); found {
		return slices.Delete(m, i, i+1)
	}
	return m
}

func (m model) within(lower, upper string) model {
	return slices.DeleteFunc(slices.Clone(m), func(e modelEntry) bool {
		return e.key < lower || (upper != "" && e.key >= upper)
	})
}

// TestModel does random operations on the engine and on a model of it and
// compares every kind of read, over flushes, compactions and reopenings.
func TestModel(t *testing.T) {
	steps := 400
	if testing.Short() {
		steps = 100
	}
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := &modelRun{t: t, random: rand.New(rand.NewPCG(seed, 9)), fs: disk.NewMem()}
			r.open()
			for range steps {
				r.step()
			}
			r.closeSnapshots()
			must(t, r.db.Close())
		})
	}
}

type modelRun struct {
	t         *testing.T
	random    *rand.Rand
	fs        *disk.Mem
	db        *DB
	now       model
	snapshots []*Snapshot
	moments   []model // of the snapshots
}

func (r *modelRun) open() {
	var err error
	r.db, err = Open(r.fs, "hot", Options{MemTableBytes: 64 << 10})
	must(r.t, err)
}

func (r *modelRun) closeSnapshots() {
	for _, s := range r.snapshots {
		must(r.t, s.Close())
	}
	r.snapshots, r.moments = nil, nil
}

func (r *modelRun) step() {
	switch n := r.random.IntN(100); {
	case n < 60:
		b := r.db.NewBatch()
		after := slices.Clone(r.now)
		for range 1 + r.random.IntN(30) {
			after = r.change(b, after)
		}
		r.compare(b, after)
		must(r.t, r.db.Apply(b, r.random.IntN(2) == 0))
		must(r.t, b.Wait())
		b.Close()
		r.now = after
	case n < 70:
		must(r.t, r.db.Flush())
	case n < 75:
		must(r.t, r.db.Compact(r.t.Context(), []byte{0}, []byte{0xff}))
	case n < 85 && len(r.snapshots) < 5:
		r.snapshots = append(r.snapshots, r.db.NewSnapshot())
		r.moments = append(r.moments, slices.Clone(r.now))
	case n < 88:
		r.closeSnapshots()
		must(r.t, r.db.Close())
		r.open()
	default:
		r.compare(r.db, r.now)
		for i, s := range r.snapshots {
			r.compare(s, r.moments[i])
		}
	}
}

// key draws from few keys, many of which begin or end like others.
func (r *modelRun) key() string {
	key := []byte{[]byte{KeyspaceRow, KeyspaceRow, KeyspaceRow, 'k', 't'}[r.random.IntN(5)]}
	for range 1 + r.random.IntN(4) {
		key = append(key, []byte{0, 1, versionLen, 0xff}[r.random.IntN(4)])
	}
	if r.random.IntN(10) == 0 {
		key = append(key, appendRow(nil, nil, uint64(r.random.IntN(9)))...)
	}
	return string(key)
}

func (r *modelRun) change(b *Batch, m model) model {
	e := modelEntry{key: r.key(), value: fmt.Sprint(r.random.IntN(1000), string(make([]byte, r.random.IntN(300))))}
	row := e.key[0] == KeyspaceRow
	if row {
		e.seq = uint64(r.random.IntN(9))
	}
	switch n := r.random.IntN(50); {
	case n == 0:
		upper := r.key()
		if upper <= e.key {
			return m
		}
		DeleteRange(b, []byte(e.key), []byte(upper))
		return slices.DeleteFunc(m, func(x modelEntry) bool { return x.key >= e.key && x.key < upper })
	case n < 15 && row:
		DeleteRow(b, []byte(e.key), e.seq)
		return m.remove(e)
	case n < 15:
		Delete(b, []byte(e.key))
		return m.remove(e)
	case row:
		SetRow(b, []byte(e.key), e.seq, []byte(e.value))
	default:
		Set(b, []byte(e.key), []byte(e.value))
	}
	return m.set(e)
}

// compare reads random parts of a state in every way.
func (r *modelRun) compare(reader Reader, m model) {
	r.t.Helper()
	for range 5 {
		r.comparePoint(reader, m, r.key())
	}
	lower, upper := "", ""
	if r.random.IntN(2) == 0 {
		lower = r.key()
	}
	if r.random.IntN(2) == 0 {
		upper = r.key()
		if upper <= lower {
			upper = ""
		}
	}
	it, err := NewIter(reader, []byte(lower), []byte(upper))
	must(r.t, err)
	r.walk(it, m.within(lower, upper), lower == "" && upper == "")
	must(r.t, it.Close())
}

func (r *modelRun) comparePoint(reader Reader, m model, key string) {
	r.t.Helper()
	if key[0] != KeyspaceRow {
		value, ok, err := Get(reader, []byte(key))
		must(r.t, err)
		i, found := slices.BinarySearchFunc(m, modelEntry{key: key}, order)
		if ok != found || (ok && string(value) != m[i].value) {
			r.t.Fatalf("get %q: %v, want %v", key, ok, found)
		}
		return
	}
	seq := uint64(r.random.IntN(10))
	value, at, ok, err := GetRow(reader, []byte(key), seq)
	must(r.t, err)
	i, _ := slices.BinarySearchFunc(m, modelEntry{key: key, seq: seq}, order)
	found := i < len(m) && m[i].key == key
	if ok != found || (ok && (string(value) != m[i].value || at != m[i].seq)) {
		r.t.Fatalf("row %q at %d: %v at %d, want %v", key, seq, ok, at, found)
	}
}

// walk moves an iterator and an index into the model alike.
func (r *modelRun) walk(it *Iter, m model, open bool) {
	at := -1 // len(m) and -1 are the ends, from which only a seek leads back
	for range 40 {
		var ok bool
		var name string
		valid := at >= 0 && at < len(m)
		switch n := r.random.IntN(7); {
		case n == 0:
			name, ok, at = "first", it.First(), 0
		case n == 1:
			name, ok, at = "last", it.Last(), len(m)-1
		case n == 2:
			key := r.key()
			name, ok = fmt.Sprintf("ge %q", key), it.SeekGE([]byte(key))
			at, _ = slices.BinarySearchFunc(m, modelEntry{key: key, seq: ^uint64(0)}, order)
		case n == 3:
			key := r.key()
			name, ok = fmt.Sprintf("lt %q", key), it.SeekLT([]byte(key))
			at, _ = slices.BinarySearchFunc(m, modelEntry{key: key, seq: ^uint64(0)}, order)
			at--
		case n == 4 && valid:
			name, ok = "next", it.Next()
			at++
		case n == 5 && valid:
			name, ok = "prev", it.Prev()
			at--
		case n == 6 && valid:
			name, ok = "next key", it.NextKey()
			for from := m[at].key; at < len(m) && m[at].key == from; at++ {
			}
		case open:
			r.seekRow(it, m)
			at = -1
			continue
		default:
			continue
		}
		r.standsAt(name, it, ok, m, at)
	}
}

func (r *modelRun) standsAt(name string, it *Iter, ok bool, m model, at int) {
	r.t.Helper()
	want := at >= 0 && at < len(m)
	if ok != want || ok != it.Valid() {
		r.t.Fatalf("%s: %v, want %v: %v", name, ok, want, it.Error())
	}
	if !ok {
		return
	}
	value, err := it.Value()
	must(r.t, err)
	e := m[at]
	if string(it.Key()) != e.key || it.Seq() != e.seq || !bytes.Equal(value, []byte(e.value)) {
		r.t.Fatalf("%s: at %q@%d, want %q@%d", name, it.Key(), it.Seq(), e.key, e.seq)
	}
}

// seekRow walks the versions of one row.
func (r *modelRun) seekRow(it *Iter, m model) {
	key := r.key()
	if key[0] != KeyspaceRow {
		return
	}
	seq := uint64(r.random.IntN(10))
	at, _ := slices.BinarySearchFunc(m, modelEntry{key: key, seq: seq}, order)
	for ok := it.SeekRow([]byte(key), seq); ; ok = it.Next() {
		if at < len(m) && m[at].key == key {
			r.standsAt("row", it, ok, m, at)
			at++
			continue
		}
		r.standsAt("end of row", it, ok, nil, 0)
		return
	}
}
