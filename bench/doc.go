// Command bench measures KalamDB beside ceilings and peers, in one run on one
// machine, and writes a report: go run ./bench, or make bench.
//
// The real binary is built and started as a process with its default
// configuration (rate limits raised), so are the ceiling programs (this
// executable as bench ceiling KIND) and the load client (bench load, a job on
// standard input, see package load). Every answer is judged while it is
// measured; at the end the rows of each table are counted and compared with
// what was acknowledged. A wrong answer or a wrong count fails the run.
//
// A run has rounds; in each the lanes of an operation (KalamDB, ceilings,
// peers) run one after the other, in an order that rotates. A ratio is taken
// within each round; what is printed is the median of the rounds with its 95 %
// interval. Nothing is pinned unless -pin asks for it: two processes that are
// woken by each other do best where the scheduler puts them, and ceilings and
// peers are treated alike. The scenario "pinned" repeats a few operations in the
// other layout.
//
// What to add where:
//   - a scenario is a func(context.Context, *bench) error in the list of
//     scenarios.go. It asks b.kalam(ctx) for the server, b.ceiling(ctx, kind) for
//     a ceiling program, b.start for any other process, b.drive for a job of the
//     load client, and writes b.report: Section, Linef, Table and Aim. It loops
//     over b.rounds itself, sums up with package stat, and is short if b.short.
//   - an operation of the table is a line in operations.go.
//   - a statement that PostgreSQL is told too is a line in statements.go.
//   - a peer is a load.Dialect in package target, a line in target.New, and a
//     start in peers.go.
//   - a peer of deliveries is that, a feed in package live, and a kind of the
//     program in peers/fanout.
//
// Where deliveries stand beside what was aimed at is said in
// docs/decisions/027-deliveries-beside-peers.md.
//
// Goroutines: those of package proc. Locks: none.
package main
