package command

import "kalamdb/internal/schema"

// MaxBlobs is how many blobs one command names.
const MaxBlobs = 1024

// BeginBlobs makes blobs known before their bytes are written; all are of one
// table and scope. Path holds their folder: apply gives each an id, a folder of
// its own and a name, and returns them in Receipt.Blobs. No row refers to them
// yet.
type BeginBlobs struct{ Blobs []schema.Blob }

// DropBlobs forgets blobs in two steps. The first marks those that no row refers
// to, or whose table is gone, so that no row can take them again; Receipt.Blobs
// are those that are marked now. With Deleted, which follows when their bytes are
// gone, the marked ones are forgotten. Erased marks them whatever refers to them.
type DropBlobs struct {
	Keys    []schema.BlobKey
	Deleted bool
	Erased  bool
}

func (BeginBlobs) body() {}
func (DropBlobs) body()  {}

// blob writes the bodies about blobs and returns their kind, or 0.
func (w *writer) blob(b Body) byte {
	switch b := b.(type) {
	case BeginBlobs:
		w.uvarint(uint64(len(b.Blobs)))
		for i := range b.Blobs {
			w.json(&b.Blobs[i])
		}
		return kindBeginBlobs
	case DropBlobs:
		w.bool(b.Deleted)
		w.bool(b.Erased)
		w.uvarint(uint64(len(b.Keys)))
		for _, k := range b.Keys {
			w.uvarint(uint64(k.Table))
			w.string(string(k.Scope))
			w.uvarint(k.ID)
		}
		return kindDropBlobs
	}
	return 0
}

// blob reads a body about blobs; nil for another kind.
func (r *reader) blob(kind byte) Body {
	switch kind {
	case kindBeginBlobs:
		b := BeginBlobs{Blobs: make([]schema.Blob, r.count(1))}
		for i := range b.Blobs {
			r.json(&b.Blobs[i])
		}
		return b
	case kindDropBlobs:
		b := DropBlobs{Deleted: r.bool(), Erased: r.bool()}
		b.Keys = make([]schema.BlobKey, r.count(3))
		for i := range b.Keys {
			b.Keys[i] = schema.BlobKey{Table: schema.TableID(r.uint32()), Scope: schema.Scope(r.string()), ID: r.uvarint()}
		}
		return b
	}
	return nil
}
