package engine

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
)

// randomKey returns a key as Pebble sees it: of a row with or without a
// version, of another keyspace, or a bound. Few distinct bytes make keys
// collide, extend each other and end like versions.
func randomKey(r *rand.Rand) []byte {
	tail := make([]byte, r.IntN(14))
	for i := range tail {
		tail[i] = []byte{0, 0, 1, versionLen, 0xfe, 0xff}[r.IntN(6)]
	}
	first := []byte{KeyspaceRow, KeyspaceRow, KeyspaceRow, KeyspaceRow - 1, KeyspaceRow + 1, 'a'}[r.IntN(6)]
	key := append([]byte{first}, tail...)
	if first == KeyspaceRow && len(key) > 1 && r.IntN(3) > 0 {
		return appendRow(nil, key, []uint64{0, 1, 9, 1 << 62, ^uint64(0)}[r.IntN(5)])
	}
	return appendBare(nil, key)
}

// TestComparer checks what Pebble asks of a comparer on every pair of many
// keys.
func TestComparer(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	c := newComparer().EnsureDefaults()
	keys := make([][]byte, 700)
	for i := range keys {
		keys[i] = randomKey(r)
	}
	for _, a := range keys {
		checkPrefix(t, c, a)
		for _, b := range keys {
			checkPair(t, c, a, b)
		}
	}
	// A total order sorts any shuffle alike.
	slices.SortFunc(keys, c.Compare)
	again := slices.Clone(keys)
	r.Shuffle(len(again), func(i, j int) { again[i], again[j] = again[j], again[i] })
	slices.SortFunc(again, c.Compare)
	for i := range keys {
		if !bytes.Equal(keys[i], again[i]) {
			t.Fatalf("order is not total at %x and %x", keys[i], again[i])
		}
	}
}

func checkPrefix(t *testing.T, c *pebble.Comparer, a []byte) {
	t.Helper()
	prefix := a[:c.Split(a)]
	if c.Split(prefix) != len(prefix) {
		t.Errorf("prefix %x of %x is split again", prefix, a)
	}
	if len(prefix) < len(a) && c.Compare(prefix, a) >= 0 {
		t.Errorf("prefix %x is not below %x", prefix, a)
	}
	if next := c.ImmediateSuccessor(nil, prefix); c.Split(next) != len(next) || c.Compare(a, next) >= 0 {
		t.Errorf("%x does not follow %x", next, a)
	}
	if k := c.Successor(nil, a); c.Compare(a, k) > 0 {
		t.Errorf("successor %x is below %x", k, a)
	}
}

func checkPair(t *testing.T, c *pebble.Comparer, a, b []byte) {
	t.Helper()
	order := c.Compare(a, b)
	pa, pb := a[:c.Split(a)], b[:c.Split(b)]
	if want := bytes.Compare(pa, pb); want != 0 && order != want {
		t.Errorf("%x and %x: versions decide before keys", a, b)
	}
	if order <= 0 && c.Compare(pa, pb) > 0 {
		t.Errorf("%x and %x: prefixes stand the other way round", a, b)
	}
	if bytes.Equal(pa, pb) && order != c.ComparePointSuffixes(a[len(pa):], b[len(pb):]) {
		t.Errorf("%x and %x: suffixes order otherwise", a, b)
	}
	if c.Equal(a, b) != (order == 0) || c.Compare(b, a) != -order {
		t.Errorf("%x and %x: equal and compare disagree", a, b)
	}
	if x, y := c.AbbreviatedKey(a), c.AbbreviatedKey(b); (x < y && order >= 0) || (x > y && order <= 0) {
		t.Errorf("%x and %x: short keys order otherwise", a, b)
	}
	if order >= 0 {
		return
	}
	if k := c.Separator(nil, a, b); c.Compare(a, k) > 0 || c.Compare(k, b) >= 0 || len(k) > len(a)+1 {
		t.Errorf("separator %x does not stand between %x and %x", k, a, b)
	}
	// The shortened key is appended to what is there.
	if k := c.Separator([]byte("dst"), a, b); !bytes.Equal(k, append([]byte("dst"), c.Separator(nil, a, b)...)) {
		t.Errorf("separator of %x and %x depends on its destination", a, b)
	}
}

func TestRowKeyRoundTrip(t *testing.T) {
	f := func(key string, seq uint64) {
		t.Helper()
		full := appendRow(nil, []byte(key), seq)
		put := make([]byte, len(full))
		putRow(put, []byte(key), seq)
		if !bytes.Equal(full, put) {
			t.Errorf("put %x, appended %x", put, full)
		}
		if bare, got := cutRow(full); string(bare) != key || got != seq {
			t.Errorf("cut %x into %q and %d", full, bare, got)
		}
	}
	f("ra", 0)
	f("r\x00", 1)
	f("r\x09\x09", 1<<63)
	f("r"+string(bytes.Repeat([]byte{0}, 20)), ^uint64(0))
}

func TestPrefixEnd(t *testing.T) {
	f := func(prefix, want string) {
		t.Helper()
		if got := PrefixEnd([]byte(prefix)); string(got) != want {
			t.Errorf("end of %q is %q, want %q", prefix, got, want)
		}
	}
	f("a", "b")
	f("a\xff\xff", "b")
	f("ra\x00", "ra\x01")
	if got := PrefixEnd([]byte("\xff\xff")); got != nil {
		t.Errorf("a prefix without end ends at %q", got)
	}
}
