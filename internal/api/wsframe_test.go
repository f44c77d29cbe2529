package api

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"kalamdb/internal/testkit"
)

// clientFrame is a frame as a client sends it.
func clientFrame(final bool, op opcode, payload string) string {
	return string(testkit.AppendSocketFrame(nil, final, byte(op), []byte(payload)))
}

// TestFrames reads what clients may and may not send.
func TestFrames(t *testing.T) {
	const limit = 1000
	f := func(name, sent, want string) {
		t.Helper()
		r := newFrameReader(strings.NewReader(sent), limit)
		var got []string
		for {
			m, err := r.next()
			var bad *broken
			if errors.As(err, &bad) {
				got = append(got, "broken "+string(rune('0'+bad.code%10)))
				break
			}
			if err != nil {
				break
			}
			kind := map[opcode]string{opText: "text", opBinary: "binary", opPing: "ping", opPong: "pong", opClose: "close"}[m.op]
			got = append(got, kind+" "+string(m.data))
			if m.op == opClose {
				break
			}
		}
		if text := strings.Join(got, "; "); text != want {
			t.Errorf("%s: %q, want %q", name, text, want)
		}
	}
	f("nothing", "", "")
	f("text", clientFrame(true, opText, "hello"), "text hello")
	f("binary", clientFrame(true, opBinary, "\xff"), "binary \xff")
	f("two", clientFrame(true, opText, "a")+clientFrame(true, opText, "b"), "text a; text b")
	f("fragments", clientFrame(false, opText, "he")+clientFrame(false, 0, "l")+clientFrame(true, 0, "lo"), "text hello")
	f("ping inside", clientFrame(false, opText, "he")+clientFrame(true, opPing, "?")+clientFrame(true, 0, "llo"), "ping ?; text hello")
	f("largest", clientFrame(true, opText, strings.Repeat("x", limit)), "text "+strings.Repeat("x", limit))
	f("too large", clientFrame(true, opText, strings.Repeat("x", limit+1)), "broken 9")
	f("too large in parts", clientFrame(false, opText, strings.Repeat("x", limit))+clientFrame(true, 0, "x"), "broken 9")
	f("promises too much", "\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", "broken 9")
	f("negative length", "\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", "broken 2")
	f("unmasked", "\x81\x05hello", "broken 2")
	f("reserved bits", "\xc1\x85\x00\x00\x00\x00hello", "broken 2")
	f("reserved kind", clientFrame(true, 3, "x"), "broken 2")
	f("continues nothing", clientFrame(true, 0, "x"), "broken 2")
	f("begins twice", clientFrame(false, opText, "x")+clientFrame(true, opText, "y"), "broken 2")
	f("long ping", clientFrame(true, opPing, strings.Repeat("x", 126)), "broken 2")
	f("ping in parts", clientFrame(false, opPing, "x"), "broken 2")
	f("half a character", clientFrame(true, opText, "\xc3"), "broken 7")
	f("a character in two parts", clientFrame(false, opText, "\xc3")+clientFrame(true, 0, "\xa9"), "text é")
	f("close", clientFrame(true, opClose, "\x03\xe8bye"), "close \x03\xe8bye")
	f("close without code", clientFrame(true, opClose, ""), "close ")
	f("close with half a code", clientFrame(true, opClose, "\x03"), "broken 2")
	f("close with a bad code", clientFrame(true, opClose, "\x03\xed"), "broken 2")
	f("close with bad text", clientFrame(true, opClose, "\x03\xe8\xff"), "broken 2")
	f("cut off", clientFrame(true, opText, "hello")[:8], "")
}

// TestFrameMemory shows that a header alone makes nobody allocate what it
// promises, and that a large message is not kept.
func TestFrameMemory(t *testing.T) {
	r := newFrameReader(strings.NewReader("\x81\xff\x00\x00\x00\x00\x10\x00\x00\x00\x00\x00\x00\x00"), 1<<30)
	if _, err := r.next(); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	if cap(r.joined) > 4*readStep {
		t.Errorf("%d bytes were allocated for a promise", cap(r.joined))
	}
	r = newFrameReader(strings.NewReader(clientFrame(true, opText, strings.Repeat("x", 1<<20))+clientFrame(true, opText, "x")), 1<<20)
	for range 2 {
		if _, err := r.next(); err != nil {
			t.Fatal(err)
		}
	}
	if cap(r.joined) > 2*readStep {
		t.Errorf("%d bytes are kept after a large message", cap(r.joined))
	}
}

func TestServerFrames(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 65535, 65536, 100_000} {
		payload := bytes.Repeat([]byte("x"), n)
		b := appendFrame(nil, opText, payload[:n/2], payload[n/2:])
		got, err := readServerFrame(b)
		if err != nil || got.Kind != testkit.SocketText || !bytes.Equal(got.Payload, payload) {
			t.Errorf("%d bytes: %v, %d of kind %d", n, err, len(got.Payload), got.Kind)
		}
	}
	got, err := readServerFrame(appendClose(nil, closeInternal, strings.Repeat("é", 100)))
	if err != nil || got.Code != closeInternal || got.Reason != strings.Repeat("é", 61) {
		t.Errorf("%v, %d %q", err, got.Code, got.Reason)
	}
}

// FuzzMessage feeds a socket's reader with whatever a client may send, and the
// decoder with what comes out.
func FuzzMessage(f *testing.F) {
	for _, text := range []string{
		`{"type":"ping"}`,
		`{"type":"authenticate","method":"jwt","token":"x","protocol":{"serialization":"msgpack","compression":"none","features":["lagging"]}}`,
		`{"type":"subscribe","subscription":{"id":"a","sql":"SELECT * FROM app.t","options":{"batch_size":5,"last_rows":3,"from":"7310449231028224001","replay":"changes"}}}`,
		`{"type":"next_batch","subscription_id":"a","last_seq_id":18446744073709551615}`,
		`{"type":"unsubscribe","subscription_id":"a"}`,
		`{"type":"present","id":"p","table":"app.here","row":{"who":"alice","n":null}}`,
		`{"type":"absent","id":"p","table":"app.here","key":{"who":"alice"}}`,
	} {
		f.Add([]byte(clientFrame(true, opText, text)))
		f.Add([]byte(clientFrame(false, opText, text[:9]) + clientFrame(true, opPing, "?") + clientFrame(true, 0, text[9:])))
	}
	f.Add([]byte(clientFrame(true, opClose, "\x03\xe8")))
	f.Add([]byte("\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		const limit = 1 << 16
		r := newFrameReader(bytes.NewReader(sent), limit)
		for {
			m, err := r.next()
			if err != nil {
				break
			}
			if len(m.data) > limit || len(m.data) > len(sent) {
				t.Fatalf("a message of %d bytes out of %d", len(m.data), len(sent))
			}
			if m.op != opText {
				continue
			}
			msg, err := decodeMessage(m.data)
			if err != nil {
				continue
			}
			if o := msg.request.Options; o != nil && (o.BatchSize < 0 || o.LastRows < 0) {
				t.Fatalf("%+v", *o)
			}
		}
	})
}
