//go:build !linux

package live

import "os"

// syncData puts the bytes of a file on disk.
func syncData(f *os.File) error { return f.Sync() }
