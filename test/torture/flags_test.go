// Package torture breaks the server and its disk on purpose, and judges what
// its clients were told: the real binary under signals, and the same path of a
// commit on the disk in memory.
package torture

import "flag"

// The long forms. Without these flags the runs are as short as a normal test.
var (
	flagCycles = flag.Int("cycles", 0, "how often the real server is killed; 0 is a few times")
	flagSeed   = flag.Uint64("seed", 0, "what the runs are drawn from; 0 draws it from the clock")
)
