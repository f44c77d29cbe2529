package proc

import (
	"syscall"
	"unsafe"
)

// Pin keeps the calling thread, and what it starts, on one CPU.
func Pin(cpu int) error { return setAffinity(1 << cpu) }

// Unpin lets the calling thread run on any CPU again.
func Unpin() error { return setAffinity(^uint64(0)) }

func setAffinity(mask uint64) error {
	_, _, e := syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(mask), uintptr(unsafe.Pointer(&mask)))
	if e != 0 {
		return e
	}
	return nil
}
