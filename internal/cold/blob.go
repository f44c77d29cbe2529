package cold

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"sync/atomic"

	"kalamdb/internal/cold/internal/objstore"
	"kalamdb/internal/disk"
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
		return err
	}
	sum := sha256.New()
	n, err := io.Copy(u, io.TeeReader(f, sum))
	if err == nil && (n != b.Size || hex.EncodeToString(sum.Sum(nil)) != b.SHA256) {
		err = ErrDamaged
	}
	if err != nil {
		u.Abort()
		return fmt.Errorf("write %s: %w", b.Path, err)
	}
	return u.Finish()
}

// OpenBlob opens the bytes of a blob from an offset on, n of them.
func (t *Tier) OpenBlob(st schema.Storage, b *schema.Blob, offset, n int64) (io.ReadCloser, error) {
	bucket, err := t.storage(st)
	if err != nil {
		return nil, err
	}
	object, size, err := bucket.Open(b.Path)
	if err != nil {
		return nil, err
	}
	if size != b.Size {
		_ = object.Close() // the length is the error to report
		return nil, fmt.Errorf("%s has %d bytes instead of %d: %w", b.Path, size, b.Size, ErrDamaged)
	}
	section := io.NewSectionReader(object, offset, n)
	return &blobReader{bufio.NewReaderSize(section, int(min(max(n, 16), blobPiece))), object}, nil
}

// blobReader reads a blob from the beginning of its section to the end.
type blobReader struct {
	*bufio.Reader
	object objstore.Object
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
