package cold

import (
	"fmt"
	"io"
	"path"

	"kalamdb/internal/cold/internal/objstore"
	"kalamdb/internal/schema"
)

// Folder is a folder of a storage for objects that are no cold files: backups.
type Folder struct {
	bucket objstore.Bucket
	below  string // "" is the base
}

// Folder returns a folder of a storage; "" is its base. Nothing is made or read.
// A folder of the file system that is no storage is one whose row has a base
// alone.
func (t *Tier) Folder(st schema.Storage, folder string) (*Folder, error) {
	if st.ID == "" && (st.Type == "" || st.Type == "filesystem") {
		// It is not among the storages that are kept for as long as the tier.
		return &Folder{objstore.NewFilesystem(t.options.FS, path.Clean(st.BaseDirectory)), folder}, nil
	}
	bucket, err := t.storage(st)
	if err != nil {
		return nil, err
	}
	return &Folder{bucket, folder}, nil
}

// Write writes an object as a whole and returns its length. It is durable then.
func (f *Folder) Write(name string, from io.Reader) (int64, error) {
	u, err := f.bucket.Create(path.Join(f.below, name))
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(u, from)
	if err != nil {
		u.Abort()
		return n, fmt.Errorf("write %s: %w", name, err)
	}
	return n, u.Finish()
}

// Output is an object that is being written; Finish makes it durable, Abort gives
// it up and does nothing after Finish.
type Output interface {
	io.Writer
	Finish() error
	Abort()
}

// Object is an open object.
type Object interface {
	io.ReaderAt
	io.Closer
}

// Create begins an object.
func (f *Folder) Create(name string) (Output, error) {
	return f.bucket.Create(path.Join(f.below, name))
}

// Open opens an object for reading at any place, and returns its length.
func (f *Folder) Open(name string) (Object, int64, error) {
	return f.bucket.Open(path.Join(f.below, name))
}

// Read opens an object and returns its length.
func (f *Folder) Read(name string) (io.ReadCloser, int64, error) {
	object, size, err := f.bucket.Open(path.Join(f.below, name))
	if err != nil {
		return nil, 0, err
	}
	return &folderReader{io.NewSectionReader(object, 0, size), object}, size, nil
}

// folderReader reads an object from its beginning to its end.
type folderReader struct {
	*io.SectionReader
	object io.Closer
}

// Close ends the reading.
func (r *folderReader) Close() error { return r.object.Close() }

// Get reads a small object as a whole.
func (f *Folder) Get(name string) ([]byte, error) { return f.bucket.Get(path.Join(f.below, name)) }

// Put writes a small object as a whole.
func (f *Folder) Put(name string, data []byte) error {
	return f.bucket.Put(path.Join(f.below, name), data)
}

// Remove deletes an object; one that does not exist is deleted already.
func (f *Folder) Remove(name string) error { return f.bucket.Remove(path.Join(f.below, name)) }

// List returns the names in a folder in it in order, those of it
// itself for ".".
func (f *Folder) List(folder string) ([]string, error) {
	folder = path.Join(f.below, folder)
	if folder == "" {
		folder = "."
	}
	return f.bucket.List(folder)
}

// Make makes the folder, if that is for us to make.
func (f *Folder) Make() error { return f.bucket.MakeBase() }
