package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"kalamdb/bench/load"
	"kalamdb/bench/sql"
	"kalamdb/bench/stat"
)

// sqlCase is something that both servers are told in the same words.
type sqlCase struct {
	name string
	// connections is how many run the statements at one time.
	connections int
	// whole says that the time of all statements counts, not of each.
	whole bool
	// make returns the statements of a round.
	make func(round int) []sql.Statement
}

// The numbers of statements that a round has of each case.
const (
	manyStatements = 200
	someStatements = 20
	fewStatements  = 10
	mixedCount     = 1000
	mixedInFlight  = 128
	bulkRows       = 25_000
	bulkGroups     = 250 // so that each has 100 rows
)

// The names of the cases that are compared with each other.
const (
	insertCase, updateCase, deleteCase = "insert by key", "update by key", "delete by key"
	rowsCase, transactionCase          = "insert of 50 rows", "transaction of 50 inserts"
	createCase, alterCase, dropCase    = "CREATE TABLE", "ALTER TABLE, ADD COLUMN", "DROP TABLE"
	literalCase, parameterCase         = "point select, new literal", "point select, parameter"
)

// goal is the row of the list of goals that a case belongs to.
func (c *sqlCase) goal() int {
	for row, beginnings := range map[int][]string{
		4: {"insert", "transaction"}, 6: {"update by key", "delete by key"}, 7: {"update by predicate", "delete by predicate"},
		17: {"GROUP BY", "join"}, 18: {"point select"}, 19: {createCase, "ALTER", dropCase},
	} {
		if slices.ContainsFunc(beginnings, func(b string) bool { return strings.HasPrefix(c.name, b) }) {
			return row
		}
	}
	return 20
}

// series gives n statements, numbered over all rounds.
func series(round, n int, reads bool, text func(i int) string) []sql.Statement {
	all := make([]sql.Statement, n)
	for i := range all {
		all[i] = sql.Statement{SQL: text(round*n + i), Reads: reads}
	}
	return all
}

func sqlCases(large int) []sqlCase {
	of := func(n int, reads bool, text func(i int) string) func(int) []sql.Statement {
		return func(round int) []sql.Statement { return series(round, n, reads, text) }
	}
	same := func(text string) func(int) string { return func(int) string { return text } }
	grouped := "SELECT g, COUNT(*), SUM(n) FROM bench.%s GROUP BY g ORDER BY g"
	row := func(i int) string { return fmt.Sprintf("(%d, %d, %d, 'row %d')", 1_000_000+i, i%100, i, i) }
	list := func(i int) string {
		rows := make([]string, load.RowsPerInsert)
		for j := range rows {
			rows[j] = row(2_000_000 + i*load.RowsPerInsert + j)
		}
		return "INSERT INTO bench.written (id, g, n, v) VALUES " + strings.Join(rows, ", ")
	}
	transaction := func(i int) string {
		var b strings.Builder
		b.WriteString("BEGIN; ")
		for j := range load.RowsPerInsert {
			b.WriteString("INSERT INTO bench.written (id, g, n, v) VALUES " + row(6_000_000+i*load.RowsPerInsert+j) + "; ")
		}
		return b.String() + "COMMIT"
	}
	return []sqlCase{
		{name: "GROUP BY over 10k rows", connections: 1, make: of(someStatements, true, same(fmt.Sprintf(grouped, "small")))},
		{name: fmt.Sprintf("GROUP BY over %dk rows", large/1000), connections: 1, make: of(2, true, same(fmt.Sprintf(grouped, "large")))},
		{name: "join of 1000 with 200 rows", connections: 1, make: of(someStatements, true, same("SELECT a.id, a.n, b.v FROM bench.left_side a JOIN bench.right_side b ON b.id = a.g ORDER BY a.id"))},
		{name: literalCase, connections: 1, make: of(manyStatements, true, func(i int) string {
			return fmt.Sprintf("SELECT id, n, v FROM bench.small WHERE id = %d", i%10_000+1)
		})},
		{name: parameterCase, connections: 1, make: func(round int) []sql.Statement {
			all := series(round, manyStatements, true, same("SELECT id, n, v FROM bench.small WHERE id = $1"))
			for i := range all {
				all[i].Params = []any{round*manyStatements + i%10_000 + 1}
			}
			return all
		}},
		{name: createCase, connections: 1, make: of(fewStatements, false, func(i int) string {
			return fmt.Sprintf("CREATE SHARED TABLE bench.made_%d (id BIGINT PRIMARY KEY, n INT, v TEXT)", i)
		})},
		{name: alterCase, connections: 1, make: of(fewStatements, false, func(i int) string {
			return fmt.Sprintf("ALTER TABLE bench.made_%d ADD COLUMN extra TEXT", i)
		})},
		{name: dropCase, connections: 1, make: of(fewStatements, false, func(i int) string { return fmt.Sprintf("DROP TABLE bench.made_%d", i) })},
		{name: insertCase, connections: 1, make: of(manyStatements, false, func(i int) string { return "INSERT INTO bench.written (id, g, n, v) VALUES " + row(i) })},
		{name: updateCase, connections: 1, make: of(manyStatements, false, func(i int) string {
			return fmt.Sprintf("UPDATE bench.written SET n = %d WHERE id = %d", -i, 1_000_000+i)
		})},
		{name: deleteCase, connections: 1, make: of(manyStatements, false, func(i int) string {
			return fmt.Sprintf("DELETE FROM bench.written WHERE id = %d", 1_000_000+i)
		})},
		{name: rowsCase, connections: 1, make: of(someStatements, false, list)},
		{name: transactionCase, connections: 1, make: of(someStatements, false, transaction)},
		{name: "update by predicate, 100 of 25k rows", connections: 1, make: of(fewStatements, false, func(i int) string {
			return fmt.Sprintf("UPDATE bench.bulk SET n = n + 1 WHERE g = %d", i%bulkGroups)
		})},
		{name: "delete by predicate, 100 of 25k rows", connections: 1, make: of(fewStatements, false, func(i int) string {
			return fmt.Sprintf("DELETE FROM bench.bulk WHERE g = %d", i%bulkGroups)
		})},
		{name: "1000 mixed statements, 128 in flight", connections: mixedInFlight, whole: true, make: func(round int) []sql.Statement {
			all := series(round, mixedCount, false, func(i int) string {
				switch i % 4 {
				case 0:
					return "INSERT INTO bench.written (id, g, n, v) VALUES " + row(4_000_000+i)
				case 1:
					return fmt.Sprintf("UPDATE bench.mixed SET n = n + 1 WHERE id = %d", i%10_000+1)
				}
				return fmt.Sprintf("SELECT id, v FROM bench.mixed WHERE id = %d", i*7%10_000+1)
			})
			for i := range all {
				all[i].Reads = i%4 > 1
			}
			return all
		}},
	}
}

