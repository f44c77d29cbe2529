package command

import (
	"errors"
	"fmt"

	"kalamdb/internal/schema"
)

// The first byte of an encoded command; docs/format/commands.md. A command with
// a trail has the second form.
const (
	codecVersion      = 1
	codecVersionTrail = 2
)

// MaxBytes is the greatest encoded command that Decode reads.
const MaxBytes = 512 << 20

// ErrMalformed is wrapped by every error of Decode.
var ErrMalformed = errors.New("malformed command")

// The kinds of bodies. The numbers are stored: they are never reused.
const (
	kindWrite         = 1
	kindPutNamespace  = 2
	kindDropNamespace = 3
	kindCreateTable   = 4
	kindAlterTable    = 5
	kindDropTable     = 6
	kindPutUser       = 7
	kindPutStorage    = 8
	kindDropStorage   = 9
	kindPutJob        = 10
	kindDropJobs      = 11
	kindFileBegin     = 12
	kindAdopt         = 13
	kindDropFiles     = 14
	kindForgetHistory = 15
	kindPurgeRows     = 16
	kindExpireStream  = 17
	kindRaiseCeiling  = 18
	kindLosePositions = 19
	kindDropWindows   = 20
	kindPutAudit      = 21
	kindMove          = 22
	kindAdoptPacked   = 23
	kindBeginBlobs    = 24
	kindDropBlobs     = 25
	kindEraseScope    = 26
	kindSwapBytes     = 27
	kindCutStream     = 28
)

// The durabilities as stored.
var durabilities = [...]schema.Durability{schema.DurabilityDefault, schema.Sync, schema.Relaxed}

// The bits of a row's first byte beside its Op.
const (
	rowOpMask    = 0x07
	rowSameScope = 0x10 // the scope of the row before
	rowHasOld    = 0x20
	rowFresh     = 0x40
)

// Append encodes c behind dst. Equal commands have equal bytes.
func Append(dst []byte, c *Command) ([]byte, error) {
	w := writer{b: dst}
	if c.Trail == nil {
		w.byte(codecVersion)
	} else {
		w.byte(codecVersionTrail)
	}
	at := len(w.b)
	w.byte(0) // the kind, known after the body
	w.varint(c.Time)
	w.durability(c.Durability)
	w.string(string(c.Actor))
	if c.Trail != nil {
		w.trail(c.Trail)
	}
	kind := w.body(Plain(c.Body))
	if w.err != nil {
		return dst, w.err
	}
	w.b[at] = kind
	return w.b, nil
}

// Decode reads one command that fills src. Keys and rows share src; hostile
// bytes give an error that wraps ErrMalformed.
func Decode(src []byte) (*Command, error) {
	if len(src) > MaxBytes {
		return nil, fmt.Errorf("%w: %d bytes are more than %d", ErrMalformed, len(src), MaxBytes)
	}
	r := reader{b: src}
	version := r.byte()
	if r.err == nil && version != codecVersion && version != codecVersionTrail {
		return nil, fmt.Errorf("%w: version %d is unknown", ErrMalformed, version)
	}
	kind := r.byte()
	c := &Command{Time: r.varint()}
	c.Durability = r.durability()
	c.Actor = schema.UserID(r.string())
	if version == codecVersionTrail {
		c.Trail = r.trail()
	}
	c.Body = r.body(kind)
	if r.err == nil && len(r.b) > 0 {
		r.fail("%d bytes follow the end", len(r.b))
	}
	if r.err != nil {
		return nil, r.err
	}
	return c, nil
}

// Plain returns a body as a value, whether it was given as one or as a pointer;
// only Write is returned as a pointer.
func Plain(b Body) Body {
	switch b := b.(type) {
	case Write:
		return &b
	case *PutNamespace:
		return *b
	case *DropNamespace:
		return *b
	case *CreateTable:
		return *b
	case *AlterTable:
		return *b
	case *DropTable:
		return *b
	case *PutUser:
		return *b
	case *PutStorage:
		return *b
	case *DropStorage:
		return *b
	case *PutJob:
		return *b
	case *DropJobs:
		return *b
	case *FileBegin:
		return *b
	case *Adopt:
		return *b
	case *AdoptPacked:
		return *b
	case *BeginBlobs:
		return *b
	case *DropBlobs:
		return *b
	case *EraseScope:
		return *b
	case *SwapBytes:
		return *b
	case *DropFiles:
		return *b
	case *ForgetHistory:
		return *b
	case *PurgeRows:
		return *b
	case *ExpireStream:
		return *b
	case *CutStream:
		return *b
	case *DropWindows:
		return *b
	case *PutAudit:
		return *b
	case *Move:
		return *b
	case *RaiseCeiling:
		return *b
	case *LosePositions:
		return *b
	}
	return plainDefinition(b)
}
