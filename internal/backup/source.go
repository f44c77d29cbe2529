package backup

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"

	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
)

// archive writes a backup as one compressed file, the manifest first, and reads
// it back.
func (w *writer) archive(ctx context.Context) error {
	out, in := io.Pipe()
	go func() { in.CloseWithError(w.pack(ctx, in)) }() // the error comes out of the other end
	n, err := w.to.folder.Write(w.to.archive, out)
	_ = out.CloseWithError(context.Canceled) // the packer ends when nobody takes its bytes
	if err != nil {
		return fmt.Errorf("write the archive: %w", err)
	}
	w.report.Bytes = n
	w.report.Copied = len(w.manifest.unique())
	from, err := Open(w.to)
	if err != nil {
		return err
	}
	return from.each(ctx, func(_ Object, r io.Reader) error {
		_, err := io.Copy(io.Discard, r)
		return err
	})
}

// pack writes the bytes of an archive.
func (w *writer) pack(ctx context.Context, to io.Writer) error {
	zip, err := gzip.NewWriterLevel(to, gzip.BestSpeed)
	if err != nil {
		return fmt.Errorf("begin the archive: %w", err)
	}
	t := tar.NewWriter(zip)
	text, err := w.manifest.encode()
	if err != nil {
		return err
	}
	if err := t.WriteHeader(&tar.Header{Name: manifestName, Mode: 0o600, Size: int64(len(text))}); err != nil {
		return err
	}
	if _, err := t.Write(text); err != nil {
		return err
	}
	for _, o := range w.manifest.objects() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.packOne(t, o); err != nil {
			return err
		}
		w.advance(o.Size)
	}
	if err := t.Close(); err != nil {
		return err
	}
	return zip.Close()
}

func (w *writer) packOne(t *tar.Writer, o Object) error {
	from, err := w.open(o)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }() // it is only read
	if err := t.WriteHeader(&tar.Header{Name: w.manifest.place(o), Mode: 0o600, Size: o.Size}); err != nil {
		return err
	}
	_, err = io.Copy(t, newChecked(from, o))
	return err
}

// Source is a backup to be read.
type Source struct {
	// Amend, if not nil, changes the copy in a directory before it counts as
	// staged.
	Amend func(ctx context.Context, dir string) error

	from     Target
	manifest *Manifest
}

// Open reads the manifest of a backup.
func Open(from Target) (*Source, error) {
	s := &Source{from: from}
	r, size, err := s.begin()
	if err != nil {
		return nil, missing(err, from.text)
	}
	defer func() { _ = r.Close() }() // it is only read
	if size > manifestMost {
		return nil, fault.New(fault.InvalidParameter, "Backup '%s' cannot be read: %v", from.text, errManifest)
	}
	text, err := io.ReadAll(io.LimitReader(r, manifestMost))
	if err != nil {
		return nil, fault.Wrap(fault.InvalidParameter, err, "Backup '%s' cannot be read: %v", from.text, errManifest)
	}
	if s.manifest, err = decode(text); err != nil {
		return nil, fault.Wrap(fault.InvalidParameter, err, "Backup '%s' cannot be read: %v", from.text, err)
	}
	return s, nil
}

// Manifest describes the backup.
func (s *Source) Manifest() *Manifest { return s.manifest }

// missing tells a place without a backup from one that cannot be read.
func missing(err error, text string) error {
	switch {
	case disk.IsNotExist(err):
		return fault.Wrap(fault.ObjectNotFound, err, "Backup '%s' does not exist: there is no %s", text, manifestName)
	case errors.Is(err, errManifest), errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), errors.Is(err, tar.ErrHeader),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fault.Wrap(fault.InvalidParameter, err, "Backup '%s' cannot be read: it is no archive of a backup, or a damaged one", text)
	}
	return fault.Wrap(fault.InvalidParameter, err, "Backup '%s' cannot be read", text)
}

// begin opens the manifest.
func (s *Source) begin() (io.ReadCloser, int64, error) {
	if s.from.archive == "" {
		return s.from.folder.Read(manifestName)
	}
	a, err := s.unpack()
	if err != nil {
		return nil, 0, err
	}
	h, err := a.tar.Next()
	if err == nil && h.Name != manifestName {
		err = errManifest
	}
	if err != nil {
		_ = a.Close() // it is only read
		return nil, 0, err
	}
	return a, h.Size, nil
}

// unpacker reads the files of an archive one after another.
type unpacker struct {
	file io.Closer
	tar  *tar.Reader
}

// Read reads of the present file.
func (a *unpacker) Read(p []byte) (int, error) { return a.tar.Read(p) }

// Close ends the reading.
func (a *unpacker) Close() error { return a.file.Close() }

func (s *Source) unpack() (*unpacker, error) {
	f, _, err := s.from.folder.Read(s.from.archive)
	if err != nil {
		return nil, err
	}
	zip, err := gzip.NewReader(f)
	if err != nil {
		_ = f.Close() // it is only read
		return nil, err
	}
	return &unpacker{f, tar.NewReader(zip)}, nil
}

// each visits every object of a backup once. What visit reads is checked at its
// end; one that is missing or damaged is named.
func (s *Source) each(ctx context.Context, visit func(Object, io.Reader) error) error {
	if s.from.archive != "" {
		return s.eachPacked(ctx, visit)
	}
	for _, o := range s.manifest.objects() {
		if err := ctx.Err(); err != nil {
			return err
		}
		f, _, err := s.from.folder.Read(s.manifest.place(o))
		if disk.IsNotExist(err) {
			return fault.Wrap(fault.InvalidParameter, err, "Backup '%s' is not complete: %s (%s) is missing", s.from.text, o.label(), s.manifest.place(o))
		}
		if err != nil {
			return fmt.Errorf("open %s of the backup: %w", s.manifest.place(o), err)
		}
		err = visit(o, newChecked(f, o))
		_ = f.Close() // it was only read
		if err != nil {
			return s.damaged(o, err)
		}
	}
	return nil
}

// damaged names the object whose bytes are wrong.
func (s *Source) damaged(o Object, err error) error {
	if errors.Is(err, errDamaged) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, gzip.ErrChecksum) {
		return fault.Wrap(fault.InvalidParameter, err, "Backup '%s' is damaged: %s (%s) does not hold the bytes that were written",
			s.from.text, o.label(), s.manifest.place(o))
	}
	return err
}

func (s *Source) eachPacked(ctx context.Context, visit func(Object, io.Reader) error) error {
	a, err := s.unpack()
	if err != nil {
		return missing(err, s.from.text)
	}
	defer func() { _ = a.Close() }() // it is only read
	if _, err := a.tar.Next(); err != nil {
		return missing(err, s.from.text)
	}
	for _, o := range s.manifest.objects() {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := a.tar.Next()
		if err != nil || h.Name != s.manifest.place(o) {
			return fault.Wrap(fault.InvalidParameter, err, "Backup '%s' is not complete: %s (%s) is missing", s.from.text, o.label(), s.manifest.place(o))
		}
		if err := visit(o, newChecked(a, o)); err != nil {
			return s.damaged(o, err)
		}
	}
	return nil
}

// Verify reads all of a backup.
func (s *Source) Verify(ctx context.Context) error {
	return s.each(ctx, func(_ Object, r io.Reader) error {
		_, err := io.Copy(io.Discard, r)
		return err
	})
}
