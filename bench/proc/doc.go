// Package proc starts the programs that are measured and reads what the kernel
// says of them: CPU time, memory, threads.
//
// Goroutines: one per Process, which reads its output, ended by Stop. Locks: the
// one of the output.
package proc
