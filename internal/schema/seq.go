package schema

// A _seq has 41 bits of milliseconds since 2024-01-01 UTC, 10 bits of node and
// 12 bits of counter. It grows with every change and is never repeated.
const (
	seqNodeBits    = 10
	seqCounterBits = 12
	seqCounterMask = 1<<seqCounterBits - 1
	seqNodeMask    = (1<<seqNodeBits - 1) << seqCounterBits
	seqTimeShift   = seqNodeBits + seqCounterBits

	// SeqEpochMillis is 2024-01-01T00:00:00Z in milliseconds since 1970.
	SeqEpochMillis = 1704067200000
	// MaxNode is the greatest node number that fits a _seq.
	MaxNode = 1<<seqNodeBits - 1
)

// SeqMillis returns the time inside a _seq in milliseconds since 1970.
func SeqMillis(seq uint64) int64 { return int64(seq>>seqTimeShift) + SeqEpochMillis }

// SeqNode returns the number of the node that gave a _seq out.
func SeqNode(seq uint64) uint16 { return uint16(seq & seqNodeMask >> seqCounterBits) }

// SeqTime returns the time inside a _seq in microseconds since 1970; it is
// what _updated shows.
func SeqTime(seq uint64) int64 { return SeqMillis(seq) * 1000 }

// SeqFloor returns the least _seq whose time is not before the millisecond of
// the given microseconds since 1970; 0 for times before the epoch of _seq.
func SeqFloor(micros int64) uint64 {
	millis := micros/1000 - SeqEpochMillis
	if millis <= 0 {
		return 0
	}
	return uint64(millis) << seqTimeShift
}

// NextSeq returns the _seq that follows last when a node commits at a time. It
// is above last whatever the clock says: it borrows from the future rather
// than repeat.
func NextSeq(last uint64, micros int64, node uint16) uint64 {
	own := uint64(node) << seqCounterBits & seqNodeMask
	if now := SeqFloor(micros) | own; now > last {
		return now
	}
	if last&seqNodeMask == own && last&seqCounterMask < seqCounterMask {
		return last + 1
	}
	return (last>>seqTimeShift+1)<<seqTimeShift | own
}

// SeqAt returns the _seq of row i of a commit whose first row has first.
func SeqAt(first uint64, i int) uint64 {
	counter := first&seqCounterMask + uint64(i)
	time := first>>seqTimeShift + counter>>seqCounterBits
	return time<<seqTimeShift | first&seqNodeMask | counter&seqCounterMask
}
