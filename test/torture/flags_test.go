// Package torture breaks the server and its disk on purpose, and judges what
// its clients were told: the real binary under signals, and the same path of a
// commit on the disk in memory.
//
// A short run is bounded in time (type pace). Each test goes on for a minute at
// most when it has done its least: one cycle of each part of TestKill, 40 crash
// points, half of the scenarios of disk errors in an order drawn anew each time,
// one planted fault on the disk in memory. A planted fault is looked for until it
// is caught, for a number of runs that chance does not use up. A run that stands
// still for some minutes ends the process and says where everybody waits.
package torture

import "flag"

// The long forms. Without these flags the runs are as short as a normal test.
var (
	flagCycles = flag.Int("cycles", 0, "how often the real server is killed; 0 is a few times")
	flagSeed   = flag.Uint64("seed", 0, "what the runs are drawn from; 0 draws it from the clock")
)
