// Package objstore keeps the objects of a storage: cold files and manifests.
//
// Cloud keeps them in an object store; its type is s3, gcs or azure.
//
// The type filesystem is a folder of a disk.FS. An object is written under its
// name with .tmp behind, synced, renamed, and its folder is synced; folders are
// made durable with all those above them before anything is put there. What
// Upload.Finish has returned for survives a power cut as a whole, and no crash
// leaves half an object under a final name.
//
// Names of objects are slash paths below the storage's base and never lead
// out of it.
// Goroutines: none of ours; the clients of object stores have some for their
// connections and for the parts of an upload. Locks: Filesystem.mu, never held
// across I/O.
package objstore

import (
	"fmt"
	"io"
	"path"
	"strings"
	"time"
)

// Bucket is the objects of one storage. It is safe for concurrent use.
type Bucket interface {
	// Create begins an object; one of the same name is replaced by Finish.
	Create(name string) (Upload, error)
	// Put writes a small object as a whole.
	Put(name string, data []byte) error
	// Get reads a small object as a whole.
	Get(name string) ([]byte, error)
	// Open opens an object for reading and returns its length.
	Open(name string) (Object, int64, error)
	// Remove deletes an object; one that does not exist is deleted already.
	Remove(name string) error
	// List returns the names in a folder in order, those of the base for ".".
	List(folder string) ([]string, error)
	// Walk visits all objects below a folder, "." for all of them, until visit
	// returns an error. Folders come in no promised order.
	Walk(folder string, visit func(Entry) error) error
	// Usage returns free and total bytes of the place; 0 when it has no such
	// figures.
	Usage() (free, total uint64, err error)
	// MakeBase makes the place of the objects, if that is for us to make.
	MakeBase() error
}

// Entry is what a walk tells of an object.
type Entry struct {
	Name     string
	Size     int64
	Modified time.Time
}

// Upload is an object being written. Write is called by one goroutine; then
// either Finish or Abort is called.
type Upload interface {
	io.Writer
	// Finish makes the object durable under its name.
	Finish() error
	// Abort gives the object up. After Finish it does nothing.
	Abort()
}

// Object is an open object. ReadAt may be called by many goroutines.
type Object interface {
	io.ReaderAt
	io.Closer
}

// checkName refuses names that are no path below a base.
func checkName(name string) error {
	if name == "" || name == "." || name != path.Clean(name) || path.IsAbs(name) || name == ".." || strings.HasPrefix(name, "../") {
		return fmt.Errorf("object name %q leads out of its storage", name)
	}
	return nil
}
