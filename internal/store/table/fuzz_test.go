package table

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"

	"kalamdb/internal/schema"
	"kalamdb/internal/store/internal/engine"
)

// FuzzValues reads any bytes as each kind of value that the room stores. A
// refusal is errValue; what is read is written to bytes that are read as the
// same, and parts are never longer than the whole.
func FuzzValues(f *testing.F) {
	const seq = 1 << 40
	f.Add(appendChgValue(nil, seq, chgEntry{op: Update, position: seq + 9, prev: seq - 5, key: []byte("k")}), uint64(seq))
	f.Add(appendEvent(nil, seq, event{kind: eventHidden, position: seq + 1, other: 7, body: []byte("row")}), uint64(seq))
	f.Add(appendLocValue(nil, schema.Location{File: 1, Row: 2, Seq: 3}), uint64(seq))
	f.Add(appendSegValue(nil, &schema.Segment{To: 9, MinSeq: 1, MaxSeq: 2, SchemaVersion: 3, MinKey: []byte("a"), MaxKey: []byte("bc")}), uint64(0))
	f.Add(engine.AppendDelta(nil, 1, 2, 3, 4, 5), uint64(0))
	f.Add([]byte{versionSeg, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0}, uint64(0))
	f.Add([]byte{versionSeg, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, uint64(0))
	if text, err := appendFileValue(nil, &schema.File{Number: 7, StorageID: "local", Path: "a/batch-7.parquet", Scope: "u", State: schema.FileLive, Rows: 3}); err == nil {
		f.Add(text, uint64(0))
	}
	f.Fuzz(func(t *testing.T, value []byte, seq uint64) {
		refused := func(err error) bool {
			if err != nil && !errors.Is(err, errValue) {
				t.Fatalf("%x: %v", value, err)
			}
			return err != nil
		}
		if _, body, err := cutRowValue(value); !refused(err) && len(body) != len(value)-1 {
			t.Fatalf("%x has the body %x", value, body)
		}
		_ = bodySchemaVersion(value)
		if e, err := decodeChg(seq, value); !refused(err) {
			again, err := decodeChg(seq, appendChgValue(nil, seq, e))
			if err != nil || !reflect.DeepEqual(again, e) || len(e.key) >= len(value) {
				t.Fatalf("%x is %+v, then %+v, %v", value, e, again, err)
			}
		}
		if e, err := decodeEvent(seq, value); !refused(err) {
			again, err := decodeEvent(seq, appendEvent(nil, seq, e))
			if err != nil || !reflect.DeepEqual(again, e) || len(e.body) >= len(value) {
				t.Fatalf("%x is %+v, then %+v, %v", value, e, again, err)
			}
		}
		if l, err := decodeLoc(value); !refused(err) {
			if again, err := decodeLoc(appendLocValue(nil, l)); err != nil || again != l {
				t.Fatalf("%x is %+v, then %+v, %v", value, l, again, err)
			}
		}
		checkSegAndFile(t, value)
		if c, err := decodeCounts(value); err == nil && len(value) == 0 && c != (schema.Counts{}) {
			t.Fatalf("no bytes count %+v", c)
		}
	})
}

// checkSegAndFile reads a value as a window and as a file.
func checkSegAndFile(t *testing.T, value []byte) {
	t.Helper()
	var s, twice schema.Segment
	if err := decodeSeg(value, &s); err == nil {
		if err := decodeSeg(appendSegValue(nil, &s), &twice); err != nil || !reflect.DeepEqual(s, twice) {
			t.Fatalf("%x is %+v, then %+v, %v", value, s, twice, err)
		}
		if len(s.MinKey)+len(s.MaxKey) > len(value) {
			t.Fatalf("%x has the keys %x and %x", value, s.MinKey, s.MaxKey)
		}
	} else if !errors.Is(err, errValue) {
		t.Fatalf("%x: %v", value, err)
	}
	var file, back schema.File
	if err := decodeFile(value, &file); err != nil {
		return
	}
	if len(file.Sources) == 0 {
		file.Sources = nil // an empty list is not written
	}
	text, err := appendFileValue(nil, &file)
	if err == nil {
		err = decodeFile(text, &back)
	}
	if err != nil || !reflect.DeepEqual(file, back) {
		t.Fatalf("%x is %+v, then %+v, %v", value, file, back, err)
	}
}

// FuzzKeys takes any bytes for keys, and builds keys of any parts: what is cut
// off is put together again as it was, and the order of scopes is that of their
// bytes.
func FuzzKeys(f *testing.F) {
	f.Add(appendOld(nil, 7, 3, "user", 9), "user", "user\x00", []byte("pk"))
	f.Add(appendChg(nil, 3, "a\x00b", 9), "", "\x00", []byte{0, scopeEnd})
	f.Add(appendScope(nil, "a\x00"), "a\x00\xff", "a\x00\x01", []byte{})
	f.Add([]byte{0}, "a\x00\xff", "a\x00\x01", []byte{0xff})
	f.Fuzz(func(t *testing.T, key []byte, one, two string, pk []byte) {
		if scope, rest, ok := cutScope(key); ok {
			if again := append(appendScope(nil, scope), rest...); !bytes.Equal(again, key) {
				t.Fatalf("%x is cut into %q and %x", key, scope, rest)
			}
		}
		if e, ok := cutOld(key); ok {
			again := appendOld(nil, e.window, e.table, e.scope, e.seq)
			if !bytes.Equal(again[1:], key[1:]) {
				t.Fatalf("%x is read as %+v", key, e)
			}
		}
		if id, ok := cutTable(key); ok && binary.BigEndian.Uint32(key[1:]) != uint32(id) {
			t.Fatalf("%x is of table %d", key, id)
		}
		a, b := schema.Scope(one), schema.Scope(two)
		x, y := appendPartition(nil, engine.KeyspaceRow, 1, a), appendPartition(nil, engine.KeyspaceRow, 1, b)
		if bytes.Compare(x, y) != compareTexts(one, two) {
			t.Fatalf("scopes %q and %q have the keys %x and %x", a, b, x, y)
		}
		if a != b && bytes.HasPrefix(append(y, pk...), x) {
			t.Fatalf("a key of scope %q lies in scope %q", b, a)
		}
		scope, rest, ok := cutScope(append(appendScope(nil, a), pk...))
		if !ok || scope != a || !bytes.Equal(rest, pk) {
			t.Fatalf("scope %q and %x are cut into %q and %x", a, pk, scope, rest)
		}
	})
}

func compareTexts(a, b string) int { return bytes.Compare([]byte(a), []byte(b)) }
