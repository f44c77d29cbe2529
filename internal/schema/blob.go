package schema

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"kalamdb/internal/datum"
)

// Blob is the content of a FILE value, kept as an object of its own. It is known
// before its bytes are written and until they are deleted.
type Blob struct {
	BlobKey
	// Ordinal counts the blobs of the scope; Sub is the folder that it falls in.
	Ordinal uint64 `json:"ordinal"`
	Sub     string `json:"sub"`
	// Name is the file's as its sender called it, Stored the one of the object.
	Name   string `json:"name"`
	Stored string `json:"stored"`
	Size   int64  `json:"size"`
	MIME   string `json:"mime"`
	SHA256 string `json:"sha256"`
	// StorageID and Path are where the object is.
	StorageID string `json:"storage_id"`
	Path      string `json:"path"`
	CreatedAt int64  `json:"created_at"`
	// References is how many newest versions of rows hold the file.
	References int64 `json:"references,omitempty"`
	// Removed says that the bytes are being deleted: no row can take it again.
	Removed bool `json:"removed,omitempty"`
}

// BlobKey names a blob. Its id is unique in the database; table and scope say
// whose it is, so that nobody reaches those of another.
type BlobKey struct {
	Table TableID `json:"table"`
	Scope Scope   `json:"scope,omitempty"`
	ID    uint64  `json:"id"`
}

// Bounds of the folders of blobs.
const (
	BlobsPerFolder = 5000
	blobFolders    = 9999
)

// String spells the key so that blobs of one table and scope stand together, in
// the order of their ids.
func (k BlobKey) String() string { return BlobScope(k.Table, k.Scope) + fmt.Sprintf("%016x", k.ID) }

// BlobTable is what the keys of a table's blobs begin with.
func BlobTable(t TableID) string { return fmt.Sprintf("%08x", uint32(t)) }

// BlobScope is what the keys of the blobs of a table and scope begin with.
func BlobScope(t TableID, s Scope) string {
	return BlobTable(t) + fmt.Sprintf("%04x", len(s)) + string(s)
}

// BlobFolder returns the folder of the blob of an ordinal, or "" when the folders
// of a scope are full.
func BlobFolder(ordinal uint64) string {
	n := ordinal/BlobsPerFolder + 1
	if n > blobFolders {
		return ""
	}
	return fmt.Sprintf("f%04d", n)
}

// reference is the text of a FILE value.
type reference struct {
	ID     string `json:"id"`
	Sub    string `json:"sub"`
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	MIME   string `json:"mime"`
	SHA256 string `json:"sha256"`
}

// Reference returns the FILE value of a blob.
func (b *Blob) Reference() (string, error) {
	text, err := json.Marshal(reference{
		ID: strconv.FormatUint(b.ID, 10), Sub: b.Sub, Name: b.Name, Size: b.Size, MIME: b.MIME, SHA256: b.SHA256,
	})
	if err != nil {
		return "", fmt.Errorf("write a file reference: %w", err)
	}
	return string(text), nil
}

// ReferredBlob returns the id that a FILE value names; ok is false for text that
// is no reference.
func ReferredBlob(text string) (id uint64, ok bool) {
	var r struct {
		ID string `json:"id"`
	}
	if len(text) == 0 || text[0] != '{' || json.Unmarshal([]byte(text), &r) != nil {
		return 0, false
	}
	id, err := strconv.ParseUint(r.ID, 10, 64)
	return id, err == nil && id != 0
}

// HasFiles reports whether a column of the table holds files.
func (t *Table) HasFiles() bool {
	for i := range t.Columns {
		if t.Columns[i].Type.Kind == datum.File {
			return true
		}
	}
	return false
}

// MayHoldFiles reports whether rows of the table may hold files: a column does,
// or columns were dropped, which older rows still carry.
func (t *Table) MayHoldFiles() bool {
	return int(t.NextColumnID) > len(t.Columns)+1 || t.HasFiles()
}

// EachFile calls visit with the text of every FILE value in an encoded row,
// those of columns that were dropped since included. Bytes that are no row have
// none.
func EachFile(row []byte, visit func(text string)) {
	if len(row) == 0 || row[0] != rowFormat {
		return
	}
	version, n := binary.Uvarint(row[1:])
	if n <= 0 || version > math.MaxUint32 {
		return
	}
	for rest := row[1+n:]; len(rest) > 0; {
		_, n := binary.Uvarint(rest)
		if n <= 0 || n >= len(rest) {
			return
		}
		rest = rest[n:]
		if rest[0] != byte(datum.File) {
			tail, err := datum.SkipValue(rest)
			if err != nil {
				return
			}
			rest = tail
			continue
		}
		v, tail, err := datum.DecodeValue(rest)
		if err != nil {
			return
		}
		visit(v.Text())
		rest = tail
	}
}
