package ceiling

import (
	"encoding/binary"
	"fmt"
)

// PreambleBytes is the length of a Preamble on the wire.
const PreambleBytes = 12

const maxMessage = 16 << 20 // bytes of a request or a response

// Preamble is what a client of Echo and Synced says first on a connection: how
// long its requests are, how long the answers must be, and how many bytes of a
// request Synced keeps.
type Preamble struct {
	Request, Response, Kept uint32
}

// Append appends the bytes of p.
func (p Preamble) Append(buf []byte) []byte {
	buf = binary.LittleEndian.AppendUint32(buf, p.Request)
	buf = binary.LittleEndian.AppendUint32(buf, p.Response)
	return binary.LittleEndian.AppendUint32(buf, p.Kept)
}

func parsePreamble(b []byte) (Preamble, error) {
	p := Preamble{
		Request:  binary.LittleEndian.Uint32(b),
		Response: binary.LittleEndian.Uint32(b[4:]),
		Kept:     binary.LittleEndian.Uint32(b[8:]),
	}
	if p.Request == 0 || p.Request > maxMessage || p.Response > maxMessage || p.Kept > p.Request {
		return p, fmt.Errorf("preamble asks for %d, %d and %d bytes", p.Request, p.Response, p.Kept)
	}
	return p, nil
}

// Answer returns a response of HTTP of exactly size bytes, so that the load
// client parses it like any other.
func Answer(size int) ([]byte, error) {
	const head = "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
	for length := max(size-len(head)-8, 0); length <= size; length++ {
		text := fmt.Appendf(nil, head, length)
		if len(text)+length != size {
			continue
		}
		for range length {
			text = append(text, 'x')
		}
		return text, nil
	}
	return nil, fmt.Errorf("no response has %d bytes", size)
}
