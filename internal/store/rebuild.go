package store

import (
	"fmt"
	"io"
	"path"
	"strings"

	"kalamdb/internal/disk"
)

// IsStaged reports whether a complete copy waits in a data directory for the next
// start.
func IsStaged(fsys disk.FS, dir string) (bool, error) {
	d := directory{fs: fsys, path: dir}
	return d.isStaged()
}

// StageSelf puts a copy of a data directory, which the caller holds, in its own
// staging folder, to be changed there: tables of the engine and cold files get a
// second name, all else of the engine is copied. CompleteStaged lets the next
// start take it, ForgetStaged gives it up.
func StageSelf(fsys disk.FS, dir string) error {
	if err := ForgetStaged(fsys, dir); err != nil {
		return err
	}
	d, staged := directory{fs: fsys, path: dir}, StagedDir(dir)
	if err := disk.MakeDir(fsys, staged); err != nil {
		return fmt.Errorf("make %s: %w", staged, err)
	}
	if err := d.linkAll(d.join(storageName), path.Join(staged, storageName)); err != nil {
		return fmt.Errorf("link the cold files of %s: %w", dir, err)
	}
	hot := path.Join(staged, hotName)
	if err := disk.MakeDir(fsys, hot); err != nil {
		return fmt.Errorf("make %s: %w", hot, err)
	}
	names, err := fsys.List(d.hot())
	if err != nil {
		return fmt.Errorf("list %s: %w", d.hot(), err)
	}
	for _, name := range names {
		switch from, to := path.Join(d.hot(), name), path.Join(hot, name); {
		case name == lockName:
		case strings.HasSuffix(name, ".sst"): // never changed
			err = fsys.Link(from, to)
		default:
			err = copyFile(fsys, from, to)
		}
		if err != nil {
			return fmt.Errorf("copy %s: %w", path.Join(d.hot(), name), err)
		}
	}
	if err := disk.SyncDir(fsys, hot); err != nil {
		return fmt.Errorf("sync %s: %w", hot, err)
	}
	if err := disk.WriteFile(fsys, path.Join(staged, formatName), []byte(formatText)); err != nil {
		return fmt.Errorf("write %s: %w", path.Join(staged, formatName), err)
	}
	return nil
}

// copyFile copies a file durably but for its name.
func copyFile(fsys disk.FS, from, to string) error {
	in, err := disk.Open(fsys, from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // it is only read
	out, err := disk.Create(fsys, to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	return err
}

// RaiseNumber says in a batch that the next number of a kind is at least next.
func RaiseNumber(r Reader, b *Batch, n Number, next uint64) error {
	known, err := NextNumber(r, n)
	if err == nil && known < next {
		putUint(b.engine, sysNext+string(n), next)
	}
	return err
}
