package apply

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"kalamdb/internal/command"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store/catalog"
)

// storedName bounds the parts of a blob's name.
const (
	slugMost      = 50
	extensionMost = 10
)

// beginBlobs makes blobs known and places them.
func (m *Machine) beginBlobs(c *command.Command, b *command.BeginBlobs, o *Outcome) error {
	if len(b.Blobs) == 0 || len(b.Blobs) > command.MaxBlobs {
		return fault.New(fault.LimitExceeded, "a command begins 1 to %d files, not %d", command.MaxBlobs, len(b.Blobs))
	}
	table, scope := b.Blobs[0].Table, b.Blobs[0].Scope
	if _, ok := m.definitions.TableByID(table); !ok {
		return command.ErrStaleSchema
	}
	ordinal := uint64(0)
	last, some, err := catalog.LastBlob(m.reader, table, scope)
	if err != nil {
		return err
	}
	if some {
		ordinal = last.Ordinal + 1
	}
	first := m.next(c)
	blobs := slices.Clone(b.Blobs)
	for i := range blobs {
		blob := &blobs[i]
		if blob.Table != table || blob.Scope != scope {
			return fault.New(fault.InvalidOperation, "a command begins files of one table and user")
		}
		blob.ID, blob.Ordinal, blob.Sub = schema.SeqAt(first, i), ordinal+uint64(i), schema.BlobFolder(ordinal+uint64(i))
		if blob.Sub == "" {
			return fault.New(fault.LimitExceeded, "the folders of files of this table are full")
		}
		blob.Stored = storedName(blob.ID, blob.Name)
		blob.Path = path.Join(blob.Path, blob.Sub, blob.Stored)
		blob.References, blob.Removed = 0, false
		if blob.CreatedAt == 0 {
			blob.CreatedAt = c.Time
		}
		if err := catalog.PutBlob(m.batch, *blob); err != nil {
			return err
		}
	}
	o.Receipt.Position = schema.SeqAt(first, len(blobs)-1)
	o.Receipt.Rows, o.Receipt.Blobs = int64(len(blobs)), blobs
	return nil
}

// storedName is the name of a blob's object: its id, what of the sender's name is
// harmless, and an extension. Nothing in it can lead anywhere.
func storedName(id uint64, name string) string {
	base, extension := name, ""
	if dot := strings.LastIndexByte(name, '.'); dot >= 0 {
		base, extension = name[:dot], name[dot+1:]
	}
	var slug strings.Builder
	for i := 0; i < len(base) && slug.Len() < slugMost; i++ {
		switch c := base[i]; {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9':
			slug.WriteByte(c)
		case c >= 'A' && c <= 'Z':
			slug.WriteByte(c + 'a' - 'A')
		case slug.Len() > 0 && !strings.HasSuffix(slug.String(), "-"):
			slug.WriteByte('-')
		}
	}
	out := strconv.FormatUint(id, 10)
	if s := strings.Trim(slug.String(), "-"); s != "" {
		out += "-" + s
	}
	return out + "." + harmlessExtension(extension)
}

func harmlessExtension(extension string) string {
	if extension == "" || len(extension) > extensionMost {
		return "bin"
	}
	for i := range len(extension) {
		c := extension[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return "bin"
		}
	}
	return strings.ToLower(extension)
}

// dropBlobs marks blobs that nobody needs, or forgets marked ones.
func (m *Machine) dropBlobs(b *command.DropBlobs, o *Outcome) error {
	if len(b.Keys) > command.MaxBlobs {
		return fault.New(fault.LimitExceeded, "a command drops up to %d files, not %d", command.MaxBlobs, len(b.Keys))
	}
	for _, key := range b.Keys {
		blob, ok, err := catalog.Blob(m.reader, key)
		if err != nil {
			return err
		}
		_, lives := m.definitions.TableByID(key.Table)
		switch {
		case !ok:
		case b.Deleted && blob.Removed:
			catalog.ForgetBlob(m.batch, key)
			o.Receipt.Rows++
		case b.Deleted:
		case blob.Removed:
			o.Receipt.Blobs = append(o.Receipt.Blobs, blob)
		case b.Erased || blob.References <= 0 || !lives:
			blob.Removed = true
			if err := catalog.PutBlob(m.batch, blob); err != nil {
				return err
			}
			o.Receipt.Blobs = append(o.Receipt.Blobs, blob)
		}
	}
	return nil
}

// counted is a blob whose references a group has changed.
type counted struct {
	blob    schema.Blob
	known   bool
	changed bool
}

// references follows what changes of rows mean for the blobs of a table's FILE
// values. Later commands of the group see what earlier ones have counted, which
// the engine does not show yet.
func (m *Machine) references(changes []command.Change, o *Outcome) error {
	var touched []schema.BlobKey
	for i := range changes {
		c := &changes[i]
		add := func(n int64) func(string) {
			return func(text string) {
				id, ok := schema.ReferredBlob(text)
				if !ok {
					return
				}
				key := schema.BlobKey{Table: c.Table, Scope: c.Scope, ID: id}
				if m.refer(key, n) {
					touched = append(touched, key)
				}
			}
		}
		if c.Op != command.Insert {
			schema.EachFile(c.Old, add(-1))
		}
		if c.Op != command.Delete {
			schema.EachFile(c.Row, add(1))
		}
	}
	for _, key := range touched {
		r := m.blobs[key]
		if r.known && r.changed {
			r.changed = false
			if err := catalog.PutBlob(m.batch, r.blob); err != nil {
				return err
			}
			if r.blob.References <= 0 {
				o.Commit.Freed = append(o.Commit.Freed, key)
			}
		}
	}
	return m.blobFault
}

// refer counts a reference and reports whether the blob is known. What the engine
// refuses is kept for the end of the command.
func (m *Machine) refer(key schema.BlobKey, n int64) bool {
	r := m.blobs[key]
	if r == nil {
		r = &counted{}
		var err error
		if r.blob, r.known, err = catalog.Blob(m.reader, key); err != nil {
			m.blobFault = err
			return false
		}
		if m.blobs == nil {
			m.blobs = map[schema.BlobKey]*counted{}
		}
		m.blobs[key] = r
	}
	if !r.known || r.blob.Removed {
		return false
	}
	r.blob.References += n
	r.changed = true
	return true
}

// dropped are the blobs of a storage: it cannot go while there are any.
func (m *Machine) blobsIn(storage string) (n int, err error) {
	for after := ""; ; {
		after, err = catalog.EachBlob(m.reader, "", after, 1000, func(b schema.Blob) error {
			if b.StorageID == storage {
				n++
			}
			return nil
		})
		if err != nil || after == "" || n > 0 {
			return n, err
		}
	}
}
