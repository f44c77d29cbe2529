package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"kalamdb/internal/core"
	"kalamdb/internal/datum"
	"kalamdb/internal/fault"
)

// The types of messages that clients send.
const (
	typeAuthenticate = "authenticate"
	typeSubscribe    = "subscribe"
	typeNextBatch    = "next_batch"
	typeUnsubscribe  = "unsubscribe"
	typePing         = "ping"
	typePresent      = "present"
	typeAbsent       = "absent"
)

// Features that a client may name when it authenticates.
const (
	featureLagging = "lagging"
	featureCommits = "commits"
)

// clientMessage is one decoded message. Which fields count depends on the kind.
type clientMessage struct {
	kind     string
	method   string
	token    string
	wish     protocolWish
	request  core.LiveRequest
	refusal  error // why a subscription that could be read is not possible
	id       string
	last     uint64
	hasLast  bool
	present  core.PresentRow
	session  string
	protocol bool  // the message says how to talk
	size     int64 // what it counts for while it waits
}

// protocolWish is how a client wants to talk.
type protocolWish struct {
	Serialization string   `json:"serialization"`
	Compression   string   `json:"compression"`
	Features      []string `json:"features"`
}

// packed reports whether frames are to be MessagePack; whatever else is asked
// for, they are JSON.
func (p *protocolWish) packed() bool { return p.Serialization == serializationPack }

// has reports whether a feature was named.
func (p *protocolWish) has(feature string) bool {
	for _, f := range p.Features {
		if f == feature {
			return true
		}
	}
	return false
}

// rawMessage is a message as it stands on the wire. Unknown members are
// ignored.
type rawMessage struct {
	Type         *string       `json:"type"`
	Method       string        `json:"method"`
	Token        string        `json:"token"`
	Protocol     *protocolWish `json:"protocol"`
	Subscription *struct {
		ID      *string         `json:"id"`
		SQL     *string         `json:"sql"`
		Params  json.RawMessage `json:"params"`
		Options json.RawMessage `json:"options"`
	} `json:"subscription"`
	SubscriptionID *string         `json:"subscription_id"`
	LastSeqID      json.RawMessage `json:"last_seq_id"`
	ID             string          `json:"id"`
	Table          *string         `json:"table"`
	Row            json.RawMessage `json:"row"`
	Key            json.RawMessage `json:"key"`
	Session        string          `json:"session"`
}

// decodeMessage reads a text message. An error means that the client speaks
// another language.
func decodeMessage(data []byte) (clientMessage, error) {
	var raw rawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return clientMessage{}, plainJSON(err)
	}
	if loneSurrogate(data) {
		return clientMessage{}, errors.New(wordsLoneSurrogate)
	}
	if raw.Type == nil {
		return clientMessage{}, missing("type")
	}
	m := clientMessage{kind: *raw.Type}
	switch m.kind {
	case typeAuthenticate:
		m.method, m.token, m.session = raw.Method, raw.Token, raw.Session
		if len(m.session) > maxSession {
			return m, fmt.Errorf("session must be at most %d bytes", maxSession)
		}
		if raw.Protocol != nil {
			m.wish, m.protocol = *raw.Protocol, true
		}
		return m, nil
	case typeSubscribe:
		return m, m.subscription(&raw)
	case typeNextBatch, typeUnsubscribe:
		if raw.SubscriptionID == nil {
			return m, missing("subscription_id")
		}
		m.id = *raw.SubscriptionID
		var err error
		m.last, m.hasLast, err = position("last_seq_id", raw.LastSeqID)
		return m, err
	case typePresent:
		return m, m.presentRow(&raw, "row", raw.Row)
	case typeAbsent:
		return m, m.presentRow(&raw, "key", raw.Key)
	case typePing:
		return m, nil
	}
	return m, fmt.Errorf("unknown type %s", strconv.Quote(shorten(m.kind)))
}

func missing(name string) error { return fmt.Errorf("missing field `%s`", name) }

// plainJSON words a fault of the decoder without the names of our types.
func plainJSON(err error) error {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		where := kind.Field
		if where == "" {
			where = "the message"
		}
		return fmt.Errorf("%s must not be a JSON %s", where, kind.Value)
	}
	return err
}

