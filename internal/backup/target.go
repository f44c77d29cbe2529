package backup

import (
	"fmt"
	"iter"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"kalamdb/internal/cold"
	"kalamdb/internal/disk"
	"kalamdb/internal/fault"
	"kalamdb/internal/schema"
)

// sensitive are directories of the system that no backup is written to or read
// from.
const sensitive = "/bin /boot /dev /etc /lib /lib32 /lib64 /proc /run /sbin /sys /usr /var/lib /var/log /var/run"

// Target is where a backup is or will be.
type Target struct {
	text    string // as it was written
	folder  *cold.Folder
	archive string // the name of the archive in the folder, or ""
}

// Text is how the target was written.
func (t Target) Text() string { return t.text }

// Locate finds the place that a text names: a path of this machine, or a URL
// below the base of a storage. dataDir is where no backup may be.
func Locate(tier *cold.Tier, text, dataDir string, storages iter.Seq[*schema.Storage]) (Target, error) {
	t := Target{text: text}
	switch {
	case strings.TrimSpace(text) == "":
		return t, fault.New(fault.InvalidParameter, "Backup path must not be empty")
	case strings.ContainsRune(text, 0):
		return t, fault.New(fault.InvalidParameter, "Backup path must not contain a NUL byte")
	case slices.Contains(strings.FieldsFunc(text, func(r rune) bool { return r == '/' || r == '\\' }), ".."):
		return t, fault.New(fault.InvalidParameter, "Backup path must not contain '..'")
	}
	place := strings.TrimPrefix(text, "file://")
	remote := strings.Contains(place, "://")
	if !remote {
		var err error
		if place, err = local(place, dataDir); err != nil {
			return t, err
		}
	}
	place = strings.TrimRight(place, "/")
	if strings.HasSuffix(place, ".tar.gz") || strings.HasSuffix(place, ".tgz") {
		at := strings.LastIndexByte(place, '/')
		place, t.archive = place[:at], place[at+1:]
	}
	if !remote {
		folder, err := tier.Folder(schema.Storage{BaseDirectory: place + "/"}, "")
		t.folder = folder
		return t, err
	}
	for st := range storages {
		base := strings.TrimRight(st.BaseDirectory, "/")
		if below, ok := strings.CutPrefix(place, base); base != "" && ok && (below == "" || below[0] == '/') {
			folder, err := tier.Folder(*st, strings.Trim(below, "/"))
			t.folder = folder
			return t, err
		}
	}
	return t, fault.New(fault.ObjectNotFound, "No storage has a base that '%s' lies below; create one with CREATE STORAGE", text)
}

// local judges a path of this machine and returns it from the root, without
// links.
func local(text, dataDir string) (string, error) {
	full, err := filepath.Abs(text)
	if err != nil {
		return "", fault.Wrap(fault.InvalidParameter, err, "Backup path '%s' cannot be used", text)
	}
	full = resolve(full)
	if full == "/" {
		return "", fault.New(fault.InvalidParameter, "Backup path '%s' is a sensitive system directory", text)
	}
	for _, dir := range strings.Fields(sensitive) {
		if below(full, dir) {
			return "", fault.New(fault.InvalidParameter, "Backup path '%s' is in the sensitive system directory %s", text, dir)
		}
	}
	if data, err := filepath.Abs(dataDir); err == nil && (below(full, resolve(data)) || below(resolve(data), full)) {
		return "", fault.New(fault.InvalidParameter, "Backup path '%s' must not be in the data directory, nor hold it", text)
	}
	return full, nil
}

// resolve follows the links in that part of a path that exists.
func resolve(full string) string {
	for head, tail := full, ""; ; head, tail = filepath.Dir(head), filepath.Join(filepath.Base(head), tail) {
		if real, err := filepath.EvalSymlinks(head); err == nil {
			return filepath.Join(real, tail)
		}
		if head == filepath.Dir(head) {
			return full
		}
	}
}

// below reports whether a path is a directory or lies in it.
func below(full, dir string) bool { return full == dir || strings.HasPrefix(full, dir+"/") }

// prepare makes the place of a backup, and refuses one that holds anything
// else.
func (t Target) prepare() error {
	if err := t.folder.Make(); err != nil {
		return fault.Wrap(fault.InvalidParameter, err, "Backup path '%s' cannot be written", t.text)
	}
	if t.archive != "" {
		return nil
	}
	names, err := t.folder.List(".")
	if err != nil {
		return fault.Wrap(fault.InvalidParameter, err, "Backup path '%s' cannot be read", t.text)
	}
	for _, name := range names {
		switch strings.TrimSuffix(name, "/") {
		case manifestName, manifestName + ".tmp", engineFolder, segmentsFolder, "lost+found", probeName, probeName + ".tmp":
		default:
			return fault.New(fault.InvalidParameter, "Backup path '%s' holds '%s', which belongs to no backup; choose an empty folder", t.text, name)
		}
	}
	if err := t.folder.Put(probeName, nil); err != nil {
		return fault.Wrap(fault.InvalidParameter, err, "Backup path '%s' cannot be written", t.text)
	}
	return t.folder.Remove(probeName)
}

// probeName is the object whose writing shows that a place takes objects.
const probeName = "probe"

// Check does what a backup begins with: it makes the place and tries to write.
func (t Target) Check() error { return t.prepare() }

// has reports whether a folder holds a segment of the right length. An object
// appears under its name as a whole, and the name is its checksum.
func (t Target) has(o Object) bool {
	f, size, err := t.folder.Read(path.Join(segmentsFolder, o.Checksum))
	if err != nil {
		return false
	}
	_ = f.Close() // it was not read
	return size == o.Size
}

// prune removes from a folder what its manifest does not name.
func (t Target) prune(m *Manifest) error {
	keep := make(map[string]struct{}, len(m.Segments))
	for i := range m.Segments {
		keep[m.Segments[i].Checksum] = struct{}{}
	}
	names, err := t.folder.List(segmentsFolder)
	if err != nil {
		return fmt.Errorf("list the segments of the backup: %w", err)
	}
	for _, name := range names {
		if _, kept := keep[name]; !kept {
			if err := t.folder.Remove(path.Join(segmentsFolder, name)); err != nil {
				return fmt.Errorf("remove a segment of an older backup: %w", err)
			}
		}
	}
	ids, err := t.folder.List(engineFolder)
	if err != nil {
		return fmt.Errorf("list the engine files of the backup: %w", err)
	}
	for _, id := range ids {
		if id = strings.TrimSuffix(id, "/"); id == m.ID {
			continue
		}
		for _, folder := range []string{path.Join(engineFolder, id, "hot"), path.Join(engineFolder, id)} {
			if err := t.removeIn(folder); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeIn removes the objects of a folder of an older backup.
func (t Target) removeIn(folder string) error {
	names, err := t.folder.List(folder)
	if disk.IsNotExist(err) {
		return nil
	}
	for _, name := range names {
		if err == nil && strings.TrimSuffix(name, "/") != "hot" {
			err = t.folder.Remove(path.Join(folder, name))
		}
	}
	if err != nil {
		return fmt.Errorf("remove engine files of an older backup: %w", err)
	}
	return nil
}
