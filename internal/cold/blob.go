package cold

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"strconv"
	"sync/atomic"

	"kalamdb/internal/cold/internal/objstore"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// stagedFolder holds what is being sent to us, below the data directory. The
// store empties it at each start.
const stagedFolder = "tmp"

// blobPiece is how much of a blob is asked of its storage at once.
const blobPiece = 256 << 10

// ErrTooLarge says that a file has more bytes than it may.
var ErrTooLarge = errors.New("the file is too large")

// staging numbers the staged files of the process, so that no two share a name.
type staging struct{ last atomic.Uint64 }

// Staged is a file that has come and is not kept yet. Discard ends it.
type Staged struct {
	fs   disk.FS
	name string
	// Size and SHA256 are those of its bytes.
	Size   int64
	SHA256 string
}

// Stage takes up to most bytes to the local disk, a piece at a time. More are
// ErrTooLarge, and nothing stays then.
func (t *Tier) Stage(from io.Reader, most int64) (*Staged, error) {
	s := &Staged{fs: t.options.FS, name: path.Join(t.options.DataDir, stagedFolder, "upload-"+strconv.FormatUint(t.staged.last.Add(1), 10))}
	f, err := disk.Create(s.fs, s.name)
	if err != nil {
		return nil, fmt.Errorf("stage a file: %w", err)
	}
	sum := sha256.New()
	s.Size, err = io.Copy(io.MultiWriter(f, sum), io.LimitReader(from, most+1))
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil && s.Size > most {
		err = ErrTooLarge
	}
	if err != nil {
		s.Discard()
		return nil, err
	}
	s.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return s, nil
}

// Discard removes the staged bytes.
func (s *Staged) Discard() { _ = s.fs.Remove(s.name) } // what stays goes at the next start

// PutBlob writes staged bytes to the place of a blob. They are durable then.
func (t *Tier) PutBlob(st schema.Storage, b *schema.Blob, from *Staged) error {
	bucket, err := t.storage(st)
	if err != nil {
		return err
	}
	f, err := disk.Open(from.fs, from.name)
	if err != nil {
		return fmt.Errorf("read a staged file: %w", err)
	}
	defer f.Close()
	u, err := bucket.Create(b.Path)
	if err != nil {
		return unreachable(st.ID, err)
	}
	sum := sha256.New()
	n, err := io.Copy(u, io.TeeReader(f, sum))
	if err == nil && (n != b.Size || hex.EncodeToString(sum.Sum(nil)) != b.SHA256) {
		err = ErrDamaged
	}
	if err != nil {
		u.Abort()
		return unreachable(st.ID, fmt.Errorf("write %s: %w", b.Path, err))
	}
	return unreachable(st.ID, u.Finish())
}

// unreachable makes an error of an object store that does not answer, or that
// has too much to do, one that a user may read and try again after.
func unreachable(storage string, err error) error {
	var refused *objstore.Refused
	if !errors.As(err, &refused) || !refused.Passing {
		return err
	}
	return fault.Wrap(fault.ServerBusy, err, "the storage '%s' does not answer; try again in a moment", storage)
}

// OpenBlob opens the bytes of a blob from an offset on, n of them. All of them are
// held against their checksum: when it is another, the last piece is ErrDamaged.
func (t *Tier) OpenBlob(st schema.Storage, b *schema.Blob, offset, n int64) (io.ReadCloser, error) {
	bucket, err := t.storage(st)
	if err != nil {
		return nil, err
	}
	object, size, err := bucket.Open(b.Path)
	if err != nil {
		return nil, unreachable(st.ID, err)
	}
	if size != b.Size {
		_ = object.Close() // the length is the error to report
		return nil, fmt.Errorf("%s has %d bytes instead of %d: %w", b.Path, size, b.Size, ErrDamaged)
	}
	section := io.NewSectionReader(object, offset, n)
	r := &blobReader{from: bufio.NewReaderSize(section, int(min(max(n, 16), blobPiece))), object: object, blob: b}
	if offset == 0 && n == b.Size {
		r.sum = sha256.New()
	}
	return r, nil
}

// blobReader reads a blob from the beginning of its section to the end.
type blobReader struct {
	from   *bufio.Reader
	object objstore.Object
	blob   *schema.Blob
	sum    hash.Hash // of what was read; nil for a part
	read   int64
}

// Read implements io.Reader.
func (r *blobReader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	if r.sum == nil {
		return n, err
	}
	r.sum.Write(p[:n])
	if r.read += int64(n); n > 0 && r.read == r.blob.Size && hex.EncodeToString(r.sum.Sum(nil)) != r.blob.SHA256 {
		return 0, fmt.Errorf("%s does not have the bytes that were stored: %w", r.blob.Path, ErrDamaged)
	}
	return n, err
}

// Close ends the reading.
func (r *blobReader) Close() error { return r.object.Close() }

// RemoveBlob deletes the bytes of a blob and the folders that have become empty;
// what is not there is deleted already.
func (t *Tier) RemoveBlob(st schema.Storage, b *schema.Blob) error {
	bucket, err := t.storage(st)
	if err != nil {
		return err
	}
	return bucket.Remove(b.Path)
}