// sqlTables are made and filled before: columns id, g, n and v, rows numbered from
// 1, with g the number modulo groups.
func sqlTables(large int) []struct {
	name         string
	rows, groups int
} {
	return []struct {
		name         string
		rows, groups int
	}{{"small", 10_000, 100}, {"large", large, 100}, {"left_side", 1000, 200}, {"right_side", 200, 200}, {"written", 0, 1}, {"bulk", bulkRows, bulkGroups}, {"mixed", 10_000, 100}}
}

// runStatements tells KalamDB and PostgreSQL the same statements, with as many
// fsyncs, and compares what they answer and hold at the end.
func runStatements(ctx context.Context, b *bench) error {
	s, err := b.kalam(ctx)
	if err != nil {
		return err
	}
	lanes := []sqlLane{{"kalamdb", func(ctx context.Context, connections int, statements []sql.Statement) (sql.Result, error) {
		return load.Remote[sql.Job, sql.Result](ctx, exec.CommandContext(ctx, b.self, "sql"),
			sql.Job{Address: "http://" + s.Addr + "/v1/api/sql", Token: s.Token, Connection: connections, Statements: statements})
	}}}
	b.report.Section("Statements beside PostgreSQL")
	if b.peers {
		switch p, err := b.startPostgres(ctx); {
		case errors.Is(err, errNoPostgres):
			b.report.Linef("PostgreSQL is not measured: %v", err)
		case err != nil:
			return err
		default:
			b.postgres = p
			b.report.Linef("%s with the settings it comes with: every commit is synced, as KalamDB's are here.", p.version)
			lanes = append(lanes, sqlLane{"postgres", p.run})
		}
	}
	large := 1_000_000
	if b.short {
		large = 20_000
	}
	for _, l := range lanes {
		if err := l.fill(ctx, large); err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
	}
	cases := sqlCases(large)
	times := make([][][]float64, len(cases)) // by case and lane, a median of each round
	all := make([][][]float64, len(cases))   // by case and lane, every time
	for i := range cases {
		times[i], all[i] = make([][]float64, len(lanes)), make([][]float64, len(lanes))
	}
	for round := range b.rounds {
		for i, c := range cases {
			rows := make([]string, len(lanes))
			for j := range lanes {
				j := (j + round) % len(lanes)
				r, err := lanes[j].run(ctx, c.connections, lanes[j].words(c.make(round)))
				if err != nil {
					return fmt.Errorf("%s: %s: %w", c.name, lanes[j].name, err)
				}
				if rows[j] = r.Rows; c.whole {
					r.Micros, rows[j] = []float64{r.Seconds * 1e6}, ""
				}
				times[i][j] = append(times[i][j], stat.Median(r.Micros))
				all[i][j] = append(all[i][j], r.Micros...)
			}
			for j := range rows {
				if rows[j] != rows[0] {
					return fmt.Errorf("%s: %s answers %.300q, KalamDB %.300q", c.name, lanes[j].name, rows[j], rows[0])
				}
			}
		}
	}
	if err := compareTables(ctx, lanes, large); err != nil {
		return err
	}
	b.tabulateStatements(cases, lanes, times, all)
	return nil
}

