// Package backup copies a whole database to a folder or an archive while it
// runs, says what such a copy holds, and stages a copy for the next start of a
// server.
//
// A backup is a checkpoint of the engine and the cold files that its windows
// name, so it shows one moment, that of its position. In a folder cold files are
// named by their checksums: the next backup to that folder copies only those
// that are not there yet. The manifest comes last and is replaced as a whole;
// until then the folder holds the backup before.
//
// What it promises: every byte is read back and compared before a backup counts
// as done, and checked again before a restore says that it is staged. What is
// missing or damaged is named, and nothing of it is put in place.
//
// Goroutines: one while an archive is written, which ends with it. Locks: none.
package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"time"

	"kalamdb/internal/cold"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
	"kalamdb/internal/store"
	"kalamdb/internal/store/catalog"
	"kalamdb/internal/store/table"
)

// Options say what is copied.
type Options struct {
	// Store is the open data directory; required.
	Store *store.Store
	// Tier reads the cold files; required.
	Tier *cold.Tier
	// Hold keeps files from being removed until release is called; required.
	Hold func() (release func())
	// Version is the server's.
	Version string
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// Progress, if not nil, is told how many bytes of all are done.
	Progress func(done, total int64)
}

// Report is what a backup has done.
type Report struct {
	ID       string
	Position uint64
	// Copied and Reused count cold files, EngineFiles those of the engine.
	Copied, Reused, EngineFiles int
	// Bytes are those written.
	Bytes int64
}

// Write makes a backup.
func Write(ctx context.Context, o Options, to Target) (Report, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	if err := to.prepare(); err != nil {
		return Report{}, err
	}
	w := &writer{o: o, to: to, fs: o.Store.FS()}
	w.dir = path.Join(o.Store.TempDir(), fmt.Sprintf("backup-%x", o.Now().UnixNano()))
	defer func() { _ = disk.RemoveAll(w.fs, w.dir) }() // tmp is emptied at the next start anyway
	release := o.Hold()
	defer release()
	if err := o.Store.Checkpoint(w.dir); err != nil {
		return Report{}, err
	}
	if err := w.survey(); err != nil {
		return Report{}, err
	}
	write := w.folder
	if to.archive != "" {
		write = w.archive
	}
	err := write(ctx)
	if disk.IsFull(err) {
		err = fault.Wrap(fault.DiskFull, err, "there is no room for the backup at '%s'", to.text)
	}
	return w.report, err
}

// writer makes one backup.
type writer struct {
	o        Options
	to       Target
	fs       disk.FS
	dir      string // the checkpoint
	storages map[string]schema.Storage
	manifest Manifest
	report   Report
	done     int64
	total    int64
}

// survey describes the checkpoint.
func (w *writer) survey() error {
	names, err := w.fs.List(path.Join(w.dir, "hot"))
	if err != nil {
		return fmt.Errorf("list the checkpoint: %w", err)
	}
	c, err := store.OpenCopy(w.fs, w.dir)
	if err != nil {
		return err
	}
	now := w.o.Now()
	w.manifest = Manifest{Kind: manifestKind, Version: manifestVersion, Server: w.o.Version, CreatedAt: now.UnixMicro()}
	err = w.describe(c.Reader())
	if closeErr := c.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("read the checkpoint: %w", err)
	}
	w.manifest.ID = fmt.Sprintf("%016x-%x", w.manifest.Position, now.UnixMicro())
	w.report.ID, w.report.Position = w.manifest.ID, w.manifest.Position
	for _, name := range append([]string{formatName}, names...) {
		if name == "LOCK" {
			continue
		}
		if name != formatName {
			name = path.Join("hot", name)
		}
		o, err := w.sum(name)
		if err != nil {
			return err
		}
		w.manifest.Engine = append(w.manifest.Engine, o)
		w.total += o.Size
	}
	w.report.EngineFiles = len(w.manifest.Engine)
	return nil
}

// describe reads from the checkpoint what a restore must bring back.
func (w *writer) describe(r store.Reader) (err error) {
	m := &w.manifest
	if m.Position, err = store.Position(r); err != nil {
		return err
	}
	definitions, err := catalog.Load(r)
	if err != nil {
		return err
	}
	w.storages = map[string]schema.Storage{}
	for st := range definitions.Storages() {
		w.storages[st.ID] = *st
	}
	files := map[schema.TableID][2]int64{}
	if err := eachKept(r, func(f schema.File) error {
		m.Segments = append(m.Segments, Segment{File: f.Number, Storage: f.StorageID, Path: f.Path, Size: f.Size, Checksum: f.Checksum})
		if f.Number > 0 {
			n := files[f.Table]
			files[f.Table] = [2]int64{n[0] + 1, n[1] + f.Size}
		}
		return nil
	}); err != nil {
		return err
	}
	for t := range definitions.AllTables() {
		counts, err := table.TotalCounts(r, t)
		if err != nil {
			return err
		}
		n := files[t.ID]
		m.Tables = append(m.Tables, Table{
			Namespace: t.Namespace, Name: t.Name, Kind: t.Kind.String(), Version: t.Version,
			HotRows: counts.HotRows, ColdRows: counts.ColdRows, Files: n[0], Bytes: n[1],
		})
	}
	for _, s := range m.unique() {
		w.total += s.Size
	}
	return nil
}

