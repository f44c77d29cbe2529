package disk

import (
	"errors"
	"os"
	"syscall"
)

// fallocKeepSize is FALLOC_FL_KEEP_SIZE of linux/falloc.h.
const fallocKeepSize = 1

// syncData flushes bytes and length but not the times of the file, which
// spares one journal write per sync.
func syncData(f *os.File) error {
	// A sync that was interrupted has not been refused: only then it is asked
	// for again.
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

func preallocate(fd uintptr, offset, n int64) error {
	err := syscall.Fallocate(int(fd), fallocKeepSize, offset, n)
	if errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.EINTR) {
		return nil
	}
	return err
}

func prefetch(fd uintptr, offset, n int64) error {
	if _, _, errno := syscall.Syscall(syscall.SYS_READAHEAD, fd, uintptr(offset), uintptr(n)); errno != 0 {
		return errno
	}
	return nil
}
