package duck

import (
	"encoding/binary"
	"unsafe"

	"kalamdb/internal/datum"
)

// huge is HUGEINT, UUID and a wide DECIMAL in a vector.
type huge struct {
	lower uint64
	upper int64
}

// interval is INTERVAL in a vector.
type interval struct {
	months, days int32
	micros       int64
}

// text is VARCHAR and BLOB in a vector: up to 12 bytes stand in the cell itself,
// more behind a pointer that follows the first four.
type text struct {
	length uint32
	head   [4]byte
	tail   [8]byte
}

// textInline is the length up to which bytes stand in the cell.
const textInline = 12

// appendTo appends the bytes of the text.
func (t *text) appendTo(dst []byte) []byte {
	if t.length <= textInline {
		return append(dst, (*[4 + 4 + 8]byte)(unsafe.Pointer(t))[4:4+t.length]...)
	}
	from := *(*unsafe.Pointer)(unsafe.Pointer(&t.tail))
	return append(dst, unsafe.Slice((*byte)(from), t.length)...)
}

// DuckDB turns the highest bit of a UUID, so that signed order is its order.

func hugeOfUUID(v datum.Value) huge {
	u := v.UUID()
	return huge{binary.BigEndian.Uint64(u[8:]), int64(binary.BigEndian.Uint64(u[:8]) ^ 1<<63)}
}

func (h huge) uuid() datum.Value {
	var u [16]byte
	binary.BigEndian.PutUint64(u[:8], uint64(h.upper)^1<<63)
	binary.BigEndian.PutUint64(u[8:], h.lower)
	return datum.NewUUID(u)
}
