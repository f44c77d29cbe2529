package engine

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzKeys: of any three keys the order is total, versions cut off are put on
// again, what is put between two keys lies there, and a part of a key is never
// longer than the whole.
func FuzzKeys(f *testing.F) {
	row := appendRow(nil, []byte("rkey"), 7)
	f.Add(row, appendRow(nil, []byte("rkey"), 8), []byte("rkey\x00"), uint64(9))
	f.Add([]byte{}, []byte{KeyspaceRow}, []byte{KeyspaceRow, 0}, uint64(0))
	f.Add([]byte("c1"), []byte("c2"), []byte{0xff}, ^uint64(0))
	f.Add(row[:len(row)-1], append(row, versionLen), []byte("r\x00\x00\x00\x00\x00\x00\x00\x00\x00\x09"), uint64(1))
	f.Fuzz(func(t *testing.T, a, b, c []byte, seq uint64) {
		if compare(a, b) != -compare(b, a) || compare(a, a) != 0 {
			t.Fatalf("%x and %x have no order", a, b)
		}
		if compare(a, b) <= 0 && compare(b, c) <= 0 && compare(a, c) > 0 {
			t.Fatalf("%x, %x and %x go round", a, b, c)
		}
		if compare(a, b) == 0 && !bytes.Equal(a, b) {
			t.Fatalf("%x and %x are one", a, b)
		}
		checkParts(t, a)
		// What callers may name: keys of the row keyspace with a version.
		bare := append([]byte{KeyspaceRow}, a...)
		key := appendRow(nil, bare, seq)
		if back, n := cutRow(key); !bytes.Equal(back, bare) || n != seq {
			t.Fatalf("%x at %d is read as %x at %d", bare, seq, back, n)
		}
		room := make([]byte, len(key))
		if putRow(room, bare, seq); !bytes.Equal(room, key) {
			t.Fatalf("putRow writes %x, appendRow %x", room, key)
		}
		if newer := appendRow(nil, bare, seq+1); seq+1 != 0 && compare(newer, key) >= 0 {
			t.Fatalf("version %d of %x does not come before version %d", seq+1, bare, seq)
		}
		checkShort(t, key, append([]byte{KeyspaceRow}, b...))
		checkShort(t, append([]byte{KeyspaceChg}, a...), append([]byte{KeyspaceChg}, b...))
		checkPrefixEnd(t, a, b)
	})
}

// checkParts takes any bytes for a key.
func checkParts(t *testing.T, key []byte) {
	t.Helper()
	if n := split(key); n > len(key) || n < 0 {
		t.Fatalf("%x is split at %d", key, n)
	}
	bare, seq := cutRow(key)
	if len(bare) > len(key) {
		t.Fatalf("%x has the part %x", key, bare)
	}
	if len(bare) < len(key) && !bytes.Equal(appendRow(nil, bare, seq), key) {
		t.Fatalf("%x is read as %x at %d", key, bare, seq)
	}
}

// checkShort: a separator lies between its keys, a successor is not before its.
func checkShort(t *testing.T, a, b []byte) {
	t.Helper()
	bare := appendBare(nil, b)
	if compare(a, bare) < 0 {
		if k := separator(nil, a, bare); compare(a, k) > 0 || compare(k, bare) >= 0 {
			t.Fatalf("%x does not separate %x and %x", k, a, bare)
		}
	}
	if k := successor([]byte("before"), a); !bytes.HasPrefix(k, []byte("before")) || compare(a, k[6:]) > 0 {
		t.Fatalf("%x does not follow %x", k, a)
	}
}

// checkPrefixEnd: a key lies below the end of a prefix when it begins with it.
func checkPrefixEnd(t *testing.T, prefix, rest []byte) {
	t.Helper()
	end := PrefixEnd(prefix)
	key := append(bytes.Clone(prefix), rest...)
	if end != nil && bytes.Compare(key, end) >= 0 {
		t.Fatalf("%x begins with %x but is not below %x", key, prefix, end)
	}
	if end != nil && bytes.Compare(rest, prefix) >= 0 && bytes.Compare(rest, end) < 0 && !bytes.HasPrefix(rest, prefix) {
		t.Fatalf("%x lies between %x and %x", rest, prefix, end)
	}
}

// FuzzCounters: no bytes make the merger panic or grow, what it reads is read
// again, and the order of operands does not matter.
func FuzzCounters(f *testing.F) {
	f.Add(AppendDelta(nil, 1, -2, 3), AppendDelta(nil, 0, 5))
	f.Add([]byte{}, []byte{countersVersion})
	f.Add([]byte{2, 1}, bytes.Repeat([]byte{countersVersion}, maxCounters+2))
	f.Add([]byte{countersVersion, 0xff}, []byte{countersVersion, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		x, errX := DecodeCounters(a)
		_, errY := DecodeCounters(b)
		for _, err := range []error{errX, errY} {
			if err != nil && !errors.Is(err, errCounters) {
				t.Fatal(err)
			}
		}
		if len(x) > maxCounters || len(x) > len(a) {
			t.Fatalf("%d counters out of %x", len(x), a)
		}
		if errX == nil {
			if again, err := DecodeCounters(AppendDelta(nil, x...)); err != nil || !equalCounters(x, again) {
				t.Fatalf("%v is written and read as %v, %v", x, again, err)
			}
		}
		ab, errAB := merged(a, b)
		ba, errBA := merged(b, a)
		if (errAB == nil) != (errX == nil && errY == nil) || (errAB == nil) != (errBA == nil) || !bytes.Equal(ab, ba) {
			t.Fatalf("%x and %x give %x, %v and %x, %v", a, b, ab, errAB, ba, errBA)
		}
	})
}

func equalCounters(a, b []int64) bool {
	for i := range max(len(a), len(b)) {
		if i < len(a) && i < len(b) && a[i] != b[i] || i >= len(a) && b[i] != 0 || i >= len(b) && a[i] != 0 {
			return false
		}
	}
	return true
}

// merged runs two operands through the merger, the second one as the older.
func merged(newer, older []byte) ([]byte, error) {
	m, err := newMerger().Merge(nil, newer)
	if err != nil {
		return nil, err
	}
	if err := m.MergeOlder(older); err != nil {
		return nil, err
	}
	value, _, err := m.Finish(true)
	return value, err
}
