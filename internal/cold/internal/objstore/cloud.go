package objstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gocloud.dev/blob"

	"kalamdb/internal/disk"
)

// Bounds of one operation on an object store.
const (
	partBytes  = 8 << 20 // of an upload and of a download
	smallMost  = 64 << 20
	listMost   = 1_000_000
	uploadRate = 256 << 10 // bytes a second that an upload may at least take
)

// CloudOptions say where an object store is and how to deal with it.
type CloudOptions struct {
	// Type is s3, gcs or azure.
	Type string
	// Bucket is the bucket or container, Prefix the folder in it, "" for none.
	Bucket, Prefix string
	// Region and Endpoint are where the service is; "" is the provider's default.
	Region, Endpoint string
	// PathStyle puts the bucket of s3 into the path instead of the host name.
	PathStyle bool
	// Account is the storage account of azure.
	Account string
	// AccessKey, SecretKey and Token are of s3, AccountKey and SAS of azure and
	// ServiceAccount, a JSON key, of gcs. Without them the process's own identity
	// is used.
	AccessKey, SecretKey, Token, AccountKey, SAS, ServiceAccount string

	// FS and Spool are where an object waits while it is written.
	FS    disk.FS
	Spool string
	// Attempts is how often an operation is tried; 5 when 0.
	Attempts int
	// Delay is about how long the second attempt waits, and each later one twice
	// as long as the one before; 200 ms when 0.
	Delay time.Duration
	// Deadline bounds one attempt of an operation; an upload has more by its
	// size. 20 s when 0.
	Deadline time.Duration
}

// Cloud is a storage in an object store. An object is written into a local
// file first, sent as a whole when it is complete, and its length is asked back;
// the library has each part checked by the store. What fails for a reason that
// passes is tried again with growing, random delays. Close interrupts what runs.
type Cloud struct {
	o      CloudOptions
	bucket *blob.Bucket
	life   context.Context
	end    context.CancelFunc
	spools atomic.Int64
	retry  atomic.Int64
	close  sync.Once
}

// NewCloud returns the objects of an object store; nothing is asked yet but,
// without credentials, who the process is.
func NewCloud(o CloudOptions) (*Cloud, error) {
	if o.Attempts <= 0 {
		o.Attempts = 5
	}
	if o.Delay <= 0 {
		o.Delay = 200 * time.Millisecond
	}
	if o.Deadline <= 0 {
		o.Deadline = 20 * time.Second
	}
	c := &Cloud{o: o}
	c.life, c.end = context.WithCancel(context.Background())
	ctx, cancel := context.WithTimeout(c.life, o.Deadline)
	defer cancel()
	b, err := c.open(ctx)
	if err != nil {
		c.end()
		return nil, fmt.Errorf("open bucket %q: %s", o.Bucket, c.describe(err, o.Deadline))
	}
	if o.Prefix != "" {
		b = blob.PrefixedBucket(b, o.Prefix+"/")
	}
	c.bucket = b
	return c, nil
}

// Close interrupts what runs and gives the connections back.
func (c *Cloud) Close() error {
	var err error
	c.close.Do(func() {
		c.end()
		err = c.bucket.Close()
	})
	return err
}

// Retries returns how many operations were tried again.
func (c *Cloud) Retries() int64 { return c.retry.Load() }

// cloudUpload is an object being written into its spool file.
type cloudUpload struct {
	cloud *Cloud
	name  string
	spool string
	file  disk.File
	size  int64
	done  bool
}

// Create begins an object; one of the same name is replaced by Finish.
func (c *Cloud) Create(name string) (Upload, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if err := c.o.FS.MkdirAll(c.o.Spool); err != nil {
		return nil, fmt.Errorf("make folder %s: %w", c.o.Spool, err)
	}
	spool := path.Join(c.o.Spool, fmt.Sprintf("%p-%d.tmp", c, c.spools.Add(1)))
	f, err := disk.Create(c.o.FS, spool)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", spool, err)
	}
	return &cloudUpload{cloud: c, name: name, spool: spool, file: f}, nil
}

// Write appends bytes to the object.
func (u *cloudUpload) Write(p []byte) (int, error) {
	n, err := u.file.Write(p)
	u.size += int64(n)
	return n, err
}

