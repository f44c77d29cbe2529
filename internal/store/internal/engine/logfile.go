package engine

import "kalamdb/internal/disk"

// aheadBytes is how much of a log gets its blocks at a time.
const aheadBytes = 128 << 10

// zeros is what they hold until the log comes there.
var zeros [aheadBytes]byte

// logFile makes a log longer than it is written, by zeros, so that the sync of
// what is written later has only its bytes to bring to the disk. The sync of a
// file that grows has its length and blocks to write too, which takes nearly
// twice as long. Pebble takes zeros for the end of a log.
type logFile struct {
	written int64 // bytes of the log
	length  int64 // of the file
}

// ahead prepares for n bytes more. It is called before they are written.
func (l *logFile) ahead(f disk.File, n int) error {
	l.written += int64(n)
	for l.length < l.written {
		wrote, err := f.WriteAt(zeros[:], l.length)
		l.length += int64(wrote)
		if err != nil {
			return err
		}
	}
	return nil
}
