package command

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"kalamdb/internal/schema"
)

// A writer appends fields; the first error stays.
type writer struct {
	b       []byte
	err     error
	indexed bool // rows carry entries of indexes
}

func (w *writer) byte(b byte)      { w.b = append(w.b, b) }
func (w *writer) uvarint(n uint64) { w.b = binary.AppendUvarint(w.b, n) }
func (w *writer) varint(n int64)   { w.b = binary.AppendVarint(w.b, n) }

func (w *writer) bool(b bool) {
	if b {
		w.byte(1)
	} else {
		w.byte(0)
	}
}

func (w *writer) bytes(b []byte) {
	w.uvarint(uint64(len(b)))
	w.b = append(w.b, b...)
}

func (w *writer) string(s string) {
	w.uvarint(uint64(len(s)))
	w.b = append(w.b, s...)
}

func (w *writer) strings(list []string) {
	w.uvarint(uint64(len(list)))
	for _, s := range list {
		w.string(s)
	}
}

func (w *writer) durability(d schema.Durability) {
	for i, known := range durabilities {
		if d == known {
			w.byte(byte(i))
			return
		}
	}
	w.err = fmt.Errorf("encode command: durability %q is unknown", d)
}

// json writes a definition: structs without maps, so equal ones have equal
// text.
func (w *writer) json(v any) {
	text, err := json.Marshal(v)
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("encode command: %w", err)
	}
	w.bytes(text)
}

// body writes a plain body and returns its kind.
func (w *writer) body(b Body) byte {
	switch b := b.(type) {
	case *Write:
		if b.indexed() {
			w.indexed = true
			w.write(b)
			return kindWriteIndexed
		}
		w.write(b)
		return kindWrite
	case PutNamespace:
		w.bool(b.Create)
		w.json(&b.Namespace)
		return kindPutNamespace
	case DropNamespace:
		w.string(b.Name)
		return kindDropNamespace
	case CreateTable:
		w.json(&b.Table)
		return kindCreateTable
	case AlterTable:
		w.uvarint(uint64(b.FromVersion))
		w.json(&b.Table)
		if b.Empty {
			return kindAlterEmpty
		}
		return kindAlterTable
	case DropTable:
		w.uvarint(uint64(b.Table))
		return kindDropTable
	case PutUser:
		w.bool(b.Create)
		w.varint(b.FromUpdatedAt)
		w.json(&b.User)
		return kindPutUser
	case PutStorage:
		w.bool(b.Create)
		w.json(&b.Storage)
		return kindPutStorage
	case DropStorage:
		w.string(b.ID)
		return kindDropStorage
	case PutJob:
		w.bool(b.Create)
		w.json(&b.Job)
		return kindPutJob
	}
	if kind := w.definition(b); kind != 0 {
		return kind
	}
	if kind := w.index(b); kind != 0 {
		return kind
	}
	if kind := w.blob(b); kind != 0 {
		return kind
	}
	if kind := w.erasure(b); kind != 0 {
		return kind
	}
	return w.maintenance(b)
}

// maintenance writes the bodies that jobs and the loop itself propose.
func (w *writer) maintenance(b Body) byte {
	switch b := b.(type) {
	case DropJobs:
		w.strings(b.IDs)
		return kindDropJobs
	case FileBegin:
		w.json(&b.File)
		return kindFileBegin
	case Adopt:
		w.adopt(&b)
		return kindAdopt
	case AdoptPacked:
		w.adoptPacked(&b)
		return kindAdoptPacked
	case DropFiles:
		w.uvarint(uint64(len(b.Numbers)))
		for _, n := range b.Numbers {
			w.uvarint(n)
		}
		return kindDropFiles
	case ForgetHistory:
		w.uvarint(b.Window)
		w.uvarint(b.Floor)
		return kindForgetHistory
	case PurgeRows:
		w.purge(&b)
		return kindPurgeRows
	case ExpireStream:
		w.uvarint(uint64(b.Table))
		w.uvarint(b.Before)
		return kindExpireStream
	case CutStream:
		w.uvarint(uint64(b.Table))
		w.string(string(b.Scope))
		w.uvarint(b.Before)
		return kindCutStream
	case DropWindows:
		w.uvarint(uint64(b.Table))
		w.string(string(b.Scope))
		return kindDropWindows
	case PutAudit:
		return kindPutAudit
	case Move:
		w.move(&b)
		return kindMove
	case RaiseCeiling:
		w.uvarint(b.To)
		return kindRaiseCeiling
	case LosePositions:
		w.uvarint(b.From)
		w.uvarint(b.To)
		return kindLosePositions
	}
	w.err = fmt.Errorf("encode command: body %T has no kind", b)
	return 0
}

func (w *writer) trail(t *Trail) {
	if len(t.Entries) > MaxTrail && w.err == nil {
		w.err = fmt.Errorf("encode command: %d audit entries are more than %d", len(t.Entries), MaxTrail)
	}
	w.uvarint(t.Keep)
	w.uvarint(uint64(len(t.Entries)))
	for i := range t.Entries {
		w.json(&t.Entries[i])
	}
}

func (w *writer) write(b *Write) {
	w.uvarint(uint64(len(b.Tables)))
	for i := range b.Tables {
		t := &b.Tables[i]
		w.uvarint(uint64(t.Table))
		w.uvarint(uint64(t.SchemaVersion))
		w.uvarint(uint64(len(t.Rows)))
		for j := range t.Rows {
			w.row(t.Rows, j)
		}
	}
}

func (w *writer) row(rows []RowWrite, i int) {
	row := &rows[i]
	head := byte(row.Op) & rowOpMask
	same := i > 0 && rows[i-1].Scope == row.Scope
	if same {
		head |= rowSameScope
	}
	if row.Fresh {
		head |= rowFresh
	}
	if len(row.Old) > 0 {
		head |= rowHasOld
	}
	w.byte(head)
	if !same {
		w.string(string(row.Scope))
	}
	w.bytes(row.Key)
	w.uvarint(row.ReadSeq)
	w.bytes(row.Row)
	if len(row.Old) > 0 {
		w.bytes(row.Old)
	}
	if w.indexed {
		w.entries(row.Index)
	}
}

func (w *writer) adopt(b *Adopt) {
	w.json(&b.File)
	w.json(&b.Window)
	w.string(string(b.Scope))
	w.uvarint(b.From)
	w.adopted(b.Rows)
}

func (w *writer) purge(b *PurgeRows) {
	w.uvarint(uint64(b.Table))
	w.string(string(b.Scope))
	w.uvarint(b.Before)
	w.uvarint(uint64(len(b.Keys)))
	for _, key := range b.Keys {
		w.bytes(key)
	}
}
