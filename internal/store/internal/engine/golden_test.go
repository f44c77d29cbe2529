package engine

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"
)

// TestGoldenBytes pins what stands in every file of the engine: its format, the
// names of comparer and merger, the keyspaces, row keys and counters. A change
// that shows here is a change of FORMAT, and of docs/format.
func TestGoldenBytes(t *testing.T) {
	f := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	f("format major version", fmt.Sprint(uint64(formatVersion)), "21")
	f("table format", fmt.Sprint(formatVersion.MaxTableFormat()), fmt.Sprint(pebble.FormatTableFormatV6.MaxTableFormat()))
	f("comparer", newComparer().Name, "kalamdb.v1")
	f("merger", newMerger().Name, "kalamdb.counters.v1")
	f("keyspaces", string([]byte{
		KeyspaceRow, KeyspaceChg, KeyspaceOld, KeyspaceStr, KeyspaceCnt, KeyspaceIdx, KeyspaceLoc, KeyspaceSeg,
		KeyspaceFile, KeyspaceDel, KeyspaceLog, KeyspaceSys, KeyspaceCat, KeyspaceTopic, KeyspaceRaft,
	}), "rcosnilgfdwyatx")
	f("a row key", fmt.Sprintf("%x", appendRow(nil, []byte("rk"), 0x0102030405060708)), "726b00fefdfcfbfaf9f8f709")
	f("a bare row key", fmt.Sprintf("%x", appendBare(nil, []byte("rk"))), "726b00")
	f("a bound of another keyspace", fmt.Sprintf("%x", appendBare(nil, []byte("ck"))), "636b")
	f("counters", fmt.Sprintf("%x", AppendDelta(nil, 1, -1, 300)), "010201d804")
}
