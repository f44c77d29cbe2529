package engine

import (
	"bytes"
	"encoding/binary"

	"github.com/cockroachdb/pebble/v2"

	"kalamdb/internal/fault"
)

// The first byte of every key names its keyspace. The bytes stand in files:
// they are never given another meaning. docs/format/keyspaces.md draws the
// keys.
const (
	KeyspaceRow   byte = 'r' // versions of hot rows
	KeyspaceChg   byte = 'c' // hot rows in commit order
	KeyspaceOld   byte = 'o' // versions to forget when a window ends
	KeyspaceStr   byte = 's' // rows of streams
	KeyspaceCnt   byte = 'n' // counters
	KeyspaceIdx   byte = 'i' // secondary and unique indexes
	KeyspaceLoc   byte = 'l' // places of cold rows
	KeyspaceSeg   byte = 'g' // cold segments
	KeyspaceFile  byte = 'f' // cold files
	KeyspaceDel   byte = 'd' // delete marks on cold rows
	KeyspaceLog   byte = 'w' // archived commands
	KeyspaceSys   byte = 'y' // entries of the store itself
	KeyspaceCat   byte = 'a' // system tables
	KeyspaceTopic byte = 't' // topics: reserved
	KeyspaceRaft  byte = 'x' // raft log: reserved
)

// A row key on disk is the caller's key, a zero byte, and then nothing or a
// version: eight bytes of the inverted seq, big-endian, and the length of the
// version with its own byte. The last byte alone tells where the version
// begins, so that bounds and index separators, which end anywhere, are never
// taken for versions.
const (
	versionLen  = 9 // seq and length byte
	rowTrailLen = 1 + versionLen
)

// comparerName stands in every file of the engine.
const comparerName = "kalamdb.v1"

// newComparer returns the order of all keys: bytewise, except that the
// versions of a row stand behind its key whatever the next key begins with.
func newComparer() *pebble.Comparer {
	plain := pebble.DefaultComparer
	return &pebble.Comparer{
		Name:                 comparerName,
		Split:                split,
		Compare:              compare,
		Equal:                bytes.Equal,
		ComparePointSuffixes: bytes.Compare,
		CompareRangeSuffixes: bytes.Compare,
		AbbreviatedKey:       func(key []byte) uint64 { return plain.AbbreviatedKey(key[:split(key)]) },
		FormatKey:            plain.FormatKey,
		Separator:            separator,
		Successor:            successor,
		// The least key above a bare one of any keyspace has a zero byte more.
		ImmediateSuccessor: func(dst, key []byte) []byte { return append(append(dst, key...), 0) },
	}
}

// split returns the length of a key without its version.
func split(key []byte) int {
	n := len(key)
	if n > rowTrailLen && key[n-1] == versionLen && key[n-rowTrailLen] == 0 && key[0] == KeyspaceRow {
		return n - versionLen
	}
	return n
}

func compare(a, b []byte) int {
	an, bn := split(a), split(b)
	if c := bytes.Compare(a[:an], b[:bn]); c != 0 {
		return c
	}
	return bytes.Compare(a[an:], b[bn:])
}

// separator appends a short key k with a <= k < b.
func separator(dst, a, b []byte) []byte {
	start := len(dst)
	dst = pebble.DefaultComparer.Separator(dst, body(a), body(b))
	return finishShort(dst, start, a)
}

// successor appends a short key k with a <= k.
func successor(dst, a []byte) []byte {
	start := len(dst)
	dst = pebble.DefaultComparer.Successor(dst, body(a))
	return finishShort(dst, start, a)
}

// body returns a key as its caller named it: a row key without its zero byte
// and version, any other key whole.
func body(key []byte) []byte {
	n := split(key)
	if n > 0 && key[0] == KeyspaceRow && key[n-1] == 0 {
		n--
	}
	return key[:n]
}

// finishShort completes a shortened body that begins at start: when nothing
// was gained the key is a itself, and a row key ends as a bare one does.
func finishShort(dst []byte, start int, a []byte) []byte {
	short := dst[start:]
	switch {
	case bytes.Equal(short, body(a)):
		return append(dst[:start], a...)
	case short[0] == KeyspaceRow:
		return append(dst, 0)
	}
	return dst
}

// appendBare appends a key as the engine orders it, without a version.
func appendBare(dst, key []byte) []byte {
	dst = append(dst, key...)
	if len(key) > 0 && key[0] == KeyspaceRow {
		dst = append(dst, 0)
	}
	return dst
}

// appendRow appends a row key with its version.
func appendRow(dst, key []byte, seq uint64) []byte {
	dst = append(append(dst, key...), 0)
	dst = binary.BigEndian.AppendUint64(dst, ^seq)
	return append(dst, versionLen)
}

// putRow writes the bytes of appendRow to dst, which has their length.
func putRow(dst, key []byte, seq uint64) {
	n := copy(dst, key)
	dst[n] = 0
	binary.BigEndian.PutUint64(dst[n+1:], ^seq)
	dst[n+rowTrailLen-1] = versionLen
}

// cutRow returns the caller's key and the version of a key of the engine.
func cutRow(key []byte) (bare []byte, seq uint64) {
	if len(key) == 0 || key[0] != KeyspaceRow {
		return key, 0
	}
	n := split(key)
	if n == len(key) {
		return key, 0
	}
	return key[: n-1 : n-1], ^binary.BigEndian.Uint64(key[n:])
}

// assertRow stops a caller who passes another key where a row key belongs.
func assertRow(key []byte) {
	fault.Assert(len(key) > 1 && key[0] == KeyspaceRow, "key %x is not of the row keyspace", key)
}

// assertPlain stops a caller who passes a row key without its version.
func assertPlain(key []byte) {
	if len(key) == 0 || key[0] == KeyspaceRow { // the arguments of an assertion would be allocated each time
		fault.Assert(false, "row key %x needs a version", key)
	}
}

// KeyspaceBounds returns the bounds of all keys of a keyspace.
func KeyspaceBounds(keyspace byte) (lower, upper []byte) {
	return []byte{keyspace}, []byte{keyspace + 1}
}

// PrefixEnd returns the least key above all that begin with prefix, or nil
// when there is none.
func PrefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := bytes.Clone(prefix[:i+1])
			end[i]++
			return end
		}
	}
	return nil
}
