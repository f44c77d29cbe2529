package table

import (
	"bytes"
	"encoding/binary"

	"kalamdb/internal/schema"
	"kalamdb/internal/store/internal/engine"
)

// historyWindowMillis is the length of a window of history. It is part of keys.
const historyWindowMillis = 10_000

// A scope is written as its bytes, a zero byte among them as two, and ended by
// a zero byte and a one: self-delimiting, and in order.
const (
	scopeZero = 0xff // follows a zero byte of the scope
	scopeEnd  = 0x01 // follows the zero byte that ends it
)

// HistoryWindow returns the window of history that a position falls in.
func HistoryWindow(position uint64) uint64 {
	return uint64(schema.SeqMillis(position)-schema.SeqEpochMillis) / historyWindowMillis
}

// HistoryFloor returns the greatest position before a window of history: once
// the windows before it are forgotten, no older position can be replayed.
func HistoryFloor(window uint64) uint64 {
	start := schema.SeqFloor(int64(window*historyWindowMillis+schema.SeqEpochMillis) * 1000)
	if start == 0 {
		return 0
	}
	return start - 1
}

// streamWindows are the lengths of stream windows in seconds.
var streamWindows = [...]int64{1, 2, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 21600, 86400, 604800}

// StreamWindowSeconds returns the length of the windows of a STREAM table with
// a TTL: the shortest one of a fixed list with which a TTL has at most 16.
func StreamWindowSeconds(ttlSeconds int64) int64 {
	for _, length := range streamWindows {
		if length*16 >= ttlSeconds {
			return length
		}
	}
	return streamWindows[len(streamWindows)-1]
}

// streamWindow returns the window of a stream that an event falls in.
func streamWindow(t *schema.Table, seq uint64) uint32 {
	return uint32((schema.SeqMillis(seq) - schema.SeqEpochMillis) / (windowSeconds(t) * 1000))
}

// windowSeconds is how long the windows of a stream are.
func windowSeconds(t *schema.Table) int64 {
	if t.Options.StreamWindowSeconds > 0 {
		return t.Options.StreamWindowSeconds
	}
	return StreamWindowSeconds(t.Options.TTLSeconds)
}

func appendScope(dst []byte, scope schema.Scope) []byte {
	for i := range len(scope) {
		dst = append(dst, scope[i])
		if scope[i] == 0 {
			dst = append(dst, scopeZero)
		}
	}
	return append(dst, 0, scopeEnd)
}

// cutScope reads a scope and returns what follows it.
func cutScope(src []byte) (scope schema.Scope, rest []byte, ok bool) {
	end := bytes.IndexByte(src, 0)
	if end >= 0 && end+1 < len(src) && src[end+1] == scopeEnd {
		return schema.Scope(src[:end]), src[end+2:], true // the usual scope has no zero byte
	}
	var text []byte
	for i := 0; i+1 < len(src); i++ {
		switch {
		case src[i] != 0:
			text = append(text, src[i])
		case src[i+1] == scopeZero:
			text = append(text, 0)
			i++
		case src[i+1] == scopeEnd:
			return schema.Scope(text), src[i+2:], true
		default:
			return "", nil, false
		}
	}
	return "", nil, false
}

// appendTable begins a key: keyspace and table.
func appendTable(dst []byte, keyspace byte, id schema.TableID) []byte {
	return binary.BigEndian.AppendUint32(append(dst, keyspace), uint32(id))
}

// appendPartition begins a key: keyspace, table and scope.
func appendPartition(dst []byte, keyspace byte, id schema.TableID, scope schema.Scope) []byte {
	return appendScope(appendTable(dst, keyspace, id), scope)
}

// appendRow is row / table / scope / pk; the version is passed apart.
func appendRow(dst []byte, id schema.TableID, scope schema.Scope, key []byte) []byte {
	return append(appendPartition(dst, engine.KeyspaceRow, id, scope), key...)
}

// appendChg is chg / table / scope / seq.
func appendChg(dst []byte, id schema.TableID, scope schema.Scope, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(appendPartition(dst, engine.KeyspaceChg, id, scope), seq)
}

// appendOldWindow is old / window, the counters of a window and the beginning
// of its entries.
func appendOldWindow(dst []byte, window uint64) []byte {
	return binary.BigEndian.AppendUint32(append(dst, engine.KeyspaceOld), uint32(window))
}

// appendOld is old / window / table / scope / seq.
func appendOld(dst []byte, window uint64, id schema.TableID, scope schema.Scope, seq uint64) []byte {
	dst = binary.BigEndian.AppendUint32(appendOldWindow(dst, window), uint32(id))
	return binary.BigEndian.AppendUint64(appendScope(dst, scope), seq)
}

// appendStrScope is str / table / window / scope.
func appendStrScope(dst []byte, id schema.TableID, window uint32, scope schema.Scope) []byte {
	return appendScope(appendStrWindow(dst, id, window), scope)
}

// appendStrWindow is str / table / window.
func appendStrWindow(dst []byte, id schema.TableID, window uint32) []byte {
	return binary.BigEndian.AppendUint32(appendTable(dst, engine.KeyspaceStr, id), window)
}

// appendStr is str / table / window / scope / seq.
func appendStr(dst []byte, t *schema.Table, scope schema.Scope, seq uint64) []byte {
	dst = appendStrScope(dst, t.ID, streamWindow(t, seq), scope)
	return binary.BigEndian.AppendUint64(dst, seq)
}

// appendLoc is loc / table / scope / pk.
func appendLoc(dst []byte, id schema.TableID, scope schema.Scope, key []byte) []byte {
	return append(appendPartition(dst, engine.KeyspaceLoc, id, scope), key...)
}

// appendSeg is seg / table / scope / file.
func appendSeg(dst []byte, id schema.TableID, scope schema.Scope, file uint64) []byte {
	return binary.BigEndian.AppendUint64(appendPartition(dst, engine.KeyspaceSeg, id, scope), file)
}

// appendFile is file / number.
func appendFile(dst []byte, number uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, engine.KeyspaceFile), number)
}

// appendDelFile is del / file, the beginning of its marks.
func appendDelFile(dst []byte, file uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, engine.KeyspaceDel), file)
}

// appendDel is del / file / row number.
func appendDel(dst []byte, file, row uint64) []byte {
	return binary.BigEndian.AppendUint64(appendDelFile(dst, file), row)
}
