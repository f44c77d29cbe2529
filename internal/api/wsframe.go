package api

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"unicode/utf8"

	"github.com/gobwas/ws"
)

// This file is the only one that knows the WebSocket library.

// opcode is the kind of a frame of the protocol.
type opcode byte

// The kinds that a reader reports and a writer writes.
const (
	opText   = opcode(ws.OpText)
	opBinary = opcode(ws.OpBinary)
	opClose  = opcode(ws.OpClose)
	opPing   = opcode(ws.OpPing)
	opPong   = opcode(ws.OpPong)
)

// Close codes.
const (
	closeNormal     = uint16(ws.StatusNormalClosure)
	closeGoingAway  = uint16(ws.StatusGoingAway)
	closeProtocol   = uint16(ws.StatusProtocolError)
	closeUTF8       = uint16(ws.StatusInvalidFramePayloadData)
	closePolicy     = uint16(ws.StatusPolicyViolation)
	closeTooBig     = uint16(ws.StatusMessageTooBig)
	closeInternal   = uint16(ws.StatusInternalServerError)
	maxCloseReason  = 123 // bytes of the reason in a close frame
	readStep        = 16 << 10
	smallRead       = 256      // bytes that a waiting reader keeps room for
	keptMessage     = 16 << 10 // a reader keeps that much memory between messages
	maxHeader       = 10       // bytes of a server's frame header
	controlPayload  = 125
	firstByteFinal  = 0x80
	length16        = 126
	length64        = 127
	largestLength16 = 1<<16 - 1
)

// message is what a client has sent: a whole message, or a control frame. data
// is valid until the next read.
type message struct {
	op   opcode
	data []byte
	code uint16 // of a close frame; 0 when it carries none
}

// broken says that a client did not keep to the protocol: how to close, and
// whether the message was too large.
type broken struct {
	code     uint16
	reason   string
	tooLarge bool
}

// Error returns the reason.
func (b *broken) Error() string { return "websocket: " + b.reason }

// frameReader reads what a client sends. It joins fragments, takes off masks
// and refuses what the protocol forbids. Between messages it may rest, and has
// no buffer then.
type frameReader struct {
	from   io.Reader
	ahead  []byte      // what was read before, and comes first
	r      *readBuffer // nil while it rests
	max    int64       // bytes of a message
	state  ws.State
	op     ws.OpCode // of the message that is being joined
	joined []byte
}

// readBuffer is what reading takes beside the message.
type readBuffer struct {
	*bufio.Reader
	control [controlPayload]byte
	scratch [ws.MaxHeaderSize]byte
}

var readBuffers = sync.Pool{New: func() any { return &readBuffer{Reader: bufio.NewReaderSize(nil, smallRead)} }}

func newFrameReader(r io.Reader, limit int64) *frameReader {
	return &frameReader{from: r, max: limit, state: ws.StateServerSide}
}

// rest gives the buffer back, unless something is left to be read from it, and
// reports whether it did.
func (f *frameReader) rest() bool {
	switch {
	case len(f.ahead) > 0:
		return false
	case f.r == nil:
		return true
	case f.r.Buffered() > 0:
		return false
	}
	f.r.Reset(nil)
	readBuffers.Put(f.r)
	f.r = nil
	if !f.state.Fragmented() {
		f.joined = nil
	}
	return true
}

// source is what a frameReader reads from.
type source frameReader

// Read returns what was read ahead, then what comes.
func (f *source) Read(p []byte) (int, error) {
	if len(f.ahead) == 0 {
		return f.from.Read(p)
	}
	n := copy(p, f.ahead)
	if f.ahead = f.ahead[n:]; len(f.ahead) == 0 {
		f.ahead = nil
	}
	return n, nil
}

