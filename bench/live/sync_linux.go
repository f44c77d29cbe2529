package live

import (
	"os"
	"syscall"
)

// syncData puts the bytes of a file on disk.
func syncData(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }
