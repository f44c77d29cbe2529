package proc

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"syscall"
	"unsafe"
)

const anyCPU = ^uint64(0)

// Pin keeps the calling thread, and what it starts, on one CPU.
func Pin(cpu int) error { return setAffinity(0, 1<<cpu) }

// Unpin lets the calling thread run on any CPU again.
func Unpin() error { return setAffinity(0, anyCPU) }

// PinProcess keeps all threads of a running process on one CPU, and those that
// they start.
func PinProcess(pid, cpu int) error { return eachThread(pid, 1<<cpu) }

// UnpinProcess lets all threads of a process run on any CPU again.
func UnpinProcess(pid int) error { return eachThread(pid, anyCPU) }

func eachThread(pid int, mask uint64) error {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil || len(tasks) == 0 {
		return errors.Join(fmt.Errorf("process %d has no threads", pid), err)
	}
	for _, t := range tasks {
		tid, err := strconv.Atoi(filepath.Base(t))
		if err != nil {
			return err
		}
		if err := setAffinity(tid, mask); err != nil && !errors.Is(err, syscall.ESRCH) { // it may have ended
			return fmt.Errorf("pin thread %d: %w", tid, err)
		}
	}
	return nil
}

func setAffinity(tid int, mask uint64) error {
	_, _, e := syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, uintptr(tid), unsafe.Sizeof(mask), uintptr(unsafe.Pointer(&mask)))
	if e != 0 {
		return e
	}
	return nil
}
