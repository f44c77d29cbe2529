package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"kalamdb/internal/core"
)

// snapshotsFolder is where a cluster keeps its snapshots, below the data
// directory.
const snapshotsFolder = "snapshots"

// cluster says where snapshots lie and how they are removed.
func (s *Server) cluster() core.ClusterOptions {
	dir := filepath.Join(s.o.Config.Storage.DataPath, snapshotsFolder)
	return core.ClusterOptions{SnapshotsDir: dir, Clear: func() (core.Cleared, error) { return clearFolder(dir) }}
}

// clearFolder removes each entry of a folder and says what it took. A folder
// that is not there is empty; what cannot be removed is counted.
func clearFolder(dir string) (c core.Cleared, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return c, fmt.Errorf("read folder of snapshots: %w", err)
	}
	c.Exists = true
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		size := sizeBelow(path)
		c.Found++
		c.FoundBytes += size
		if err := os.RemoveAll(path); err != nil {
			if c.Errors++; c.FirstError == "" {
				c.FirstError = err.Error()
			}
			continue
		}
		c.Removed++
		c.RemovedBytes += size
	}
	return c, nil
}

// sizeBelow adds up the files below a path; what cannot be read counts nothing.
func sizeBelow(path string) (bytes int64) {
	_ = filepath.WalkDir(path, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // it is removed all the same, or counted as an error then
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			bytes += info.Size()
		}
		return nil
	})
	return bytes
}