// sqlLane is a server.
type sqlLane struct {
	name string
	run  func(ctx context.Context, connections int, statements []sql.Statement) (sql.Result, error)
}

// words puts statements into the words of the server.
func (l sqlLane) words(statements []sql.Statement) []sql.Statement {
	if l.name != "kalamdb" {
		for i := range statements {
			statements[i].SQL = strings.Replace(statements[i].SQL, "CREATE SHARED TABLE", "CREATE TABLE", 1)
		}
	}
	return statements
}

// fillRows is how many rows one commit brings.
const fillRows = 100_000

func (l sqlLane) fill(ctx context.Context, large int) error {
	var all []sql.Statement
	do := func(format string, args ...any) { all = append(all, sql.Statement{SQL: fmt.Sprintf(format, args...)}) }
	if l.name != "kalamdb" {
		do("CREATE SCHEMA bench")
	}
	for _, t := range sqlTables(large) {
		do("CREATE SHARED TABLE bench.%s (id BIGINT PRIMARY KEY, g INT, n BIGINT, v TEXT)", t.name)
		for from := 1; from <= t.rows; from += fillRows {
			do("INSERT INTO bench.%s (id, g, n, v) SELECT s.n, CAST(s.n %% %d AS INT), s.n * 7, 'row number ' || s.n FROM generate_series(%d, %d) AS s (n)",
				t.name, t.groups, from, min(from+fillRows-1, t.rows))
		}
	}
	if l.name != "kalamdb" {
		do("VACUUM ANALYZE")
		do("CHECKPOINT")
	}
	_, err := l.run(ctx, 1, l.words(all))
	return err
}

// compareTables compares what the servers hold.
func compareTables(ctx context.Context, lanes []sqlLane, large int) error {
	for _, t := range sqlTables(large) {
		q := sql.Statement{SQL: "SELECT COUNT(*), SUM(id), SUM(n), SUM(g), MIN(v), MAX(v) FROM bench." + t.name, Reads: true}
		var first string
		for i, l := range lanes {
			r, err := l.run(ctx, 1, []sql.Statement{q})
			if err != nil {
				return err
			}
			if i == 0 {
				first = r.Rows
			}
			if r.Rows != first {
				return fmt.Errorf("%s of %s holds %q, that of KalamDB %q", t.name, l.name, r.Rows, first)
			}
		}
	}
	return nil
}

func (b *bench) tabulateStatements(cases []sqlCase, lanes []sqlLane, times, all [][][]float64) {
	b.report.Linef("Microseconds from the request to its whole answer; clients of one kind each, in Go, on one machine. What was answered and what the tables hold at the end was compared.")
	var rows [][]string
	for i := range cases {
		c := &cases[i]
		for j, l := range lanes {
			ratio := ""
			if j > 0 {
				ratio = interval(stat.Of(stat.Ratios(times[i][0], times[i][j]))) + "x"
				b.report.Aim(fmt.Sprintf("row %d: %s, time beside PostgreSQL's", c.goal(), c.name), "-", ratio, "for orientation")
			}
			sorted := slices.Sorted(slices.Values(all[i][j]))
			at := func(q float64) string { return digits(sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]) }
			rows = append(rows, []string{c.name, l.name, interval(stat.Of(times[i][j])), at(0.9), at(0.99), digits(sorted[len(sorted)-1]), ratio})
		}
	}
	b.report.Table([]string{"statement", "lane", "p50 [95 %]", "p90", "p99", "max", "kalamdb takes"}, rows)
	own := func(name string) []float64 {
		return times[slices.IndexFunc(cases, func(c sqlCase) bool { return c.name == name })][0]
	}
	ratio := func(a, b string) stat.Summary { return stat.Of(stat.Ratios(own(a), own(b))) }
	b.report.AimAtMost("row 4: BEGIN .. COMMIT of 50, of one INSERT of 50 rows", ratio(transactionCase, rowsCase), 1.2, "x")
	b.report.AimAtLeast("row 6: update by key, of our insert rate", ratio(insertCase, updateCase), 0.7, "x")
	b.report.AimAtLeast("row 6: delete by key, of our insert rate", ratio(insertCase, deleteCase), 0.7, "x")
	b.report.AimAtMost("row 18: a never-seen literal, of the parameterised form", ratio(literalCase, parameterCase), 1.3, "x")
	for _, name := range []string{createCase, alterCase, dropCase} {
		b.report.AimAtMost("row 19: "+name+", at most one fsync: of one synced insert", ratio(name, insertCase), 1.5, "x")
	}
}
