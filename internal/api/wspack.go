package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/tinylib/msgp/msgp"

	"kalamdb/internal/core"
)

// This file is the only one that knows the MessagePack library.

// Values of the protocol's serialization.
const (
	serializationJSON = "json"
	serializationPack = "msgpack"
)

// packedFrames writes frames as MessagePack: maps with the names and values that
// jsonFrames gives. Errors stay JSON. It is a core.LiveEncoder.
//
// A map says first how many members it has, which the head of a change cannot
// know. So the body of a change begins with the byte that says it, and
// frameParts puts the head behind that.
type packedFrames struct{}

// AppendAck appends a subscription_ack.
func (packedFrames) AppendAck(dst []byte, a *core.LiveAck) []byte {
	return appendPacked(dst, jsonFrames{}.AppendAck(nil, a))
}

// AppendRow appends a row as a map.
func (packedFrames) AppendRow(dst []byte, r *core.LiveRow) ([]byte, error) {
	text, err := jsonFrames{}.AppendRow(nil, r)
	if err != nil {
		return dst, err
	}
	return appendPacked(dst, text), nil
}

// AppendBatch appends an initial_data_batch.
func (packedFrames) AppendBatch(dst []byte, b *core.LiveBatch) []byte {
	dst = msgp.AppendMapHeader(dst, 4)
	dst = appendPackedPair(dst, "type", "initial_data_batch")
	dst = appendPackedPair(dst, "subscription_id", b.ID)
	dst = msgp.AppendString(dst, "rows")
	dst = msgp.AppendArrayHeader(dst, uint32(len(b.Ends)))
	dst = append(dst, b.Rows...)
	dst = msgp.AppendString(dst, "batch_control")
	control := appendControl(nil, b.Control)
	return appendPacked(dst, control[bytes.IndexByte(control, '{'):])
}

// AppendHead appends what all changes of a subscription have; see packedFrames.
func (packedFrames) AppendHead(dst []byte, id string) []byte {
	dst = appendPackedPair(dst, "type", "change")
	return appendPackedPair(dst, "subscription_id", id)
}

// AppendBody appends the rest of a change.
func (e packedFrames) AppendBody(dst []byte, c *core.LiveChange) ([]byte, error) {
	members := uint32(3)
	for _, r := range [...]*core.LiveRow{c.Row, c.Old} {
		if r != nil {
			members++
		}
	}
	dst = msgp.AppendMapHeader(dst, members)
	dst = appendPackedPair(dst, "change_type", string(c.Kind))
	for _, part := range [...]struct {
		name string
		row  *core.LiveRow
	}{{"rows", c.Row}, {"old_values", c.Old}} {
		if part.row == nil {
			continue
		}
		dst = msgp.AppendString(dst, part.name)
		dst = msgp.AppendArrayHeader(dst, 1)
		var err error
		if dst, err = e.AppendRow(dst, part.row); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// AppendError appends the error of a subscription, as JSON.
func (packedFrames) AppendError(dst []byte, id string, err error) []byte {
	return jsonFrames{}.AppendError(dst, id, err)
}

// AppendNotice appends a frame of an extension.
func (packedFrames) AppendNotice(dst []byte, n *core.LiveNotice) []byte {
	return appendPacked(dst, jsonFrames{}.AppendNotice(nil, n))
}

// isText reports whether the body of a frame is JSON, which begins with a brace
// or, behind a head, with a quote: what is packed begins with a map.
func isText(body []byte) bool { return len(body) == 0 || body[0] == '{' || body[0] == '"' }

// frameParts returns the bytes of a frame in their order, and how they are
// marked when they are not compressed.
func frameParts(f *core.LiveFrame) (op opcode, parts [3][]byte) {
	switch {
	case isText(f.Body):
		return opText, [3][]byte{f.Head, f.Body}
	case len(f.Head) == 0:
		return opBinary, [3][]byte{f.Body}
	}
	return opBinary, [3][]byte{f.Body[:1], f.Head, f.Body[1:]}
}

func appendPackedPair(dst []byte, name, value string) []byte {
	return msgp.AppendString(msgp.AppendString(dst, name), value)
}

// appendPacked appends a value that one of our own encoders has written as JSON.
func appendPacked(dst, text []byte) []byte {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return appendPackedNext(dst, d)
}

// appendPackedNext appends the next value of d. Depth is bounded by that of the
// values that the database takes.
func appendPackedNext(dst []byte, d *json.Decoder) []byte {
	token, err := d.Token()
	if err != nil {
		return msgp.AppendNil(dst) // our own JSON is well formed
	}
	switch v := token.(type) {
	case string:
		return msgp.AppendString(dst, v)
	case bool:
		return msgp.AppendBool(dst, v)
	case json.Number:
		return appendPackedNumber(dst, v.String())
	case json.Delim:
		var inner []byte
		n := uint32(0)
		for ; d.More(); n++ {
			if inner = appendPackedNext(inner, d); v == '{' {
				inner = appendPackedNext(inner, d)
			}
		}
		_, _ = d.Token() // the end of it
		if v == '{' {
			return append(msgp.AppendMapHeader(dst, n), inner...)
		}
		return append(msgp.AppendArrayHeader(dst, n), inner...)
	}
	return msgp.AppendNil(dst)
}

// appendPackedNumber appends a number: an integer of 64 bits as such, any other
// as the nearest double, and one that is beyond all doubles as a text.
func appendPackedNumber(dst []byte, text string) []byte {
	if !strings.ContainsAny(text, ".eE") {
		if i, err := strconv.ParseInt(text, 10, 64); err == nil && text != "-0" {
			return msgp.AppendInt64(dst, i)
		}
		if u, err := strconv.ParseUint(text, 10, 64); err == nil {
			return msgp.AppendUint64(dst, u)
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return msgp.AppendString(dst, text)
	}
	return msgp.AppendFloat64(dst, f)
}

// unpacked returns a binary message of a client as JSON: MessagePack, which may
// be compressed by gzip, of at most limit bytes.
func unpacked(data []byte, limit int64) ([]byte, error) {
	if len(data) > 1 && data[0] == 0x1f && data[1] == 0x8b {
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		if data, err = io.ReadAll(io.LimitReader(z, limit+1)); err != nil {
			return nil, err
		}
		if int64(len(data)) > limit {
			return nil, fmt.Errorf("more than %d bytes when inflated", limit)
		}
	}
	rest, err := msgp.Skip(data)
	switch {
	case err != nil:
		return nil, err
	case len(rest) > 0:
		return nil, fmt.Errorf("%d bytes behind the message", len(rest))
	}
	var text bytes.Buffer
	if _, err := msgp.UnmarshalAsJSON(&text, data); err != nil {
		return nil, err
	}
	if foreign := replacements(text.Bytes()) > replacements(data); foreign {
		return nil, errors.New("a text is not UTF-8")
	}
	return text.Bytes(), nil
}

// replacements counts the characters that stand for what is not UTF-8.
func replacements(data []byte) int {
	return bytes.Count(data, []byte("\ufffd")) + bytes.Count(data, []byte(`\ufffd`))
}
