package catalog

import (
	"fmt"

	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/internal/engine"
)

// Blobs are the contents of FILE values, by schema.BlobKey.
func Blobs() Rows[schema.Blob] {
	return Rows[schema.Blob]{tagBlob, "File", fault.ObjectNotFound, "not found",
		func(b schema.Blob) string { return b.BlobKey.String() }}
}

// Blob returns what is known of a blob.
func Blob(r store.Reader, k schema.BlobKey) (schema.Blob, bool, error) {
	return Blobs().Get(r, k.String())
}

// LastBlob returns the blob of a table and scope with the greatest id.
func LastBlob(r store.Reader, t schema.TableID, s schema.Scope) (b schema.Blob, ok bool, err error) {
	rows := Blobs()
	it, err := engine.NewIter(r, rows.key(schema.BlobScope(t, s)), rows.key(schema.BlobKey{Table: t, Scope: s, ID: 1<<64 - 1}.String()))
	if err != nil {
		return b, false, err
	}
	if it.Last() {
		ok = true
		var value []byte
		if value, err = it.Value(); err == nil {
			err = rows.decode(string(it.Key()[2:]), value, &b)
		}
	}
	if closing := it.Close(); err == nil {
		err = closing
	}
	return b, ok, err
}

// PutBlob writes what is known of a blob.
func PutBlob(b *store.Batch, blob schema.Blob) error { return Blobs().put(b, blob) }

// ForgetBlob removes a blob.
func ForgetBlob(b *store.Batch, k schema.BlobKey) {
	engine.Delete(b.Engine(), Blobs().key(k.String()))
}

// EachBlob visits the blobs whose keys begin with a prefix, "" for all, in the
// order of their keys, a stretch at a time. after is the last key seen, "" at
// first; it returns the key to go on behind, or "" at the end.
func EachBlob(r store.Reader, prefix, after string, limit int, visit func(schema.Blob) error) (next string, err error) {
	if after == "" {
		after = prefix
	}
	blobs, err := Blobs().List(r, after, limit)
	if err != nil {
		return "", fmt.Errorf("list files: %w", err)
	}
	for i := range blobs {
		key := blobs[i].BlobKey.String()
		if len(key) < len(prefix) || key[:len(prefix)] != prefix {
			return "", nil
		}
		if err := visit(blobs[i]); err != nil {
			return "", err
		}
		next = key
	}
	return next, nil
}