// Finish sends the object, and returns when the store says that it has all of it.
func (u *cloudUpload) Finish() error {
	if u.done {
		return nil
	}
	u.done = true
	defer u.remove()
	if err := u.file.Close(); err != nil {
		return fmt.Errorf("finish %s: %w", u.spool, err)
	}
	f, err := disk.Open(u.cloud.o.FS, u.spool)
	if err != nil {
		return fmt.Errorf("open %s: %w", u.spool, err)
	}
	err = u.cloud.send(u.name, f, u.size)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// Abort gives the object up. After Finish it does nothing.
func (u *cloudUpload) Abort() {
	if u.done {
		return
	}
	u.done = true
	_ = u.file.Close() // nothing of it is kept
	u.remove()
}

func (u *cloudUpload) remove() {
	_ = u.cloud.o.FS.Remove(u.spool) // what stays is removed at the next start
}

// send writes an object and asks its length back.
func (c *Cloud) send(name string, from io.ReaderAt, size int64) error {
	deadline := c.o.Deadline + time.Duration(size/uploadRate)*time.Second
	if err := c.try("write", name, deadline, func(ctx context.Context) error {
		return c.bucket.Upload(ctx, name, io.NewSectionReader(from, 0, size), &blob.WriterOptions{
			ContentType: "application/octet-stream", BufferSize: partBytes, MaxConcurrency: 2, DisableContentTypeDetection: true,
		})
	}); err != nil {
		return err
	}
	return c.try("look at", name, c.o.Deadline, func(ctx context.Context) error {
		attributes, err := c.bucket.Attributes(ctx, name)
		if err == nil && attributes.Size != size {
			err = fmt.Errorf("%w: the store has %d bytes instead of %d", errShort, attributes.Size, size)
		}
		return err
	})
}

// Put writes a small object as a whole.
func (c *Cloud) Put(name string, data []byte) error {
	if err := checkName(name); err != nil {
		return err
	}
	return c.send(name, bytes.NewReader(data), int64(len(data)))
}

// Get reads a small object as a whole.
func (c *Cloud) Get(name string) ([]byte, error) {
	o, size, err := c.Open(name)
	if err != nil {
		return nil, err
	}
	if size > smallMost {
		return nil, fmt.Errorf("object %s has %d bytes, too many to be read at once", name, size)
	}
	data := make([]byte, size)
	if _, err := o.ReadAt(data, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return data, nil
}

// cloudObject reads stretches of an object, each by a request of its own.
type cloudObject struct {
	cloud *Cloud
	name  string
	size  int64
}

// Open asks how long an object is; reading comes later.
func (c *Cloud) Open(name string) (Object, int64, error) {
	if err := checkName(name); err != nil {
		return nil, 0, err
	}
	var size int64
	err := c.try("look at", name, c.o.Deadline, func(ctx context.Context) error {
		attributes, err := c.bucket.Attributes(ctx, name)
		if err == nil {
			size = attributes.Size
		}
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return &cloudObject{cloud: c, name: name, size: size}, size, nil
}

// ReadAt fills p, part by part, and tries again where an answer ends early.
func (o *cloudObject) ReadAt(p []byte, off int64) (int, error) {
	if off >= o.size {
		return 0, io.EOF
	}
	want := p[:min(int64(len(p)), o.size-off)]
	for n := 0; n < len(want); {
		part := want[n:min(n+partBytes, len(want))]
		if err := o.cloud.readPart(o.name, part, off+int64(n)); err != nil {
			return n, err
		}
		n += len(part)
	}
	if len(want) < len(p) {
		return len(want), io.EOF
	}
	return len(want), nil
}

// readPart fills a part of an object.
func (c *Cloud) readPart(name string, part []byte, off int64) error {
	return c.try("read", name, c.o.Deadline, func(ctx context.Context) error {
		r, err := c.bucket.NewRangeReader(ctx, name, off, int64(len(part)), nil)
		if err != nil {
			return err
		}
		_, err = io.ReadFull(r, part)
		if closeErr := r.Close(); err == nil {
			err = closeErr
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("%w: the answer ends early", errShort)
		}
		return err
	})
}

// Close ends the use of the object; it holds nothing.
func (o *cloudObject) Close() error { return nil }

// Remove deletes an object; one that does not exist is deleted already.
func (c *Cloud) Remove(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	err := c.try("delete", name, c.o.Deadline, func(ctx context.Context) error { return c.bucket.Delete(ctx, name) })
	if disk.IsNotExist(err) {
		return nil
	}
	return err
}

// List returns the names in a folder in order, those of the base for ".".
func (c *Cloud) List(folder string) ([]string, error) {
	prefix := ""
	if folder != "." {
		if err := checkName(folder); err != nil {
			return nil, err
		}
		prefix = folder + "/"
	}
	var names []string
	for token := blob.FirstPageToken; len(token) > 0; {
		var page []*blob.ListObject
		var next []byte
		if err := c.try("list", folder, c.o.Deadline, func(ctx context.Context) (err error) {
			page, next, err = c.bucket.ListPage(ctx, token, 1000, &blob.ListOptions{Prefix: prefix, Delimiter: "/"})
			return err
		}); err != nil {
			return nil, err
		}
		for _, o := range page {
			if name := strings.TrimSuffix(strings.TrimPrefix(o.Key, prefix), "/"); name != "" {
				names = append(names, name)
			}
		}
		if token = next; len(names) > listMost {
			return nil, fmt.Errorf("folder %s holds more than %d objects", folder, listMost)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Walk visits all objects below a folder.
func (c *Cloud) Walk(folder string, visit func(Entry) error) error {
	prefix := ""
	if folder != "." {
		if err := checkName(folder); err != nil {
			return err
		}
		prefix = folder + "/"
	}
	for token := blob.FirstPageToken; len(token) > 0; {
		var page []*blob.ListObject
		var next []byte
		if err := c.try("list", folder, c.o.Deadline, func(ctx context.Context) (err error) {
			page, next, err = c.bucket.ListPage(ctx, token, 1000, &blob.ListOptions{Prefix: prefix})
			return err
		}); err != nil {
			return err
		}
		for _, o := range page {
			if err := visit(Entry{Name: o.Key, Size: o.Size, Modified: o.ModTime}); err != nil {
				return err
			}
		}
		token = next
	}
	return nil
}

// Usage knows nothing: an object store has no end.
func (c *Cloud) Usage() (free, total uint64, err error) { return 0, 0, nil }

// MakeBase asks for the bucket, which others have made, and makes sure that it
// answers.
func (c *Cloud) MakeBase() error {
	_, err := c.listOne()
	return err
}

// listOne asks for one name, to see whether the bucket is there.
func (c *Cloud) listOne() (int, error) {
	n := 0
	err := c.try("list", ".", c.o.Deadline, func(ctx context.Context) error {
		page, _, err := c.bucket.ListPage(ctx, blob.FirstPageToken, 1, nil)
		n = len(page)
		return err
	})
	return n, err
}
