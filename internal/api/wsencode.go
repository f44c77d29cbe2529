package api

import (
	"strconv"

	"kalamdb/internal/core"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// Codes of WebSocket errors that no fault has.
const (
	socketAuthRequired  = "AUTH_REQUIRED"
	socketBadID         = "INVALID_SUBSCRIPTION_ID"
	socketBatchFailed   = "BATCH_FETCH_FAILED"
	socketTooLarge      = "MESSAGE_TOO_LARGE"
	socketRateLimit     = "RATE_LIMIT_EXCEEDED"
	socketBadData       = "UNSUPPORTED_DATA"
	socketInternalWords = "An internal error occurred"
)

// jsonFrames writes frames as JSON text; it is a core.LiveEncoder.
type jsonFrames struct{}

// JSONFrames returns the encoder of JSON frames, for who takes frames from the
// hub without a socket.
func JSONFrames() core.LiveEncoder { return jsonFrames{} }

// AppendAck appends a subscription_ack.
func (jsonFrames) AppendAck(dst []byte, a *core.LiveAck) []byte {
	dst = append(dst, `{"type":"subscription_ack","subscription_id":`...)
	dst = appendString(dst, a.ID)
	dst = append(dst, `,"total_rows":0,`...)
	dst = appendControl(dst, a.Control)
	dst = append(dst, `,"schema":`...)
	columns := make([]core.Column, len(a.Columns))
	for i, c := range a.Columns {
		columns[i] = core.Column(c)
	}
	dst = appendSchema(dst, columns)
	if a.Result {
		dst = append(dst, `,"result":true`...)
	}
	return append(dst, '}')
}

func appendControl(dst []byte, c core.LiveBatchControl) []byte {
	dst = append(dst, `"batch_control":{"batch_num":`...)
	dst = strconv.AppendUint(dst, uint64(c.Number), 10)
	dst = append(dst, `,"has_more":`...)
	dst = strconv.AppendBool(dst, c.HasMore)
	dst = append(dst, `,"status":"`...)
	dst = append(dst, c.Status...)
	dst = append(dst, `","last_seq_id":`...)
	if c.HasLast {
		dst = strconv.AppendUint(dst, c.LastSeq, 10)
	} else {
		dst = append(dst, "null"...)
	}
	return append(dst, '}')
}

// AppendRow appends a row as an object.
func (jsonFrames) AppendRow(dst []byte, r *core.LiveRow) ([]byte, error) {
	dst = append(dst, '{')
	for i, name := range r.Names {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, name)
		dst = append(dst, ':')
		var err error
		if dst, err = datum.AppendJSON(dst, r.Values[i]); err != nil {
			f := fault.Of(err)
			return dst, fault.Wrap(f.Code, err, "column %s: %s", name, f.Message)
		}
	}
	return append(dst, '}'), nil
}

// AppendBatch appends an initial_data_batch.
func (jsonFrames) AppendBatch(dst []byte, b *core.LiveBatch) []byte {
	dst = append(dst, `{"type":"initial_data_batch","subscription_id":`...)
	dst = appendString(dst, b.ID)
	dst = append(dst, `,"rows":[`...)
	start := 0
	for i, end := range b.Ends {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, b.Rows[start:end]...)
		start = end
	}
	dst = append(dst, `],`...)
	dst = appendControl(dst, b.Control)
	return append(dst, '}')
}

// AppendHead appends the beginning of a change.
func (jsonFrames) AppendHead(dst []byte, id string) []byte {
	dst = append(dst, `{"type":"change","subscription_id":`...)
	dst = appendString(dst, id)
	return append(dst, ',')
}

