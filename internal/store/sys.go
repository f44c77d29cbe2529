package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"kalamdb/internal/fault"
	"kalamdb/internal/store/internal/engine"
)

// The names of the sys entries. They stand in files: docs/format/keyspaces.md
// describes their values.
const (
	sysFormat       = "format"
	sysClean        = "clean"
	sysPosition     = "position"
	sysCeiling      = "ceiling"
	sysHistoryFloor = "history_floor"
	sysLostRanges   = "lost_ranges"
	sysNext         = "next/" // and the name of a Number
)

// rangesVersion begins the value of lost_ranges; rangesMax bounds the list.
const (
	rangesVersion = 1
	rangesMax     = 1 << 16
)

// A position holds its milliseconds since the epoch above these bits.
const positionClockShift = 22

// errSys is what a sys entry that cannot be read comes down to.
var errSys = errors.New("sys entry is damaged")

// PositionTime returns the moment that a position was given out.
func PositionTime(position uint64) time.Time {
	epoch := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	return epoch.Add(time.Duration(position>>positionClockShift) * time.Millisecond)
}

// Position returns the last position, zero when nothing was committed yet.
func Position(r Reader) (uint64, error) { return sysUintOr(r, sysPosition, 0) }

// SetPosition stores the last position.
func SetPosition(b *Batch, position uint64) { putUint(b.engine, sysPosition, position) }

// Ceiling returns the position below which relaxed commits may have been
// published, zero when there never were any.
func Ceiling(r Reader) (uint64, error) { return sysUintOr(r, sysCeiling, 0) }

// SetCeiling stores the ceiling.
func SetCeiling(b *Batch, position uint64) { putUint(b.engine, sysCeiling, position) }

// HistoryFloor returns the position below which changes cannot be replayed.
func HistoryFloor(r Reader) (uint64, error) { return sysUintOr(r, sysHistoryFloor, 0) }

// SetHistoryFloor stores the history floor.
func SetHistoryFloor(b *Batch, position uint64) { putUint(b.engine, sysHistoryFloor, position) }

// Number names a counter of identifiers that are never used twice.
type Number string

// The numbers that are given out.
const (
	NumberTable Number = "table"
	NumberIndex Number = "index"
	NumberFile  Number = "file"
	NumberAudit Number = "audit" // of the entry of the audit log that is written next
	OldestAudit Number = "audit_oldest"
)

// NextNumber returns the number to give out next; the first one is 1.
func NextNumber(r Reader, n Number) (uint64, error) { return sysUintOr(r, sysNext+string(n), 1) }

// SetNextNumber stores the number to give out next.
func SetNextNumber(b *Batch, n Number, next uint64) { putUint(b.engine, sysNext+string(n), next) }

// Range is the positions p with From < p <= To.
type Range struct {
	// From lies before the first position of the range.
	From uint64
	// To is the last one.
	To uint64
}

// Contains reports whether the range holds a position.
func (r Range) Contains(position uint64) bool { return r.From < position && position <= r.To }

// LostRanges returns the positions that readers may have seen and that crashes
// have taken back, oldest first.
func LostRanges(r Reader) ([]Range, error) {
	value, ok, err := engine.SysGet(r, sysLostRanges)
	if err != nil || !ok {
		return nil, err
	}
	ranges, ok := decodeRanges(value)
	if !ok {
		return nil, fmt.Errorf("read %s: %w", sysLostRanges, errSys)
	}
	return ranges, nil
}

// SetLostRanges stores the lost ranges, of which there are less than 65,536.
func SetLostRanges(b *Batch, ranges []Range) {
	fault.Assert(len(ranges) < rangesMax, "%d lost ranges", len(ranges))
	if len(ranges) == 0 {
		engine.SysDelete(b.engine, sysLostRanges)
		return
	}
	value := []byte{rangesVersion}
	for _, r := range ranges {
		value = binary.BigEndian.AppendUint64(value, r.From)
		value = binary.BigEndian.AppendUint64(value, r.To)
	}
	engine.SysPut(b.engine, sysLostRanges, value)
}

func decodeRanges(value []byte) ([]Range, bool) {
	if len(value) == 0 || value[0] != rangesVersion || len(value)%16 != 1 || len(value) > 16*rangesMax {
		return nil, false
	}
	ranges := make([]Range, 0, len(value)/16)
	for rest := value[1:]; len(rest) > 0; rest = rest[16:] {
		ranges = append(ranges, Range{binary.BigEndian.Uint64(rest), binary.BigEndian.Uint64(rest[8:])})
	}
	return ranges, true
}

// sysUint reads an entry of eight bytes.
func sysUint(r Reader, name string) (value uint64, ok bool, err error) {
	raw, ok, err := engine.SysGet(r, name)
	if err != nil || !ok {
		return 0, false, err
	}
	if len(raw) != 8 {
		return 0, false, fmt.Errorf("read %s: %w", name, errSys)
	}
	return binary.BigEndian.Uint64(raw), true, nil
}

func sysUintOr(r Reader, name string, missing uint64) (uint64, error) {
	value, ok, err := sysUint(r, name)
	if err == nil && !ok {
		value = missing
	}
	return value, err
}

func putUint(b *engine.Batch, name string, value uint64) {
	engine.SysPut(b, name, binary.BigEndian.AppendUint64(nil, value))
}
