//go:build !linux

package ceiling

import "os"

// syncData waits until the data of f is on disk.
func syncData(f *os.File) error { return f.Sync() }
