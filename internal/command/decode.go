package command

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"kalamdb/internal/schema"
)

// A reader consumes fields; after the first error all of them are zero.
type reader struct {
	b       []byte
	err     error
	indexed bool // rows carry entries of indexes
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
	}
	r.b = nil
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail("it is cut off")
		return 0
	}
	b := r.b[0]
	r.b = r.b[1:]
	return b
}

func (r *reader) bool() bool {
	b := r.byte()
	if b > 1 {
		r.fail("%d is not a truth value", b)
	}
	return b == 1
}

func (r *reader) uvarint() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.fail("a number is cut off or too large")
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) varint() int64 {
	n, size := binary.Varint(r.b)
	if size <= 0 {
		r.fail("a number is cut off or too large")
		return 0
	}
	r.b = r.b[size:]
	return n
}

func (r *reader) uint32() uint32 {
	n := r.uvarint()
	if n > 1<<32-1 {
		r.fail("%d has more than 32 bits", n)
		return 0
	}
	return uint32(n)
}

// count reads a number of items that take at least size bytes each, so that a
// hostile count cannot ask for more memory than its bytes do.
func (r *reader) count(size int) int {
	n := r.uvarint()
	if n > uint64(len(r.b)/size) {
		r.fail("%d items do not fit %d bytes", n, len(r.b))
		return 0
	}
	return int(n)
}

func (r *reader) bytes() []byte {
	n := r.count(1)
	if n == 0 {
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) string() string { return string(r.bytes()) }

func (r *reader) strings() []string {
	list := make([]string, r.count(1))
	for i := range list {
		list[i] = r.string()
	}
	return list
}

func (r *reader) durability() schema.Durability {
	i := r.byte()
	if int(i) >= len(durabilities) {
		r.fail("durability %d is unknown", i)
		return ""
	}
	return durabilities[i]
}

func (r *reader) json(v any) {
	text := r.bytes()
	if r.err != nil {
		return
	}
	if err := json.Unmarshal(text, v); err != nil {
		r.fail("%v", err)
	}
}

// body reads a body of a kind.
func (r *reader) body(kind byte) Body {
	switch kind {
	case kindWrite:
		return r.write()
	case kindPutNamespace:
		b := PutNamespace{Create: r.bool()}
		r.json(&b.Namespace)
		return b
	case kindDropNamespace:
		return DropNamespace{Name: r.string()}
	case kindCreateTable:
		var b CreateTable
		r.json(&b.Table)
		return b
	case kindAlterTable:
		b := AlterTable{FromVersion: r.uint32()}
		r.json(&b.Table)
		return b
	case kindDropTable:
		return DropTable{Table: schema.TableID(r.uint32())}
	case kindPutUser:
		b := PutUser{Create: r.bool(), FromUpdatedAt: r.varint()}
		r.json(&b.User)
		return b
	case kindPutStorage:
		b := PutStorage{Create: r.bool()}
		r.json(&b.Storage)
		return b
	case kindDropStorage:
		return DropStorage{ID: r.string()}
	case kindPutJob:
		b := PutJob{Create: r.bool()}
		r.json(&b.Job)
		return b
	}
	if b := r.definition(kind); b != nil {
		return b
	}
	if b := r.index(kind); b != nil {
		return b
	}
	if b := r.blob(kind); b != nil {
		return b
	}
	if b := r.erasure(kind); b != nil {
		return b
	}
	return r.maintenance(kind)
}

// maintenance reads the bodies that jobs and the loop itself propose.
func (r *reader) maintenance(kind byte) Body {
	switch kind {
	case kindDropJobs:
		return DropJobs{IDs: r.strings()}
	case kindFileBegin:
		var b FileBegin
		r.json(&b.File)
		return b
	case kindAdopt:
		return r.adopt()
	case kindAdoptPacked:
		return r.adoptPacked()
	case kindDropFiles:
		numbers := make([]uint64, r.count(1))
		for i := range numbers {
			numbers[i] = r.uvarint()
		}
		return DropFiles{Numbers: numbers}
	case kindForgetHistory:
		return ForgetHistory{Window: r.uvarint(), Floor: r.uvarint()}
	case kindPurgeRows:
		return r.purge()
	case kindExpireStream:
		return ExpireStream{Table: schema.TableID(r.uint32()), Before: r.uvarint()}
	case kindCutStream:
		return CutStream{Table: schema.TableID(r.uint32()), Scope: schema.Scope(r.string()), Before: r.uvarint()}
	case kindDropWindows:
		return DropWindows{Table: schema.TableID(r.uint32()), Scope: schema.Scope(r.string())}
	case kindPutAudit:
		return PutAudit{}
	case kindMove:
		return r.move()
	case kindRaiseCeiling:
		return RaiseCeiling{To: r.uvarint()}
	case kindLosePositions:
		return LosePositions{From: r.uvarint(), To: r.uvarint()}
	}
	r.fail("kind %d is unknown", kind)
	return nil
}

func (r *reader) trail() *Trail {
	t := &Trail{Keep: r.uvarint()}
	n := r.count(1)
	if n > MaxTrail {
		r.fail("%d audit entries are more than %d", n, MaxTrail)
		return nil
	}
	t.Entries = make([]schema.AuditEntry, n)
	for i := range t.Entries {
		r.json(&t.Entries[i])
	}
	return t
}

func (r *reader) write() Body {
	b := &Write{Tables: make([]TableWrite, r.count(3))}
	for i := range b.Tables {
		t := &b.Tables[i]
		t.Table = schema.TableID(r.uint32())
		t.SchemaVersion = r.uint32()
		t.Rows = make([]RowWrite, r.count(4))
		for j := range t.Rows {
			r.row(t.Rows, j)
		}
	}
	return b
}

func (r *reader) row(rows []RowWrite, i int) {
	row := &rows[i]
	head := r.byte()
	row.Op = Op(head & rowOpMask)
	row.Fresh = head&rowFresh != 0
	unknown := head&^(rowOpMask|rowSameScope|rowFresh|rowHasOld) != 0
	if unknown || row.Op < Insert || row.Op > Delete || i == 0 && head&rowSameScope != 0 {
		r.fail("a row begins with %#x", head)
		return
	}
	if head&rowSameScope != 0 {
		row.Scope = rows[i-1].Scope
	} else {
		row.Scope = schema.Scope(r.string())
	}
	row.Key = r.bytes()
	row.ReadSeq = r.uvarint()
	row.Row = r.bytes()
	if head&rowHasOld != 0 {
		row.Old = r.bytes()
	}
	if r.indexed {
		row.Index = r.entries()
	}
}

func (r *reader) adopt() Body {
	var b Adopt
	r.json(&b.File)
	r.json(&b.Window)
	b.Scope = schema.Scope(r.string())
	b.From = r.uvarint()
	b.Rows = r.adopted()
	return b
}

func (r *reader) purge() Body {
	b := PurgeRows{Table: schema.TableID(r.uint32()), Scope: schema.Scope(r.string()), Before: r.uvarint()}
	b.Keys = make([][]byte, r.count(1))
	for i := range b.Keys {
		b.Keys[i] = r.bytes()
	}
	return b
}
