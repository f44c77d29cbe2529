package disk

import (
	"errors"
	"os"
	"syscall"
)

// Flags of linux/falloc.h and linux/fs.h.
const (
	fallocKeepSize      = 1     // FALLOC_FL_KEEP_SIZE
	syncRangeWaitBefore = 1 | 2 // SYNC_FILE_RANGE_WAIT_BEFORE and _WRITE
)

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

// writeBack waits for what an earlier call has queued, which bounds the dirty
// bytes, and queues the rest.
func writeBack(fd uintptr, n int64) error {
	err := syscall.SyncFileRange(int(fd), 0, n, syncRangeWaitBefore)
	if errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.EINTR) {
		return nil
	}
	return err
}
