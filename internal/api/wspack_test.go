package api

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/tinylib/msgp/msgp"

	"kalamdb/internal/core"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
	"kalamdb/internal/testkit"
)

// document is a JSON value with numbers, texts and depth.
func document(t *testing.T) datum.Value {
	t.Helper()
	v, err := datum.NewJSON(`{"a":[1,-2.5,1e300,"ü\"",null],"b":{}}`)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// everyFrame calls f with a frame of each kind, made by an encoder.
func everyFrame(t *testing.T, e core.LiveEncoder, f func(name string, frame core.LiveFrame)) {
	t.Helper()
	row := &core.LiveRow{Names: []string{"id", "n", "ok", "doc", "_seq"}, Values: []datum.Value{
		datum.NewInt(datum.BigInt, 1<<60), {}, datum.NewBool(true), document(t), datum.NewInt(datum.BigInt, 77),
	}}
	old := &core.LiveRow{Names: []string{"id"}, Values: []datum.Value{datum.NewInt(datum.Int, -5)}}
	control := core.LiveBatchControl{Number: 3, HasMore: true, Status: "loading", LastSeq: 1 << 63, HasLast: true}
	f("ack", core.LiveFrame{Kind: core.LiveReply, Body: e.AppendAck(nil, &core.LiveAck{ID: "a", Control: control})})
	batch := &core.LiveBatch{ID: "a", Control: control}
	for _, r := range []*core.LiveRow{row, old} {
		var err error
		if batch.Rows, err = e.AppendRow(batch.Rows, r); err != nil {
			t.Fatal(err)
		}
		batch.Ends = append(batch.Ends, len(batch.Rows))
	}
	f("batch", core.LiveFrame{Kind: core.LiveReply, Body: e.AppendBatch(nil, batch)})
	for name, c := range map[string]*core.LiveChange{
		"insert": {Kind: "insert", Row: row}, "update": {Kind: "update", Row: row, Old: old}, "delete": {Kind: "delete", Old: old},
	} {
		body, err := e.AppendBody(nil, c)
		if err != nil {
			t.Fatal(err)
		}
		f(name, core.LiveFrame{Kind: core.LiveChangeFrame, Head: e.AppendHead(nil, "a"), Body: body})
	}
	f("notice", core.LiveFrame{Kind: core.LiveReply, Body: e.AppendNotice(nil, &core.LiveNotice{Kind: "commit", Position: 9})})
	f("error", core.LiveFrame{Kind: core.LiveError, Body: e.AppendError(nil, "a", fault.New(fault.InvalidInput, "no"))})
}

// TestPackedFrames compares packed frames with those of JSON, and their bytes
// with what clients have been given before.
func TestPackedFrames(t *testing.T) {
	texts := make(map[string]string)
	everyFrame(t, jsonFrames{}, func(name string, f core.LiveFrame) { texts[name] = string(f.Head) + string(f.Body) })
	got := make(map[string][]byte)
	everyFrame(t, packedFrames{}, func(name string, f core.LiveFrame) {
		op, parts := frameParts(&f)
		data := bytes.Join(parts[:], nil)
		if len(data) != f.Len() {
			t.Errorf("%s: parts have %d bytes, the frame %d", name, len(data), f.Len())
		}
		if name == "error" {
			if op != opText || string(data) != texts[name] {
				t.Errorf("an error is %v %s", op, data)
			}
			return
		}
		got[name] = data
		var back bytes.Buffer
		if rest, err := msgp.UnmarshalAsJSON(&back, data); err != nil || len(rest) > 0 || op != opBinary {
			t.Fatalf("%s: %v, %d bytes left, op %v", name, err, len(rest), op)
		}
		if !reflect.DeepEqual(decoded(t, back.String()), decoded(t, texts[name])) {
			t.Errorf("%s is\n%s, want\n%s", name, back.String(), texts[name])
		}
	})
	datadriven.RunTest(t, filepath.Join("testdata", "packed"), func(_ *testing.T, d *datadriven.TestData) string {
		return fmt.Sprintf("%x\n", got[d.Cmd])
	})
}

// decoded returns JSON as values, numbers as doubles.
func decoded(t *testing.T, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// TestPackedNumbers keeps integers whole and says what no double holds.
func TestPackedNumbers(t *testing.T) {
	for text, want := range map[string]any{
		"0": int64(0), "-9223372036854775808": int64(-1 << 63), "18446744073709551615": uint64(1<<64 - 1),
		"18446744073709551616": float64(1 << 64), "1.5": 1.5, "1e2": 100.0, "1e999": "1e999", "-0": negativeZero(),
	} {
		got, _, err := msgp.ReadIntfBytes(appendPackedNumber(nil, text))
		if err != nil || got != want {
			t.Errorf("%s became %T %v (%v), want %T %v", text, got, got, err, want, want)
		}
	}
}

func negativeZero() float64 {
	zero := 0.0
	return -zero
}

// packedMessage returns JSON as MessagePack.
func packedMessage(text string) []byte { return appendPacked(nil, []byte(text)) }

func zipped(data []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(data)
	_ = z.Close()
	return b.Bytes()
}

// TestPackedSocket speaks MessagePack with the server.
func TestPackedSocket(t *testing.T) {
	db := socketDB(t, nil)
	w := openSockets(t, db, nil)
	var packed hello
	packed.wish.Serialization = serializationPack
	packed.compressed = true
	packed.token = token(t, "alice", "user", nil)
	c, ended := w.dial(packed)
	m := w.expect(c, `{"type":"auth_success","user":"alice","role":"user","protocol":{"serialization":"msgpack","compression":"gzip"}}`)
	if m.Kind != testkit.SocketText {
		t.Errorf("the welcome has kind %d", m.Kind)
	}
	send := func(data []byte) {
		t.Helper()
		if err := c.Frame(true, testkit.SocketBinary, data); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want string) {
		t.Helper()
		m, err := c.Receive()
		if err != nil || m.Kind != testkit.SocketBinary {
			t.Fatalf("received kind %d (%v), %.200q", m.Kind, err, m.Payload)
		}
		text, err := unpacked(m.Payload, 1<<20)
		if err != nil || !strings.HasPrefix(string(text), want) {
			t.Fatalf("received %.300s (%v), want %s", text, err, want)
		}
	}
	send(packedMessage(`{"type":"subscribe","subscription":{"id":"s","sql":"SELECT * FROM app.note WHERE id < $1","params":[100],"options":{}}}`))
	expect(`{"type":"subscription_ack","subscription_id":"s","total_rows":0,`)
	expect(`{"type":"initial_data_batch","subscription_id":"s","rows":[]`)
	execute(t, db, "alice", `INSERT INTO app.note (id, body) VALUES (1, 'ü')`)
	expect(`{"type":"change","subscription_id":"s","change_type":"insert","rows":[{"id":"1","body":"ü",`)
	execute(t, db, "alice", `UPDATE app.note SET body = repeat('x', 100000) WHERE id = 1`)
	expect(`{"type":"change","subscription_id":"s","change_type":"update","rows":[{"_seq":"`)

	// What cannot be read is told, and the connection goes on.
	for _, bad := range [][]byte{
		{}, {0xc1}, {0xdf, 0xff, 0xff, 0xff, 0xff}, append(packedMessage(`{"type":"ping"}`), 1), {0x1f, 0x8b, 0}, zipped([]byte{0xc1}),
		zipped(bytes.Repeat([]byte{0}, 2<<20)), {0x81, 0xa4, 't', 'y', 'p', 'e', 0xa2, 0xff, 0xfe},
	} {
		send(bad)
		w.expect(c, `{"type":"error","subscription_id":"protocol","code":"UNSUPPORTED_DATA","message":"Invalid MessagePack: `)
	}
	send(zipped(packedMessage(`{"type":"unsubscribe","subscription_id":"s"}`)))
	w.send(c, `{"type":"subscribe","subscription":{"id":"t","sql":"SELECT id FROM app.note"}}`) // text is taken too
	expect(`{"type":"subscription_ack","subscription_id":"t"`)
	w.send(c, `{"type":"subscribe","subscription":{"id":"u","sql":"SELECT id FROM app.nothing"}}`)
	w.expect(c, `{"type":"error","subscription_id":"u","code":"NOT_FOUND"`)
	send(packedMessage(`{"type":"nonsense"}`))
	w.expect(c, "close 1011 Invalid message: unknown type")
	_ = c.Close()
	<-ended
}

// TestPackedIsOneOfTwo lets a client of each kind watch the same rows: they
// share all but the bytes of frames.
func TestPackedIsOneOfTwo(t *testing.T) {
	db := socketDB(t, nil)
	w := openSockets(t, db, nil)
	plain, plainEnded := w.alice(hello{})
	var h hello
	h.wish.Serialization = serializationPack
	h.token = token(t, "alice", "user", nil)
	packed, packedEnded := w.dial(h)
	w.expect(packed, `{"type":"auth_success"`)
	for _, c := range []*testkit.Socket{plain, packed} {
		w.send(c, `{"type":"subscribe","subscription":{"id":"s","sql":"SELECT body FROM app.note"}}`)
	}
	w.expect(plain, `{"type":"subscription_ack"`)
	if _, err := packed.Receive(); err != nil {
		t.Fatal(err)
	}
	execute(t, db, "alice", `INSERT INTO app.note (id, body) VALUES (1, 'one')`)
	text := w.expect(plain, `{"type":"change","subscription_id":"s","change_type":"insert"`)
	m, err := packed.Receive()
	if err != nil {
		t.Fatal(err)
	}
	back, err := unpacked(m.Payload, 1<<20)
	if err != nil || !reflect.DeepEqual(decoded(t, string(back)), decoded(t, string(text.Payload))) {
		t.Errorf("one got %s, the other %s (%v)", text.Payload, back, err)
	}
	for c, ended := range map[*testkit.Socket]chan struct{}{plain: plainEnded, packed: packedEnded} {
		_ = c.Close()
		<-ended
	}
}

// FuzzUnpacked reads binary messages: an error, or JSON that the next reader may
// refuse, never a panic, and not more than the limit allows.
func FuzzUnpacked(f *testing.F) {
	f.Add(packedMessage(`{"type":"subscribe","subscription":{"id":"s","sql":"SELECT 1","params":[1,"a",null,1.5,{"k":[]}]}}`))
	f.Add(zipped(packedMessage(`{"type":"ping"}`)))
	f.Add([]byte{0xc7, 0x00, 0x05})
	f.Add(bytes.Repeat([]byte{0x91}, 20000))
	f.Fuzz(func(t *testing.T, data []byte) {
		const limit = 1 << 16
		if len(data) > limit {
			return
		}
		text, err := unpacked(data, limit)
		if err != nil {
			return
		}
		if len(text) > 8*limit {
			t.Errorf("%d bytes became %d", len(data), len(text))
		}
		var bad *json.SyntaxError
		if _, err := decodeMessage(text); err != nil && errors.As(err, &bad) && len(text) == 0 {
			t.Errorf("nothing was taken as a message")
		}
	})
}
