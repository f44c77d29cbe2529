package job

import (
	"syscall"
	"time"
)

// rusageThread asks for the calling thread alone.
const rusageThread = 1

// threadTime is the processor time that the calling thread has taken.
func threadTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(rusageThread, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