// subscription reads the request of a subscribe.
func (m *clientMessage) subscription(raw *rawMessage) error {
	s := raw.Subscription
	switch {
	case s == nil:
		return missing("subscription")
	case s.ID == nil:
		return missing("subscription.id")
	case s.SQL == nil:
		return missing("subscription.sql")
	}
	m.request = core.LiveRequest{ID: *s.ID, SQL: *s.SQL}
	if m.request.Params, m.refusal = subscriptionParams(s.Params); m.refusal != nil || absent(s.Options) {
		return nil
	}
	var err error
	m.request.Options, m.refusal, err = snapshotOptions(s.Options)
	return err
}

// maxSession bounds the name of a session.
const maxSession = 64

// presentRow reads the columns of a present or an absent by name.
func (m *clientMessage) presentRow(raw *rawMessage, name string, columns json.RawMessage) error {
	switch {
	case raw.Table == nil:
		return missing("table")
	case absent(columns):
		return missing(name)
	case len(raw.ID) > maxSubscriptionID:
		return fmt.Errorf("id must be at most %d bytes", maxSubscriptionID)
	}
	m.id, m.present.Table = raw.ID, *raw.Table
	var members map[string]json.RawMessage
	if err := json.Unmarshal(columns, &members); err != nil {
		return fmt.Errorf("%s must be a JSON object", name)
	}
	m.present.Columns = slices.Sorted(maps.Keys(members))
	values := []byte{'['}
	for i, column := range m.present.Columns {
		if i > 0 {
			values = append(values, ',')
		}
		values = append(values, members[column]...)
	}
	m.present.Values, m.refusal = subscriptionParams(append(values, ']'))
	return nil
}

// subscriptionParams reads the values of $1, $2, … as those of a statement.
func subscriptionParams(raw json.RawMessage) ([]datum.Value, error) {
	if absent(raw) {
		return nil, nil
	}
	raw = bytes.TrimSpace(raw)
	if raw[0] != '[' {
		return nil, fault.New(fault.InvalidParameter, "Params must be a JSON array")
	}
	q := sqlRequest{rawParams: raw}
	err := q.convertParams()
	return q.params, err
}

// absent reports whether an optional member is not there, or null.
func absent(raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) == 0 || string(raw) == "null"
}

// snapshotOptions reads the options of a subscription.
func snapshotOptions(text json.RawMessage) (_ *core.LiveSnapshot, refusal, err error) {
	var raw struct {
		BatchSize *int64          `json:"batch_size"`
		LastRows  *uint32         `json:"last_rows"`
		From      json.RawMessage `json:"from"`
		FromSeqID json.RawMessage `json:"from_seq_id"`
		Replay    json.RawMessage `json:"replay"`
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, nil, plainJSON(err)
	}
	compact := new(bytes.Buffer)
	if err := json.Compact(compact, text); err != nil {
		return nil, nil, err
	}
	o := &core.LiveSnapshot{JSON: compact.String()}
	if raw.BatchSize != nil {
		if *raw.BatchSize < 0 {
			return nil, nil, errors.New("batch_size must not be negative")
		}
		o.BatchSize = int(min(*raw.BatchSize, math.MaxInt32))
	}
	if raw.LastRows != nil {
		o.LastRows, o.HasLastRows = int(*raw.LastRows), true
	}
	if absent(raw.From) {
		raw.From = raw.FromSeqID
	}
	if o.From, o.HasFrom, err = position("from", raw.From); err != nil {
		return nil, nil, err
	}
	o.Replay, refusal = replayOption(raw.Replay)
	return o, refusal, nil
}

// replayOption reads which form of resuming is wanted.
func replayOption(raw json.RawMessage) (bool, error) {
	if absent(raw) {
		return false, nil
	}
	switch string(bytes.TrimSpace(raw)) {
	case `"changes"`:
		return true, nil
	case `"difference"`, "false":
		return false, nil
	}
	return false, fault.New(fault.InvalidOperation, `replay must be "changes" or "difference"`)
}

// position reads a _seq: a number or a decimal string, in all its 64 bits.
func position(name string, raw json.RawMessage) (uint64, bool, error) {
	if absent(raw) {
		return 0, false, nil
	}
	digits := string(bytes.TrimSpace(raw))
	if n := len(digits); n > 1 && digits[0] == '"' && digits[n-1] == '"' {
		digits = digits[1 : n-1]
	}
	seq, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return 0, false, fmt.Errorf("%s must be a whole number or a decimal string", name)
	}
	return seq, true, nil
}