// eachKept visits the cold files that windows may name, and behind them the files
// of FILE columns that rows refer to, which have the number 0.
func eachKept(r store.Reader, visit func(schema.File) error) error {
	if err := eachLive(r, visit); err != nil {
		return err
	}
	for after := ""; ; {
		next, err := catalog.EachBlob(r, "", after, 1000, func(b schema.Blob) error {
			if b.Removed || b.References <= 0 {
				return nil // one that is being written or deleted
			}
			return visit(schema.File{Table: b.Table, StorageID: b.StorageID, Path: b.Path, Size: b.Size, Checksum: b.SHA256, State: schema.FileLive})
		})
		if err != nil || next == "" {
			return err
		}
		after = next
	}
}

// eachLive visits the cold files that windows may name.
func eachLive(r store.Reader, visit func(schema.File) error) error {
	for after := uint64(0); ; {
		files, err := table.Files(r, after, 1000)
		if err != nil || len(files) == 0 {
			return err
		}
		for _, f := range files {
			if f.State != schema.FileLive {
				continue
			}
			if err := visit(f); err != nil {
				return err
			}
		}
		after = files[len(files)-1].Number
	}
}

// sum describes a file of the checkpoint.
func (w *writer) sum(name string) (Object, error) {
	f, err := disk.Open(w.fs, path.Join(w.dir, name))
	if err != nil {
		return Object{}, fmt.Errorf("open the checkpoint's %s: %w", name, err)
	}
	defer func() { _ = f.Close() }() // it is only read
	h := sha256.New()
	size, err := io.Copy(h, f)
	if err != nil {
		return Object{}, fmt.Errorf("read the checkpoint's %s: %w", name, err)
	}
	return Object{Name: name, Size: size, Checksum: hex.EncodeToString(h.Sum(nil))}, nil
}

// open opens an object at its source.
func (w *writer) open(o Object) (io.ReadCloser, error) {
	if o.segment == nil {
		f, err := disk.Open(w.fs, path.Join(w.dir, o.Name))
		return f, err
	}
	st, ok := w.storages[o.segment.Storage]
	if !ok {
		return nil, fmt.Errorf("the storage '%s' of cold file %s is unknown", o.segment.Storage, o.segment.Path)
	}
	folder, err := w.o.Tier.Folder(st, "")
	if err != nil {
		return nil, err
	}
	f, _, err := folder.Read(o.segment.Path)
	if err != nil {
		return nil, fmt.Errorf("open cold file %s of storage '%s': %w", o.segment.Path, o.segment.Storage, err)
	}
	return f, nil
}

// folder writes a backup into a folder.
func (w *writer) folder(ctx context.Context) error {
	for _, o := range w.manifest.objects() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if o.segment != nil && w.to.has(o) {
			w.report.Reused++
			w.advance(o.Size)
			continue
		}
		if err := w.copy(o); err != nil {
			return err
		}
		if o.segment != nil {
			w.report.Copied++
		}
		w.report.Bytes += o.Size
		w.advance(o.Size)
	}
	text, err := w.manifest.encode()
	if err != nil {
		return err
	}
	if err := w.to.folder.Put(manifestName, text); err != nil {
		return fmt.Errorf("write the manifest of the backup: %w", err)
	}
	return w.to.prune(&w.manifest)
}

// copy writes one object, and reads it back.
func (w *writer) copy(o Object) error {
	from, err := w.open(o)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }() // it is only read
	name := w.manifest.place(o)
	in := newChecked(from, o)
	if _, err := w.to.folder.Write(name, in); err != nil {
		return fmt.Errorf("write %s of the backup: %w", name, err)
	}
	written, _, err := w.to.folder.Read(name)
	if err != nil {
		return fmt.Errorf("read %s of the backup back: %w", name, err)
	}
	defer func() { _ = written.Close() }() // it is only read
	if err := newChecked(written, o).drain(); err != nil {
		return fmt.Errorf("read %s of the backup back: %w", name, err)
	}
	return nil
}

func (w *writer) advance(n int64) {
	w.done += n
	w.o.Progress(w.done, w.total)
}

// errDamaged says that bytes are not those that the manifest describes.
var errDamaged = errors.New("its bytes are not those that were written")

// checked passes bytes on, and gives an error instead of their end when they
// are not those of an object.
type checked struct {
	from io.Reader
	want Object
	size int64
	sum  hash.Hash
}

func newChecked(from io.Reader, want Object) *checked {
	return &checked{from: from, want: want, sum: sha256.New()}
}

// Read implements io.Reader.
func (c *checked) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.size += int64(n)
	c.sum.Write(p[:n])
	if errors.Is(err, io.EOF) && (c.size != c.want.Size || hex.EncodeToString(c.sum.Sum(nil)) != c.want.Checksum) {
		return n, fmt.Errorf("%s: %w", c.want.label(), errDamaged)
	}
	return n, err
}

// drain reads to the end.
func (c *checked) drain() error {
	_, err := io.Copy(io.Discard, c)
	return err
}
