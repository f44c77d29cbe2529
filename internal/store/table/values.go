package table

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"kalamdb/internal/schema"
)

// The first byte of a row's value. The numbers are stored.
const (
	rowLive  byte = 1 // the bytes of schema.Table.AppendRow follow
	rowDead  byte = 2 // a tombstone: the values that it hides follow
	rowMoved byte = 3 // nothing follows: the row is where loc says
)

// The first byte of an event of a stream. The numbers are stored.
const (
	eventLive   byte = 1 // commit position; the row
	eventDelete byte = 2 // commit position, seq of the event that it hides; that row
	eventHidden byte = 3 // commit position, seq of the delete record; the row
	eventCut    byte = 4 // nothing follows: this event and all before it were cut off
)

// versionSeg begins the value of a segment, versionFile that of a file.
const (
	versionSeg  = 1
	versionFile = 1
)

var errValue = errors.New("the stored value is damaged")

// Op is what happened to a row. The numbers are stored, and are those of
// command.Op.
type Op uint8

// The operations on rows.
const (
	Insert Op = 1
	Update Op = 2
	Delete Op = 3
)

// String returns the operation in lower case.
func (o Op) String() string {
	switch o {
	case Insert:
		return "insert"
	case Update:
		return "update"
	case Delete:
		return "delete"
	}
	return "unknown"
}

// cutRowValue splits a row's value.
func cutRowValue(value []byte) (kind byte, body []byte, err error) {
	if len(value) == 0 || value[0] < rowLive || value[0] > rowMoved {
		return 0, nil, fmt.Errorf("read row: %w", errValue)
	}
	return value[0], value[1:], nil
}

// bodySchemaVersion returns the table version that wrote the bytes of a row.
func bodySchemaVersion(body []byte) uint32 {
	if len(body) < 2 {
		return 0
	}
	version, n := binary.Uvarint(body[1:])
	if n <= 0 {
		return 0
	}
	return uint32(version)
}

// chgEntry is the value of a chg entry: what its commit did to the row.
type chgEntry struct {
	op       Op
	position uint64 // of the commit
	prev     uint64 // version that was superseded, 0 for an insert
	key      []byte
}

// appendChgValue encodes an entry of a version: positions lie close above it
// and are written as distances.
func appendChgValue(dst []byte, seq uint64, e chgEntry) []byte {
	dst = append(dst, byte(e.op))
	dst = binary.AppendUvarint(dst, e.position-seq)
	distance := uint64(0)
	if e.prev != 0 {
		distance = seq - e.prev
	}
	dst = binary.AppendUvarint(dst, distance)
	return append(dst, e.key...)
}

func decodeChg(seq uint64, value []byte) (e chgEntry, err error) {
	if len(value) == 0 || Op(value[0]) < Insert || Op(value[0]) > Delete {
		return e, fmt.Errorf("read change: %w", errValue)
	}
	e.op = Op(value[0])
	numbers, rest, ok := cutNumbers(value[1:], 2)
	if !ok {
		return e, fmt.Errorf("read change: %w", errValue)
	}
	e.position, e.key = seq+numbers[0], rest
	if numbers[1] != 0 {
		e.prev = seq - numbers[1]
	}
	return e, nil
}

// event is the value of a stream's entry.
type event struct {
	kind     byte
	position uint64 // of the commit
	other    uint64 // eventDelete: what it hides; eventHidden: what hides it
	body     []byte
}

func appendEvent(dst []byte, seq uint64, e event) []byte {
	dst = append(dst, e.kind)
	dst = binary.AppendUvarint(dst, e.position-seq)
	if e.kind != eventLive {
		dst = binary.AppendUvarint(dst, e.other)
	}
	return append(dst, e.body...)
}

func decodeEvent(seq uint64, value []byte) (e event, err error) {
	if len(value) == 0 || value[0] < eventLive || value[0] > eventCut {
		return e, fmt.Errorf("read event: %w", errValue)
	}
	if e.kind = value[0]; e.kind == eventCut {
		return event{kind: eventCut, position: seq}, nil
	}
	count := 2
	if e.kind == eventLive {
		count = 1
	}
	numbers, rest, ok := cutNumbers(value[1:], count)
	if !ok {
		return e, fmt.Errorf("read event: %w", errValue)
	}
	e.position, e.other, e.body = seq+numbers[0], numbers[1], rest
	return e, nil
}

func appendLocValue(dst []byte, l schema.Location) []byte {
	dst = binary.AppendUvarint(dst, l.File)
	dst = binary.AppendUvarint(dst, l.Row)
	return binary.AppendUvarint(dst, l.Seq)
}

func decodeLoc(value []byte) (schema.Location, error) {
	numbers, rest, ok := cutNumbers(value, 3)
	if !ok || len(rest) > 0 {
		return schema.Location{}, fmt.Errorf("read place: %w", errValue)
	}
	return schema.Location{File: numbers[0], Row: numbers[1], Seq: numbers[2]}, nil
}

func appendSegValue(dst []byte, s *schema.Segment) []byte {
	dst = append(dst, versionSeg)
	for _, n := range [...]uint64{s.From, s.To, s.MinSeq, s.MaxSeq, uint64(s.SchemaVersion), uint64(len(s.MinKey))} {
		dst = binary.AppendUvarint(dst, n)
	}
	return append(append(dst, s.MinKey...), s.MaxKey...)
}

// decodeSeg fills all of a segment but its key: table, scope and file.
func decodeSeg(value []byte, s *schema.Segment) error {
	if len(value) == 0 || value[0] != versionSeg {
		return fmt.Errorf("read window: %w", errValue)
	}
	n, rest, ok := cutNumbers(value[1:], 6)
	if !ok || n[4] > 1<<32-1 || n[5] > uint64(len(rest)) {
		return fmt.Errorf("read window: %w", errValue)
	}
	s.From, s.To, s.MinSeq, s.MaxSeq, s.SchemaVersion = n[0], n[1], n[2], n[3], uint32(n[4])
	s.MinKey, s.MaxKey = append([]byte(nil), rest[:n[5]]...), append([]byte(nil), rest[n[5]:]...)
	return nil
}

func appendFileValue(dst []byte, f *schema.File) ([]byte, error) {
	text, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("encode file %d: %w", f.Number, err)
	}
	return append(append(dst, versionFile), text...), nil
}

func decodeFile(value []byte, f *schema.File) error {
	if len(value) == 0 || value[0] != versionFile {
		return fmt.Errorf("read file: %w", errValue)
	}
	if err := json.Unmarshal(value[1:], f); err != nil {
		return fmt.Errorf("read file: %w", err)
	}
	return nil
}

// cutNumbers reads up to six varints.
func cutNumbers(src []byte, count int) (numbers [6]uint64, rest []byte, ok bool) {
	for i := range count {
		n, size := binary.Uvarint(src)
		if size <= 0 {
			return numbers, nil, false
		}
		numbers[i], src = n, src[size:]
	}
	return numbers, src, true
}