// next returns the next message or control frame. A *broken error tells how to
// close; any other error comes from the connection.
func (f *frameReader) next() (message, error) {
	if f.r == nil {
		f.r = readBuffers.Get().(*readBuffer)
		f.r.Reset((*source)(f))
	}
	for {
		h, err := ws.ReadHeaderBuffer(f.r, f.r.scratch[:])
		if err != nil {
			if errors.Is(err, ws.ErrHeaderLengthMSB) || errors.Is(err, ws.ErrHeaderLengthUnexpected) {
				return message{}, &broken{code: closeProtocol, reason: "a frame has a malformed length"}
			}
			return message{}, err
		}
		if err := ws.CheckHeader(h, f.state); err != nil {
			return message{}, &broken{code: closeProtocol, reason: err.Error()}
		}
		if h.OpCode.IsControl() {
			return f.readControl(h)
		}
		if h.OpCode != ws.OpContinuation {
			f.op = h.OpCode
			f.reset()
		}
		if err := f.join(h); err != nil {
			return message{}, err
		}
		if !h.Fin {
			f.state = f.state.Set(ws.StateFragmented)
			continue
		}
		f.state = f.state.Clear(ws.StateFragmented)
		if f.op == ws.OpText && !utf8.Valid(f.joined) {
			return message{}, &broken{code: closeUTF8, reason: "a text message is not UTF-8"}
		}
		return message{op: opcode(f.op), data: f.joined}, nil
	}
}

// reset empties the memory of messages, and gives up what a large one took.
func (f *frameReader) reset() {
	if cap(f.joined) > keptMessage {
		f.joined = nil
	}
	f.joined = f.joined[:0]
}

// join reads the payload of a data frame behind what has come of its message.
// Memory grows with what has arrived, not with what the header promises.
func (f *frameReader) join(h ws.Header) error {
	if h.Length > f.max-int64(len(f.joined)) {
		return &broken{code: closeTooBig, reason: "Message too large", tooLarge: true}
	}
	for offset := 0; int64(offset) < h.Length; {
		n := int(min(h.Length-int64(offset), readStep))
		start := len(f.joined)
		f.joined = append(f.joined, make([]byte, n)...)
		part := f.joined[start:]
		if _, err := io.ReadFull(f.r, part); err != nil {
			return err
		}
		ws.Cipher(part, h.Mask, offset)
		offset += n
	}
	return nil
}

// readControl reads a ping, pong or close.
func (f *frameReader) readControl(h ws.Header) (message, error) {
	data := f.r.control[:h.Length]
	if _, err := io.ReadFull(f.r, data); err != nil {
		return message{}, err
	}
	ws.Cipher(data, h.Mask, 0)
	m := message{op: opcode(h.OpCode), data: data}
	if m.op != opClose || len(data) == 0 {
		return m, nil
	}
	if len(data) == 1 {
		return m, &broken{code: closeProtocol, reason: "a close frame has half a code"}
	}
	code, reason := ws.ParseCloseFrameData(data)
	if err := ws.CheckCloseFrameData(code, reason); err != nil {
		return m, &broken{code: closeProtocol, reason: err.Error()}
	}
	m.code = uint16(code)
	return m, nil
}

// appendFrameHeader appends the header of an unfragmented server frame.
func appendFrameHeader(dst []byte, op opcode, length int) []byte {
	dst = append(dst, firstByteFinal|byte(op))
	switch {
	case length < length16:
		return append(dst, byte(length))
	case length <= largestLength16:
		dst = append(dst, length16)
		return binary.BigEndian.AppendUint16(dst, uint16(length))
	}
	dst = append(dst, length64)
	return binary.BigEndian.AppendUint64(dst, uint64(length))
}

// appendFrame appends a whole frame.
func appendFrame(dst []byte, op opcode, payload ...[]byte) []byte {
	length := 0
	for _, p := range payload {
		length += len(p)
	}
	dst = appendFrameHeader(dst, op, length)
	for _, p := range payload {
		dst = append(dst, p...)
	}
	return dst
}

// appendClose appends a close frame. Reasons are cut at a character.
func appendClose(dst []byte, code uint16, reason string) []byte {
	if code == 0 {
		return appendFrame(dst, opClose)
	}
	if len(reason) > maxCloseReason {
		reason = reason[:maxCloseReason]
		for !utf8.ValidString(reason) {
			reason = reason[:len(reason)-1]
		}
	}
	return appendFrame(dst, opClose, []byte{byte(code >> 8), byte(code)}, []byte(reason))
}