// AppendBody appends the rest of a change.
func (e jsonFrames) AppendBody(dst []byte, c *core.LiveChange) ([]byte, error) {
	dst = append(dst, `"change_type":"`...)
	dst = append(dst, c.Kind...)
	dst = append(dst, '"')
	var err error
	if c.Row != nil {
		dst = append(dst, `,"rows":[`...)
		if dst, err = e.AppendRow(dst, c.Row); err != nil {
			return dst, err
		}
		dst = append(dst, ']')
	}
	if c.Old != nil {
		dst = append(dst, `,"old_values":[`...)
		if dst, err = e.AppendRow(dst, c.Old); err != nil {
			return dst, err
		}
		dst = append(dst, ']')
	}
	return append(dst, '}'), nil
}

// AppendError appends the error of a subscription.
func (jsonFrames) AppendError(dst []byte, id string, err error) []byte {
	code, words := socketError(err)
	return appendSocketError(dst, id, code, words)
}

// AppendNotice appends a frame of an extension.
func (jsonFrames) AppendNotice(dst []byte, n *core.LiveNotice) []byte {
	dst = append(dst, `{"type":"`...)
	dst = append(dst, n.Kind...)
	dst = append(dst, '"')
	if n.ID != "" {
		dst = append(dst, `,"subscription_id":`...)
		dst = appendString(dst, n.ID)
	}
	dst = append(dst, `,"position":"`...)
	dst = strconv.AppendUint(dst, n.Position, 10)
	return append(dst, `"}`...)
}

func appendPresentAck(dst []byte, id string, seq uint64) []byte {
	dst = append(dst, `{"type":"present_ack","id":`...)
	dst = appendString(dst, id)
	dst = append(dst, `,"_seq":"`...)
	dst = strconv.AppendUint(dst, seq, 10)
	return append(dst, `"}`...)
}

func appendAbsentAck(dst []byte, id string, found bool) []byte {
	dst = append(dst, `{"type":"absent_ack","id":`...)
	dst = appendString(dst, id)
	dst = append(dst, `,"found":`...)
	dst = strconv.AppendBool(dst, found)
	return append(dst, '}')
}

func appendSocketError(dst []byte, id, code, words string) []byte {
	dst = append(dst, `{"type":"error","subscription_id":`...)
	dst = appendString(dst, id)
	dst = append(dst, `,"code":`...)
	dst = appendString(dst, code)
	dst = append(dst, `,"message":`...)
	dst = appendString(dst, words)
	return append(dst, '}')
}

// socketError words a fault for a WebSocket client. Its sentences speak of what
// the client itself has asked for, so all but internal ones are shown.
func socketError(err error) (code, words string) {
	f := fault.Of(err)
	w, known := wires[f.Code]
	switch {
	case !known || f.Code == fault.Internal:
		return socketFailed, socketInternalWords
	case f.Code == fault.TableNotFound:
		return w.socket, "Not found: " + f.Sentence()
	}
	return w.socket, f.Sentence()
}

// appendAuthSuccess appends the answer to a successful authentication.
func appendAuthSuccess(dst []byte, user, role string, compressed bool, wish *protocolWish) []byte {
	dst = append(dst, `{"type":"auth_success","user":`...)
	dst = appendString(dst, user)
	dst = append(dst, `,"role":`...)
	dst = appendString(dst, role)
	dst = append(dst, `,"protocol":{"serialization":"`...)
	if wish.packed() {
		dst = append(dst, serializationPack...)
	} else {
		dst = append(dst, serializationJSON...)
	}
	dst = append(dst, `","compression":"`...)
	if compressed {
		dst = append(dst, compressionGzip...)
	} else {
		dst = append(dst, compressionNone...)
	}
	dst = append(dst, '"')
	first := true
	for _, f := range [...]string{featureLagging, featureCommits} {
		if !wish.has(f) {
			continue
		}
		if first {
			dst = append(dst, `,"features":[`...)
		} else {
			dst = append(dst, ',')
		}
		first = false
		dst = appendString(dst, f)
	}
	if !first {
		dst = append(dst, ']')
	}
	return append(dst, "}}"...)
}

func appendAuthError(dst []byte, words string) []byte {
	dst = append(dst, `{"type":"auth_error","message":`...)
	dst = appendString(dst, words)
	return append(dst, '}')
}
